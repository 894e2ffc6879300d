"""One line of text that may lie over the picture: where and when it is, and what speaks for it."""

from __future__ import annotations

from collections import deque

import numpy as np

from vidboot.boxes import Box
from vidboot.corruption.fade import LONGEST, Strength, fade_in, fade_out
from vidboot.corruption.growth import Growth
from vidboot.corruption.plate import Plate
from vidboot.corruption.row import Row, field
from vidboot.corruption.slide import Slide
from vidboot.corruption.template import Template
from vidboot.corruption.ticks import Ticks

MATCH = 0.6  # correlation of a line that is still there with its template
MOVING_LEVELS = 4.0  # by which the picture around a line that moves changes from one look at it to the next
MISSES = 2  # frames a line may be lost for: a flash, a bad frame
MOST_LATEST = 160  # frames whose strengths are kept to see how a line goes


class Line:
    """A line from its first frame to its last, and the evidence collected on the way."""

    def __init__(self, box: Box, template: Template, row: Row, plate: Plate, seconds: float) -> None:
        self.boxes: list[Box] = [box]
        self.template = template
        self.row = row
        self.plate = plate
        self.begun = self.first = self.last = seconds  # begun: where a detector saw it first
        self.before: list[Strength] = []  # begun, last to first
        self.after: list[Strength] = []  # begun, the first of them
        self.latest: deque[Strength] = deque(maxlen=MOST_LATEST)
        self.looks = self.seen = 0  # of a detector since it was begun, and those at which it saw it
        self.samples = 1
        self.moving_samples = 0
        self.cuts_before = self.cuts_survived = 0  # before and since it was begun
        self.missed = 0
        self.appeared: bool | None = None  # at once, out of a picture that went on; None: with a cut or the video
        self.vanished: bool | None = None
        self.gone: np.ndarray | None = None  # the frame after the last that shows it, if the picture goes on
        self.slides: list[Slide] = []  # all its ways, where it lay beside its place just before or after
        self.came: Slide | None = None  # the longest before
        self.went: Slide | None = None  # the last after
        self.grew: Growth | None = None
        self.ticks = Ticks()
        self.around: np.ndarray | None = None
        self.quiet_before = self.quiet_after = False  # the picture around it stays as it comes, as it goes

    @property
    def seconds(self) -> float:
        """From its first frame to its last."""
        return self.last - self.first

    @property
    def frames(self) -> int:
        """How many frames show it, of those that are kept."""
        return len(self.before) + 1 + len(self.latest)

    @property
    def slid(self) -> list[Slide]:
        """Its ways to its place and away from it, if all it did beside its place was to slide evenly."""
        ways = [slide for slide in (self.came, self.went) if slide]
        return ways if all(slide.even for slide in ways) else []

    @property
    def still(self) -> bool:
        """Whether the picture around it stays, all the time and as it comes or goes."""
        return self.moving_samples == 0 and (self.quiet_before or self.quiet_after)

    def without(self, grey: np.ndarray) -> None:
        """Take note of a frame just before it came, or just after it went, in a picture that goes on."""
        for part in (self.template, self.row, self.plate):
            part.without(grey)

    def remember(self, seconds: float, strength: np.ndarray) -> None:
        """Take note of how strong its strokes are in a frame that shows it."""
        self.latest.append((seconds, strength))
        if seconds <= self.begun + 2 * LONGEST:
            self.after.append((seconds, strength))

    @property
    def fades_in(self) -> float | None:
        """When it began, seconds, if it came bit by bit."""
        return fade_in(self.before[::-1] + self.after)

    @property
    def fades_out(self) -> float | None:
        """When it ended, seconds, if it went bit by bit."""
        return fade_out(list(self.latest))

    @property
    def outline(self) -> Box:
        """The box around most of its detections."""
        boxes = np.array(self.boxes)
        x0, y0 = np.percentile(boxes[:, :2], 10, axis=0)
        x1, y1 = np.percentile(boxes[:, 2:], 90, axis=0)
        return float(x0), float(y0), float(x1), float(y1)

    @property
    def tight(self) -> Box:
        """The outline, drawn in to the strokes where it does not go beyond the template."""
        sides = []
        for side, stroke, edge, sign in zip(
            self.outline, self.template.tight, self.template.box, (1, 1, -1, -1), strict=True
        ):
            sides.append(side if sign * (edge - side) > 3 else float(stroke))
        return sides[0], sides[1], sides[2], sides[3]

    def tick(self, grey: np.ndarray) -> None:
        """See whether it counts."""
        self.ticks.see(field(grey, self.template.box), self.surroundings(grey), quiet_levels=MOVING_LEVELS)

    def quiet(self, grey: np.ndarray) -> bool:
        """Whether the picture around it is as it was when last looked at."""
        assert self.around is not None
        return float(np.abs(self.surroundings(grey) - self.around).mean()) < MOVING_LEVELS

    def sample(self, grey: np.ndarray) -> None:
        """See how the picture around it moves."""
        self.samples += 1
        self.moving_samples += not self.quiet(grey)
        self.around = self.surroundings(grey)

    def surroundings(self, grey: np.ndarray) -> np.ndarray:
        """Return the picture around the line, shrunk, the line itself left out: float32 [n]."""
        x0, y0, x1, y1 = self.template.box
        height, width = grey.shape
        by = max(8, y1 - y0)
        ax, ay, bx, by_ = max(0, x0 - by), max(0, y0 - by), min(width, x1 + by), min(height, y1 + by)
        ring = np.ones((by_ - ay, bx - ax), bool)
        ring[y0 - ay : y1 - ay, x0 - ax : x1 - ax] = False
        return grey[ay:by_, ax:bx][ring][::3].astype(np.float32)

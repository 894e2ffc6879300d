"""Lines that slide to their place, or away from it: captions that ease in or out, or things of the scene at rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from vidboot.boxes import Box, clipped
from vidboot.corruption.background import background_moves
from vidboot.corruption.found import Found, Shown
from vidboot.corruption.template import Template

FIRST = 8  # pixels that a line may lie beside its place a 25th of a second before or after it stands there,
FASTER = 12  # and by which it may move farther in each such time beyond, or less far, than in the one before
USUAL = 0.04  # seconds from frame to frame; where they are longer, a line has come farther, and faster
LIKE, SURELY_LIKE = 0.7, 0.75  # correlation with a line, of what may be it beside its place
ON_ITS_WAY = 0.6  # and where it must be if it goes on
LEAST_FRAMES, OF_FEW = 3, 2  # on its way, and where frames are twice as far apart as usual
LEAST_FAR = 1.0  # heights of the line that it slides
ACROSS = 1  # pixels by which it leaves its row, or column
LONGEST = 1.0  # seconds


class Slide:
    """The way of a line, frame by frame, from where it stands back to where it came from, or on to where it goes."""

    def __init__(self, template: Template, shown: Shown, beyond: Shown, x: int, y: int) -> None:
        self.template = template
        self.places = [(shown.seconds, 0, 0), (beyond.seconds, x, y)]
        """Seconds, and how far right and down from where it stands, there first."""
        self.under_way = True
        self._stands, self._beside, self._last = shown.grey, beyond.grey, beyond.grey

    def follow(self, frame: Shown) -> bool:
        """Look for the line in the next frame on its way; False if it is not there, or is too long on its way."""
        if not self.under_way:
            return False
        (_, bx, by), (_, x, y) = self.places[-2:]
        faster = round(FASTER * self._slower**2)
        along = np.arange(-faster, faster + 1)
        dx, dy = (along, (-1, 0, 1)) if abs(x) >= abs(y) else ((-1, 0, 1), along)
        near = [(2 * x - bx + int(i), 2 * y - by + int(j)) for i in dx for j in dy]
        best, place = max((self.template.pattern.match(frame.grey, *at), at) for at in near)
        if best >= ON_ITS_WAY:
            self.places.append((frame.seconds, *place))
            self._last = frame.grey
        self.under_way = best >= ON_ITS_WAY and self._took <= LONGEST
        return self.under_way

    def trace(self, past: Iterable[Shown]) -> None:
        """Follow the line back through frames, the latest first."""
        for frame in past:
            if frame.seconds < self.places[-1][0] and not self.follow(frame):
                return

    def with_the_picture(self, outline: Box) -> bool:
        """Whether most of the picture went with a line that stands there: all of an even way, else beside its place."""
        (_, x, y), then = (self.places[-1], self._last) if self.even else (self.places[1], self._beside)
        return background_moves(outline, self._stands, then, x, y).most

    @property
    def even(self) -> bool:
        """Whether it slid straight along its row or its column, always the same way, far, and soon stood."""
        ways = np.array(self.places, float).T[1:]
        along, across = sorted(ways, key=lambda way: -float(np.abs(way).max()))
        steps = np.diff(along)
        _, y0, _, y1 = self.template.tight
        return bool(
            len(steps) >= (LEAST_FRAMES if self._slower < 2 else OF_FEW)
            and np.abs(across).max() <= ACROSS
            and ((steps >= 0).all() or (steps <= 0).all())
            and abs(along[-1]) >= LEAST_FAR * (y1 - y0)
            and self._took <= LONGEST
        )

    @property
    def _slower(self) -> float:
        return slower(self.places[0][0], self.places[1][0])

    @property
    def _took(self) -> float:
        return abs(self.places[-1][0] - self.places[0][0])

    def event(self, stands: Found, size: tuple[int, int]) -> Found:
        """Return the event of its way, of that of the line that stands: all that its box sweeps, and two frames beyond,
        in which too little of it is in the picture to be known."""
        (before, *_), (end, x, y) = self.places[-2:]
        first, last = sorted((self.places[0][0], end + 2 * (end - before)))
        x0, y0, x1, y1 = stands.box
        box = clipped((x0 + min(x, 0), y0 + min(y, 0), x1 + max(x, 0), y1 + max(y, 0)), *size)
        return replace(stands, first_seconds=first, last_seconds=last, box=box)


def slower(one: float, other: float) -> float:
    """How many times as far apart as usual two neighbouring frames are, seconds; at least 1."""
    return max(1.0, abs(one - other) / USUAL)


def slide_of(template: Template, shown: Shown, beyond: Shown) -> Slide | None:
    """Begin the way of a line, if it lies beside its place in a frame next to one that shows it there.

    Where the likeness is poor it must be more than the line, in its place, has to itself: stripes are alike a row off.
    """
    match, x, y = template.pattern.shifted(beyond.grey, round(FIRST * slower(shown.seconds, beyond.seconds)))
    alike = match > SURELY_LIKE or match > max(LIKE, template.pattern.match(shown.grey, x, y))
    return Slide(template, shown, beyond, x, y) if alike and (x, y) != (0, 0) else None

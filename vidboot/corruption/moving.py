"""Captions that travel over the picture at a steady speed: followed by their strokes, one position per frame.

Text on a thing in the scene moves with that thing; a caption moves along a row or a column, evenly, over a picture
that does something else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidboot.boxes import Box, grow
from vidboot.corruption.background import background_moves
from vidboot.corruption.found import Found, Shown
from vidboot.corruption.line import MISSES
from vidboot.corruption.template import Template
from vidboot.corruption.ticker import Travelled

BACK_SECONDS = 0.15  # before its detection, when a line is looked for beside its place
REACH = 32  # how far beside, pixels of the frames text is looked for in
MATCH = 0.65  # correlation with its template all along the way
LEAST_SECONDS = 0.4  # shorter ways prove nothing
LEAST_TRAVEL = 6.0  # nor do shorter distances, pixels
MOST_UNEVEN = 2.5  # worst distance from an even motion, pixels
LEAST_LENGTH = 1.5  # a line of text is so many times longer than it is high; a ball or a box that rolls by is not
CHUNK_SECONDS = 0.1  # a box covers the line for so long
SCORE = 0.8
AT_REST = 0.3  # seconds in one place: the line slid there


class MovingLine:
    """A caption under way, from the frame it was found in both ways."""

    def __init__(self, template: Template, seconds: float, velocity: tuple[float, float]) -> None:
        self.template = template
        self.velocity = velocity  # px/s
        self.places: list[tuple[float, int, int]] = [(seconds, 0, 0)]  # seconds, how far from where it was found
        self.missed = 0
        self.background_moves_along: list[bool] = []

    def watch_background(self, past: Sequence[Shown], text: Sequence[Box]) -> None:
        """Add to the evidence whether the picture moved like the line up to the last frame of ``past``.

        Args:
            past: frames.
            text: where other lines are in the last of them.
        """
        seconds, now, *_ = past[-1]
        last, x, y = self.places[-1]
        earlier = [place for place in self.places if place[0] <= seconds - BACK_SECONDS]
        if last != seconds or not earlier:
            return
        at, x_then, y_then = max(earlier)
        then = next((frame.grey for frame in past if frame.seconds == at), None)
        if then is not None and max(abs(x - x_then), abs(y - y_then)) >= 2:
            moves = background_moves(self.outline, now, then, x_then - x, y_then - y, text=text)
            self.background_moves_along.append(any(moves))

    def follow(self, frame: Shown) -> bool:
        """Look for the line in the next frame, near where its speed leads; False if it is not there."""
        last, x, y = self.places[-1]
        dx = x + self.velocity[0] * (frame.seconds - last)
        dy = y + self.velocity[1] * (frame.seconds - last)
        near = [(round(dx) + i, round(dy) + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        best, place = max((self.template.pattern.match(frame.grey, i, j), (i, j)) for i, j in near)
        if best < MATCH:
            self.missed += 1
            return False
        self.missed = 0
        self.places.append((frame.seconds, *place))
        if len(self.places) >= 6:
            self.velocity = self._fit()[0]
        return True

    @property
    def at_rest(self) -> bool:
        """Whether it has come to its place: a line that stands, found on its way there."""
        last, *place = self.places[-1]
        moved = max((seconds for seconds, *other in self.places if other != place), default=self.places[0][0])
        return last - moved > AT_REST

    @property
    def outline(self) -> Box:
        """Where it was seen last."""
        _, x, y = self.places[-1]
        x0, y0, x1, y1 = self.template.box
        return float(x0 + x), float(y0 + y), float(x1 + x), float(y1 + y)

    def _fit(self) -> tuple[tuple[float, float], float]:
        """The speed, px/s, and the worst distance from an even motion, px."""
        seconds, x, y = np.array(self.places, float).T
        lines = [np.polyfit(seconds - seconds[0], along, 1) for along in (x, y)]
        off = [np.abs(np.polyval(line, seconds - seconds[0]) - a).max() for line, a in zip(lines, (x, y), strict=True)]
        return (float(lines[0][0]), float(lines[1][0])), float(max(off))

    def travelled(self, size: tuple[int, int], margin: float) -> Travelled | None:
        """Return what is left of the line once it is gone; None if it is more likely a thing of the scene."""
        first, last = self.places[0][0], self.places[-1][0]
        if last - first < LEAST_SECONDS or len(self.places) < 6:
            return None
        (vx, vy), off = self._fit()
        along, across = max(abs(vx), abs(vy)), min(abs(vx), abs(vy))
        steady = off <= MOST_UNEVEN and across <= 0.08 * along
        x0, y0, x1, y1 = self.template.tight
        if x1 - x0 < LEAST_LENGTH * (y1 - y0):
            return None
        votes = self.background_moves_along
        if not steady or not votes or np.mean(votes) > 0.5 or along * (last - first) < LEAST_TRAVEL:
            return None
        boxes = tuple(self._chunk(part, size, margin) for part in self._chunks())
        return Travelled(boxes, (vx, vy), x1 - x0)

    def _chunks(self) -> list[list[tuple[float, int, int]]]:
        chunks: list[list[tuple[float, int, int]]] = []
        for place in self.places:
            if not chunks or place[0] - chunks[-1][0][0] >= CHUNK_SECONDS:
                chunks.append([])
            chunks[-1].append(place)
        return chunks

    def _chunk(self, part: list[tuple[float, int, int]], size: tuple[int, int], margin: float) -> Found:
        x0, y0, x1, y1 = self.template.tight
        xs, ys = [x for _, x, _ in part], [y for _, _, y in part]
        box = (float(x0 + min(xs)), float(y0 + min(ys)), float(x1 + max(xs)), float(y1 + max(ys)))
        grown = grow(box, 1 + margin * (y1 - y0), *size)
        return Found(kind="subtitle", first_seconds=part[0][0], last_seconds=part[-1][0], box=grown, score=SCORE)


def begin_moving(template: Template, seconds: float, past: Sequence[Shown]) -> MovingLine | None:
    """Return the line if it was beside its place shortly before, on its way; followed back through ``past``."""
    earlier = [frame for frame in past if seconds - frame.seconds >= BACK_SECONDS]
    if not earlier:
        return None
    then = earlier[-1]
    best, dx, dy = template.pattern.shifted(then.grey, REACH)
    if best < MATCH or max(abs(dx), abs(dy)) < 2:
        return None
    line = MovingLine(template, seconds, (-dx / (seconds - then.seconds), -dy / (seconds - then.seconds)))
    line.background_moves_along.append(any(background_moves(line.outline, past[-1].grey, then.grey, dx, dy)))
    back = MovingLine(template, seconds, line.velocity)
    for frame in reversed(past):
        if frame.seconds < seconds and not back.follow(frame) and back.missed > MISSES:
            break
    line.places = back.places[::-1]
    return line

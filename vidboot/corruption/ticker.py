"""Tickers: captions that travel along the same rows one after the other, longer together than the frame is wide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from vidboot.corruption.found import Found

UNEVEN = 0.1  # share of the speed by which its parts may differ
APART = 3.0  # heights between two of them
LEAST_LENGTH = 1.2  # widths of the frame


@dataclass(frozen=True)
class Travelled:
    """A caption that has passed."""

    boxes: tuple[Found, ...]
    """Each covers it for a short time; in order."""
    velocity: tuple[float, float]
    """Right and down, px/s."""
    width: float
    """From its first letter to its last, px."""

    def follows(self, other: Travelled) -> bool:
        """Whether both may be parts of one ticker: seen together in the same rows, equally fast, side by side."""
        (vx, vy), (wx, _) = self.velocity, other.velocity
        if abs(vx) <= abs(vy) or abs(vx - wx) > UNEVEN * abs(vx):
            return False
        if self.boxes[0].first_seconds > other.boxes[-1].last_seconds:
            return False
        (a0, top, a1, bottom), (b0, other_top, b1, other_bottom) = self.boxes[0].box, other.boxes[-1].box
        height = min(bottom - top, other_bottom - other_top)
        if min(bottom, other_bottom) - max(top, other_top) <= 0.5 * height:
            return False
        went = wx * (self.boxes[0].first_seconds - other.boxes[-1].first_seconds)
        return max(b0 + went - a1, a0 - b1 - went) <= APART * height


def with_tickers(lines: Sequence[Travelled], width: int) -> list[Found]:
    """Return the boxes of lines that travelled, but a single one for all lines of a ticker.

    It hides the letters as they come in and go out, too, where no line can be followed, and may reach beyond the film.

    Args:
        lines: in any order.
        width: of the frame, px.
    """
    groups: list[list[Travelled]] = []
    for line in sorted(lines, key=lambda line: line.boxes[0].first_seconds):
        own = [group for group in groups if any(line.follows(other) for other in group)]
        groups = [group for group in groups if group not in own] + [[line, *chain.from_iterable(own)]]
    found: list[Found] = []
    for group in groups:
        if _length(group) > LEAST_LENGTH * width:
            found.append(_ticker(group))
        else:
            found += [box for line in group for box in line.boxes]
    return found


def _length(lines: Sequence[Travelled]) -> float:
    """From the first letter of all lines to the last, px."""
    speed = float(np.median([line.velocity[0] for line in lines]))
    begins = [line.boxes[0].box[0] - speed * line.boxes[0].first_seconds for line in lines]
    return max(begin + line.width for begin, line in zip(begins, lines, strict=True)) - min(begins)


def _ticker(lines: Sequence[Travelled]) -> Found:
    boxes = [one for line in lines for one in line.boxes]
    x0, y0, x1, y1 = np.array([one.box for one in boxes]).T
    # A line is followed from when all of it is in the frame: as long before and after as it takes to come and to go.
    entering = max(line.width / abs(line.velocity[0]) for line in lines)
    return Found(
        kind="subtitle",
        first_seconds=min(one.first_seconds for one in boxes) - entering,
        last_seconds=max(one.last_seconds for one in boxes) + entering,
        box=(float(x0.min()), float(y0.min()), float(x1.max()), float(y1.max())),
        score=boxes[0].score,
    )

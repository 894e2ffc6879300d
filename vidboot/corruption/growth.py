"""Lines that grow to their size, as words that pop up do: followed back, frame by frame, to where they are smallest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vidboot.boxes import Box, clipped
from vidboot.corruption.found import Shown
from vidboot.corruption.template import Pattern

LIKE = 0.5  # correlation with a line, of what may be it at another size
SIZES = tuple(np.arange(1.16, 0.34, -0.04).tolist())  # over that at which it stands
FASTEST = 0.4  # by which its size may change from one frame to the next
REACH = 4  # pixels by which its middle may lie beside that of its place
LEAST = 0.9  # size it must have come from
LONGEST = 0.6  # seconds
UNSEEN, AT_MOST = 2, 0.1  # frames, and seconds, before the first that shows it, in which it may be too small to know


class Growth(NamedTuple):
    """How a line came to its size."""

    began: float
    """Seconds."""
    largest: float
    """Its size where that was largest, over that at which it stands: words may grow beyond it and shrink back."""

    def around(self, box: Box, width: int, height: int) -> Box:
        """Return a box around it at any size, given that in which it stands; both within the frame."""
        x0, y0, x1, y1 = box
        x, y = (self.largest - 1) / 2 * (x1 - x0), (self.largest - 1) / 2 * (y1 - y0)
        return clipped((x0 - x, y0 - y, x1 + x, y1 + y), width, height)


def growth_of(pattern: Pattern, past: Sequence[Shown]) -> Growth | None:
    """Follow a line back from the first frame that shows it as it stands; None: it did not grow.

    Args:
        pattern: what it looks like where it stands.
        past: that frame, and those before, the latest first.
    """
    sizes, times = [1.0], []
    for (stood, _, cut, _), (seconds, grey, *_) in pairwise(past):
        times = times or [stood]
        if cut or times[0] - seconds > LONGEST:
            break
        most = sizes[-1] if sizes[-1] < 1 else SIZES[0]
        near = [size for size in SIZES if sizes[-1] - FASTEST <= size <= most]
        found = [(_match(pattern.scaled(size), grey), size) for size in near]
        like, size = max(found, default=(0.0, 1.0))
        if like < LIKE:
            break
        sizes.append(size)
        times.append(seconds)
    if sizes[-1] > LEAST:
        return None
    return Growth(times[-1] - min(AT_MOST, UNSEEN * (times[-2] - times[-1])), max(sizes))


def _match(pattern: Pattern, grey: np.ndarray) -> float:
    """Its correlation with what is about its place; 0 where that leaves the frame."""
    x0, y0, x1, y1 = pattern.box
    height, width = grey.shape
    return pattern.shifted(grey, REACH)[0] if min(x0, y0) >= 0 and x1 <= width and y1 <= height else 0.0

"""Whether the picture moves as a line of text does: then the text is written on something in the scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vidboot.boxes import Box, IntBox

IntPair = tuple[int, int]
LEAST_SEEN = 32  # pixels
TELLING = 2.0  # levels by which a block of the picture changes in its place, to say anything
LEAST_AGREE = 0.2  # of all blocks of the picture: fewer may be lines that were not found yet


class Moves(NamedTuple):
    """What moved like a line, rather than not at all, half as far or farther."""

    beside: bool
    """The picture above and below it: the thing it is written on, or a plate behind a caption."""
    most: bool
    """Most of the picture that says anything."""


def background_moves(
    outline: Box, now: np.ndarray, then: np.ndarray, dx: int, dy: int, *, text: Sequence[Box] = ()
) -> Moves:
    """Say what of the picture moved like a line.

    Args:
        outline: where the line is now.
        now, then: two frames.
        dx, dy: how much farther right and down the line lay then.
        text: where other lines are now; what lies there says nothing of the picture.
    """
    lines = [_whole_pixels(box) for box in (outline, *text)]

    def changed(share: float) -> np.ndarray:
        return _changed(now, then, (round(share * dx), round(share * dy)), lines, (dx, dy))

    along, *otherwise = (changed(share) for share in (1.0, 0.0, 0.5, 1.5))
    beside = _beside(along, outline) < min(_beside(change, outline) for change in otherwise)
    blocks, still = _in_blocks(along), _in_blocks(otherwise[0])
    telling = still > TELLING
    agree = telling & (blocks < 0.5 * still)
    return Moves(beside, bool(agree.sum() > max(0.5 * telling.sum(), LEAST_AGREE * telling.size)))


def _whole_pixels(box: Box) -> IntBox:
    x0, y0, x1, y1 = box
    return int(x0) - 2, int(y0) - 2, int(x1) + 3, int(y1) + 3


def _changed(now: np.ndarray, then: np.ndarray, by: IntPair, lines: Sequence[IntBox], way: IntPair) -> np.ndarray:
    """How much each pixel changed, levels, if the picture lay ``by`` farther then; NaN where it was not in it, or
    where lines are that went their ``way``."""
    (dx, dy), (height, width) = by, now.shape
    changed = np.full(now.shape, np.nan, np.float32)
    top, bottom, left, right = max(0, -dy), min(height, height - dy), max(0, -dx), min(width, width - dx)
    if top < bottom and left < right:
        here, there = now[top:bottom, left:right], then[top + dy : bottom + dy, left + dx : right + dx]
        changed[top:bottom, left:right] = cv2.absdiff(here, there)
    for x, y in ((0, 0), (-dx, -dy), (way[0] - dx, way[1] - dy)):  # now, then if they stand, then on their way
        for x0, y0, x1, y1 in lines:
            changed[max(0, y0 + y) : max(0, y1 + y), max(0, x0 + x) : max(0, x1 + x)] = np.nan
    return changed


def _beside(changed: np.ndarray, outline: Box) -> float:
    """The mean above and below a line; 0 if there is nothing to tell by."""
    x0, y0, x1, y1 = (round(v) for v in outline)
    by = max(6, y1 - y0)
    means = []
    for top in (y0 - 2 - by, y1 + 2):
        part = changed[max(0, top) : max(0, top + by), max(0, x0) : max(0, x1)]
        if np.isfinite(part).sum() >= LEAST_SEEN:
            means.append(np.nanmean(part))
    return float(np.mean(means)) if means else 0.0


def _in_blocks(changed: np.ndarray) -> np.ndarray:
    """The mean of each of 8x8 blocks, 0 where there is nothing to tell by."""
    rows, columns = (np.linspace(0, size, 8, endpoint=False).astype(int) for size in changed.shape)
    seen = np.isfinite(changed)
    count, total = (
        np.add.reduceat(np.add.reduceat(x, rows, 0), columns, 1)
        for x in (seen.astype(np.float32), np.where(seen, changed, 0))
    )
    return total / np.maximum(count, 1)

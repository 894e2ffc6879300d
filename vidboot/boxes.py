"""Boxes x0, y0, x1, y1: where they overlap, and what lies around pixels."""

from __future__ import annotations

import numpy as np

Box = tuple[float, float, float, float]
IntBox = tuple[int, int, int, int]
"""Whole pixels; x1 and y1 are not part of it."""


def area(box: Box) -> float:
    """Return the area of a box, 0 for an empty one."""
    x0, y0, x1, y1 = box
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def intersection(a: Box, b: Box) -> float:
    """Return the area two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def share_in(box: Box, other: Box) -> float:
    """Return the share of a box that lies in another; 0 of an empty one."""
    own = area(box)
    return intersection(box, other) / own if own > 0 else 0.0


def iou(a: Box, b: Box) -> float:
    """Return the shared area over the area of both; 0 of two empty boxes."""
    shared = intersection(a, b)
    both = area(a) + area(b) - shared
    return shared / both if both > 0 else 0.0


def grow(box: Box, by: float, width: int, height: int) -> Box:
    """Return the box with ``by`` more pixels on each side, within the frame."""
    x0, y0, x1, y1 = box
    return clipped((x0 - by, y0 - by, x1 + by, y1 + by), width, height)


def clipped(box: Box, width: int, height: int) -> Box:
    """Return what of a box lies within the frame."""
    x0, y0, x1, y1 = box
    return max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)


def whole(box: Box, width: int, height: int) -> IntBox:
    """Return the whole pixels that a box touches, at least two each way, within the frame but for those."""
    x0, y0 = (max(0, int(np.floor(v))) for v in box[:2])
    x1, y1 = (int(np.ceil(v)) for v in box[2:])
    return x0, y0, min(width, max(x1, x0 + 2)), min(height, max(y1, y0 + 2))


def around(pixels: np.ndarray) -> Box:
    """Return the box around the True of ``pixels``, [H, W]; an empty one where nothing is."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)

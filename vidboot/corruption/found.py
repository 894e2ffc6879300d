"""What a detector says it found, in pixels of the frames it was shown, and small geometry of boxes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidboot.masks import Box, Kind

Frames = Iterator[tuple[float, np.ndarray]]
"""Yields (seconds, frame uint8 RGB [H, W, 3]) in the order of time, all frames of one size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that is not the scene; first and last frame are both included."""

    kind: Kind
    first_seconds: float
    last_seconds: float
    box: Box | None = None
    """Either this, or ``layer``."""
    layer: np.ndarray | None = None
    """bool [H, W], True = hidden."""
    score: float = 1.0
    """0 to 1; below `masks.SURE` a person decides before it hides anything."""


def area(box: Box) -> float:
    """Return the area of a box, 0 for an empty one."""
    x0, y0, x1, y1 = box
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def intersection(a: Box, b: Box) -> float:
    """Return the area two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: Box, b: Box) -> float:
    """Return the shared area over the area of both."""
    shared = intersection(a, b)
    return shared / max(area(a) + area(b) - shared, 1e-9)


def grow(box: Box, by: float, width: int, height: int) -> Box:
    """Return the box with ``by`` more pixels on each side, within the frame."""
    x0, y0, x1, y1 = box
    return max(0.0, x0 - by), max(0.0, y0 - by), min(float(width), x1 + by), min(float(height), y1 + by)


def watch(frames: Frames, *watchers: object) -> Frames:
    """Pass frames on, showing each to every watcher (called with seconds, frame): one decode feeds all."""
    for seconds, frame in frames:
        for watcher in watchers:
            watcher(seconds, frame)  # type: ignore[operator]
        yield seconds, frame

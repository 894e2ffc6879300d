"""Frozen spans: the picture stops in the middle of motion and repeats itself, then goes on."""

import cv2
import numpy as np

from vidboot.corruption.found import Found, Picture
from vidboot.corruption.thresholds import StillThresholds

GRID = (160, 90)
CELL = 10


class Changes:
    """Watches frames and keeps how much the most changed cell changes from each frame to the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.change: list[float] = []
        self._last: np.ndarray | None = None

    def __call__(self, seconds: float, picture: Picture) -> None:
        small = cv2.resize(picture.grey, GRID, interpolation=cv2.INTER_AREA)
        if self._last is None:
            self.change.append(np.inf)
        else:
            cells = cv2.resize(cv2.absdiff(small, self._last).astype(np.float32), (16, 9), interpolation=cv2.INTER_AREA)
            self.change.append(float(cells.max()))
        self._last = small
        self.seconds.append(seconds)


def _motion(change: np.ndarray) -> float:
    """Second largest change of a few frames: a cut alone, as between two slides, is no motion."""
    return float(np.sort(change)[-2]) if len(change) > 1 else 0.0


def find_frozen(changes: Changes, *, thresholds: StillThresholds) -> list[Found]:
    """Return the spans that repeat a frame between two spans of motion, as boxes of the whole frame (0, 0, 1, 1).

    A camera that stands still before a scene without motion also repeats frames; that is the scene, not damage.
    """
    change = np.array(changes.change)
    still = np.concatenate([[False], change < thresholds.cell_change, [False]])
    edges = np.flatnonzero(np.diff(still.astype(np.int8)))
    found = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        before, after = change[max(0, first - 3) : first], change[end : end + 3]
        moving = min(_motion(before), _motion(after)) >= thresholds.motion_change
        if end - first >= thresholds.least_frames and moving and first > 1:
            seconds = changes.seconds[first], changes.seconds[end - 1]
            found.append(
                Found(kind="frozen", first_seconds=seconds[0], last_seconds=seconds[1], box=(0, 0, 1, 1), score=0.7)
            )
    return found

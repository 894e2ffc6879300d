"""Frozen spans: the picture stops in the middle of motion and repeats itself, then goes on."""

import cv2
import numpy as np

from vidboot.corruption.found import Found, Picture

CELL_CHANGE = 0.9  # a frame repeats the last one if no 8x8 cell at 160x90 changes by more, levels
LEAST_FRAMES = 6  # shorter repeats are how some films are made
MOTION_CHANGE = 6.0  # levels by which the most changed cell changes before and after: else the camera just stands
MOVING_SHARE = 0.3  # of the picture before and after, and does not fade, where no person needs to be asked
GRID = (160, 90)
MOVES = 2.0  # levels by which a cell must change to move at all
FADES = 0.3  # of its change: a cell whose second difference is less fades


class Changes:
    """Watches frames and keeps how they change from each to the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.change: list[float] = []
        """Of the most changed cell, levels."""
        self.moved: list[float] = []
        """Share of the cells that change as motion does; 0 where frames fade into each other."""
        self._last: list[np.ndarray] = []  # two, shrunk

    def __call__(self, seconds: float, picture: Picture) -> None:
        small = cv2.resize(picture.grey, GRID, interpolation=cv2.INTER_AREA).astype(np.float32)
        step = np.full((9, 16), np.inf) if not self._last else _in_cells(small - self._last[-1])
        self.change.append(float(step.max()))
        self.moved.append(0.0)
        if len(self._last) == 2:
            # What fades changes as much in the next frame as in this one; what moves does not, pixel by pixel.
            bend = _in_cells(small - 2 * self._last[1] + self._last[0])
            self.moved[-1] = float(((bend > FADES * step) & (step > MOVES)).mean())
        self._last = [*self._last[-1:], small]
        self.seconds.append(seconds)


def _in_cells(difference: np.ndarray) -> np.ndarray:
    return cv2.resize(np.abs(difference), (16, 9), interpolation=cv2.INTER_AREA)


def _motion(change: np.ndarray) -> float:
    """Second largest change of a few frames: a cut alone, as between two slides, is no motion."""
    return float(np.sort(change)[-2]) if len(change) > 1 else 0.0


def find_frozen(changes: Changes) -> list[Found]:
    """Return the spans that repeat a frame between two spans of motion, as boxes of the whole frame (0, 0, 1, 1).

    A camera that stands still before a scene without motion also repeats frames; that is the scene, not damage. Where
    only a part of the picture moves, as in what is recorded of a screen, or what stops was fading, as titles do, a
    person is asked.
    """
    change, moved = np.array(changes.change), np.array(changes.moved)
    still = np.concatenate([[False], change < CELL_CHANGE, [False]])
    edges = np.flatnonzero(np.diff(still.astype(np.int8)))
    found = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        around = slice(max(0, first - 3), first), slice(end, end + 3)
        moving = min(_motion(change[part]) for part in around) >= MOTION_CHANGE
        if end - first >= LEAST_FRAMES and moving:
            all_of_it = min(_motion(moved[part]) for part in around) >= MOVING_SHARE
            on, off = changes.seconds[first], changes.seconds[end - 1]
            score = 0.7 if all_of_it else 0.4
            found.append(Found(kind="frozen", first_seconds=on, last_seconds=off, box=(0, 0, 1, 1), score=score))
    return found

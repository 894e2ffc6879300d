"""Lines of text that are switched on or off: what changes from one frame to the next far more than the picture moves.

White letters on a white wall, which no detector reads, are plain in what changes as they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from vidboot.boxes import Box, share_in, whole
from vidboot.corruption.found import Shown
from vidboot.corruption.row import LEAST_TALL, field, joined, mostly_within, pieces_of, strength_of
from vidboot.corruption.tophat import legible_rows

BEFORE, AFTER = 3, 2  # frames that say how the picture moves
LEAST_BEFORE = 2  # of them, after a cut or at the beginning: some codecs draw what follows a first frame anew
BEYOND = 2  # times as much as a pixel changes between any two of those in a row,
LEAST = 10  # and so many levels more
MOST = 0.15  # share of the picture that changes at once: more is a flash
STRONGER = 1.5  # times, edges with a line over those without: else a texture has changed
REACH = 6  # heights of a line within which what changes in its rows is part of it


@dataclass(frozen=True)
class Switched:
    """A line that comes or goes from one frame to the next."""

    box: Box
    ink: np.ndarray
    """Which pixels change, bool [H, W] of the frame."""
    came: bool
    frames: tuple[Shown, ...]
    """The first or the last frame that shows it, and all since."""

    def share_within(self, boxes: Iterable[Box]) -> float:
        """Return how much of what changes lies in any of the boxes."""
        x0, y0, x1, y1 = map(int, self.box)
        left = self.ink[y0:y1, x0:x1].copy()
        for box in boxes:
            a, b, c, d = whole(box, *self.ink.shape[::-1])
            left[max(0, b - y0) : max(0, d - y0), max(0, a - x0) : max(0, c - x0)] = False
        return 1 - float(left.sum()) / max(1, int(self.ink[y0:y1, x0:x1].sum()))


class Sudden:
    """Watches a film for lines that are switched on or off."""

    def __init__(self) -> None:
        self._frames: deque[Shown] = deque(maxlen=BEFORE + 1 + AFTER)
        self._changes: deque[np.ndarray] = deque(maxlen=BEFORE + AFTER)

    def see(self, frame: Shown) -> list[Switched]:
        """Return the lines that came or went `AFTER` frames before this one.

        Soon after a cut, or the film's first frame, fewer frames before a change are asked.
        """
        if frame.cut:
            self._frames.clear()
            self._changes.clear()
        if self._frames:
            self._changes.append(cv2.absdiff(self._frames[-1].grey, frame.grey))
        self._frames.append(frame)
        at = len(self._changes) - AFTER - 1
        return self._switched(at) if at >= LEAST_BEFORE - 1 else []

    def _switched(self, at: int) -> list[Switched]:
        """Return the lines of a change, that from frame ``at`` of those kept to the next."""
        changes = list(self._changes)
        change = changes.pop(at)
        motion = np.max(changes, axis=0)
        # Levels saturate at 255, as do the pixels themselves.
        limit = cv2.addWeighted(cv2.dilate(motion, np.ones((3, 3), np.uint8)), BEYOND, motion, 0, LEAST)
        ink = change > limit
        if ink.mean() > MOST:
            return []
        frames = tuple(self._frames)
        lines = []
        for box in _lines(ink):
            without, shown = (_strength(frame.grey, box, ink) for frame in frames[at : at + 2])
            if shown > STRONGER * without:
                lines.append(Switched(box, ink, True, frames[at + 1 :]))
            elif without > STRONGER * shown:
                lines.append(Switched(box, ink, False, frames[at:]))
        return lines


def _lines(ink: np.ndarray) -> list[Box]:
    """Rows that are legible, and what else changes in them."""
    lines: list[Box] = []
    rows = legible_rows(ink)
    pieces = pieces_of(ink) if rows else []
    for row in rows:
        if not any(share_in(row, line) > 0.5 for line in lines):
            tall = row[3] - row[1]
            letters = [
                one for one in pieces if mostly_within(one, row[1], row[3]) and one[3] - one[1] >= LEAST_TALL * tall
            ]
            lines.append(joined(row, letters, REACH * tall))
    return lines


def _strength(grey: np.ndarray, box: Box, ink: np.ndarray) -> float:
    """Mean strength of the edges of what changes in a box."""
    x0, y0, x1, y1 = map(int, box)
    there = cv2.dilate(ink[y0:y1, x0:x1].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return float(strength_of(field(grey, (x0, y0, x1, y1)))[there].mean())

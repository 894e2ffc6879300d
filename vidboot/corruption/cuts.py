"""Cuts of a film: most of the picture changes from one frame to the next, and not only a plate that comes or goes."""

from __future__ import annotations

import cv2
import numpy as np

CUT_LEVELS = 18.0  # the picture changes by this much in one frame, in the mean,
CUT_MOST = 7.0  # and most of it by this much: a cut, and no plate that comes or goes
SIZE = (32, 18)  # of the picture that is compared
DARK = 16  # levels: what is darker in both frames says nothing; below `CUT_LEVELS`, so that something is not


class Cuts:
    """Watches a film for cuts."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def see(self, grey: np.ndarray) -> bool:
        """Return whether a frame, uint8 [H, W], begins a shot."""
        now = cv2.resize(grey, SIZE, interpolation=cv2.INTER_AREA).astype(np.int16)
        last, self._last = self._last, now
        if last is None:
            return False
        change = np.abs(now - last)
        if change.mean() <= CUT_LEVELS:
            return False
        return float(np.median(change[np.maximum(now, last) > DARK])) > CUT_MOST

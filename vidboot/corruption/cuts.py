"""Cuts of a film: most of the picture changes from one frame to the next, and not only a plate that comes or goes."""

from __future__ import annotations

import cv2
import numpy as np

from vidboot.corruption.thresholds import TextThresholds

SIZE = (32, 18)  # of the picture that is compared
DARK = 16  # levels: what is darker in both frames says nothing; below `cut_levels`, so that something is not


class Cuts:
    """Watches a film for cuts."""

    def __init__(self, thresholds: TextThresholds) -> None:
        self._thresholds = thresholds
        self._last: np.ndarray | None = None

    def see(self, grey: np.ndarray) -> bool:
        """Return whether a frame, uint8 [H, W], begins a shot."""
        now = cv2.resize(grey, SIZE, interpolation=cv2.INTER_AREA).astype(np.int16)
        last, self._last = self._last, now
        if last is None:
            return False
        change = np.abs(now - last)
        if change.mean() <= self._thresholds.cut_levels:
            return False
        return float(np.median(change[np.maximum(now, last) > DARK])) > self._thresholds.cut_most

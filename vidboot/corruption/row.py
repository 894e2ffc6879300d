"""The rows a line of text lies in, all across the frame: how far it goes beyond what the detector saw of it.

Letters end where their line ends, above and below; what crosses those rows is the scene.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidboot.boxes import Box
from vidboot.corruption.static import gradients

IntBox = tuple[int, int, int, int]
INK = 0.4  # of the strongest strokes of the line: what is fainter is no letter of it
LARGEST = 24  # pixels: a line of larger letters the detector sees whole, and things of a scene follow it in its rows
SLACK = 2  # pixels by which a letter may stick out of its line


class Row:
    """Gradients of the rows around a box, summed over the frames that show its line."""

    def __init__(self, box: IntBox, grey: np.ndarray) -> None:
        height, width = grey.shape
        by = box[3] - box[1]
        self._strip: IntBox = (0, max(0, box[1] - by), width, min(height, box[3] + by))
        self._sum = np.zeros((self._strip[3] - self._strip[1], width, 2), np.float32)
        self.learn(grey)

    def learn(self, grey: np.ndarray) -> None:
        """Add one more frame."""
        self._sum += field(grey, self._strip)

    def completed(self, box: Box, *, gap: float) -> Box:
        """Return the box of a line, wider by letters on either side, each within ``gap`` heights of the last one."""
        x0, top, x1, bottom = box
        first, last = round(top) - self._strip[1], round(bottom) - self._strip[1]
        strength = np.hypot(self._sum[..., 0], self._sum[..., 1])
        own = strength[max(0, first) : last, max(0, round(x0)) : round(x1)]
        tall = last - first
        if own.size == 0 or tall > LARGEST:
            return box
        ink = strength > INK * np.percentile(own, 97)
        count, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8))
        letters = [
            (x, x + w)
            for x, y, w, h, _ in stats[1:count]
            if y >= first - SLACK and y + h <= last + SLACK and h >= 0.4 * tall
        ]
        for left, right in sorted(letters):
            if x0 < right and left <= x1 + gap * tall:
                x1 = max(x1, float(right))
        for left, right in sorted(letters, key=lambda letter: letter[1], reverse=True):
            if left < x1 and right >= x0 - gap * tall:
                x0 = min(x0, float(left))
        return x0, top, x1, bottom


def field(grey: np.ndarray, box: IntBox) -> np.ndarray:
    """Return the gradients of the frame in a box that lies within it, float32 [h, w, 2]."""
    x0, y0, x1, y1 = box
    height, width = grey.shape
    # One pixel more on each side, so that the border's gradient is the picture's own.
    ax, ay = max(0, x0 - 1), max(0, y0 - 1)
    crop = grey[ay : min(height, y1 + 1), ax : min(width, x1 + 1)]
    return gradients(crop)[y0 - ay : y1 - ay, x0 - ax : x1 - ax].astype(np.float32)

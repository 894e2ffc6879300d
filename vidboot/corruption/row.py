"""The rows a line of text lies in, all across the frame: how far it goes beyond what the detector saw of it.

Letters end where their line ends, above and below; what crosses those rows is the scene.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidboot.boxes import Box, IntBox
from vidboot.corruption.static import gradients

INK = 0.4  # of the strongest strokes of the line: what is fainter is no letter of it
LARGEST = 24  # pixels: a line of larger letters the detector sees whole, and things of a scene follow it in its rows
FAINT = 0.2  # but for what comes and goes with the line in a picture that stays
FARTHEST = 3  # heights that it goes beyond what was seen of it, but for what comes and goes with it: so go fences, too
NEW = 0.5  # of a stroke's strength, by which it changes as its line comes or goes: else it is the scene's
LEAST_TALL = 0.4  # heights of a line that a letter of it has
SLACK = 2  # pixels by which a letter may stick out of its line


class Row:
    """Gradients of the rows around a box, summed over the frames that show its line."""

    def __init__(self, box: IntBox, grey: np.ndarray) -> None:
        height, width = grey.shape
        by = box[3] - box[1]
        self._strip: IntBox = (0, max(0, box[1] - by), width, min(height, box[3] + by))
        self._sum = np.zeros((self._strip[3] - self._strip[1], width, 2), np.float32)
        self._seen = 0
        self._without: list[np.ndarray] = []
        self.learn(grey)

    def learn(self, grey: np.ndarray) -> None:
        """Add one more frame."""
        self._sum += field(grey, self._strip)
        self._seen += 1

    def without(self, grey: np.ndarray) -> None:
        """Take note of a frame just before the line came, or just after it went, in a picture that goes on."""
        self._without.append(field(grey, self._strip))

    def completed(self, box: Box, *, gap: float, still: bool) -> Box:
        """Return the box of a line, and of letters on either side, each within ``gap`` heights of the last one.

        Args:
            box: of what the detector saw of it.
            gap: heights of the line.
            still: whether the picture stays, so that all that comes and goes with the line is part of it, be it faint
                or reach out of the rows.
        """
        first, last = (round(side) - self._strip[1] for side in (box[1], box[3]))
        mean, tall = self._sum / self._seen, last - first
        strength = strength_of(mean)
        own = strength[max(0, first) : last, max(0, round(box[0])) : round(box[2])]
        if own.size == 0 or tall > LARGEST:
            return box
        strongest = np.percentile(own, 97)
        ink = pieces_of(strength > INK * strongest)
        near = box[0] - FARTHEST * tall, box[2] + FARTHEST * tall
        letters = [one for one in ink if first - SLACK <= one[1] and one[3] <= last + SLACK]
        letters = [one for one in letters if near[0] <= one[0] and one[2] <= near[1]]
        if still and self._without:
            changed = np.min([strength_of(mean - without) for without in self._without], axis=0)
            new = (strength > FAINT * strongest) & (changed > NEW * strength)
            letters += [one for one in pieces_of(new) if mostly_within(one, first, last)]
        letters = [one for one in letters if one[3] - one[1] >= LEAST_TALL * tall]
        x0, y0, x1, y1 = joined((box[0], first, box[2], last), letters, gap * tall)
        return x0, min(box[1], y0 + self._strip[1]), x1, max(box[3], y1 + self._strip[1])


def joined(line: Box, letters: Sequence[IntBox], reach: float) -> Box:
    """Return the box of a line and of letters on either side, each within ``reach`` pixels of the last one."""
    x0, y0, x1, y1 = line
    for left, top, right, bottom in sorted(letters):
        if x0 < right and left <= x1 + reach:
            y0, x1, y1 = min(y0, top), max(x1, right), max(y1, bottom)
    for left, top, right, bottom in sorted(letters, key=lambda letter: letter[2], reverse=True):
        if left < x1 and right >= x0 - reach:
            x0, y0, y1 = min(x0, left), min(y0, top), max(y1, bottom)
    return float(x0), float(y0), float(x1), float(y1)


def pieces_of(ink: np.ndarray) -> list[IntBox]:
    """Return the boxes of what hangs together in ``ink``, bool [H, W]."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8))
    return [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:count].tolist()]


def mostly_within(box: IntBox, first: int, last: int) -> bool:
    """Return whether a letter lies in the rows of a line, but for what sticks out above or below."""
    tall = box[3] - box[1]
    return tall <= 1.5 * (last - first) and min(last, box[3]) - max(first, box[1]) >= 0.7 * tall


def strength_of(gradients: np.ndarray) -> np.ndarray:
    """Return how strong gradients are, [...] of [..., 2]."""
    return np.hypot(gradients[..., 0], gradients[..., 1])


def field(grey: np.ndarray, box: IntBox) -> np.ndarray:
    """Return the gradients of the frame in a box that lies within it, float32 [h, w, 2]."""
    x0, y0, x1, y1 = box
    height, width = grey.shape
    # One pixel more on each side, so that the border's gradient is the picture's own.
    ax, ay = max(0, x0 - 1), max(0, y0 - 1)
    crop = grey[ay : min(height, y1 + 1), ax : min(width, x1 + 1)]
    return gradients(crop)[y0 - ay : y1 - ay, x0 - ax : x1 - ax].astype(np.float32)

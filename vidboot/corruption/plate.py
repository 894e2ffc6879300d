"""The plate a caption may stand on: of one colour, still, and there only as long as its letters are."""

from __future__ import annotations

import cv2
import numpy as np

from vidboot.boxes import Box, IntBox, area

REACH = (16, 2)  # heights of the line beside and above it within which its plate lies
STILL = 4.0  # levels by which a pixel of a plate deviates over time
ONE_COLOUR = 12.0  # levels by which it differs from the plate's colour
CHANGED = 10.0  # levels by which it differs from what was there before or after,
LEAST_NEW = 0.5  # in this share of it: a wall was there before
LEAST_FULL = 0.8  # share of a plate that is such pixels, or the line
LARGEST = 0.25  # share of the frame


class Plate:
    """What is around a line, while it is there and when it is not."""

    def __init__(self, box: IntBox, grey: np.ndarray) -> None:
        height, width = grey.shape
        tall = box[3] - box[1]
        beside, above = (reach * tall for reach in REACH)
        self._part = np.s_[
            max(0, box[1] - above) : min(height, box[3] + above), max(0, box[0] - beside) : min(width, box[2] + beside)
        ]
        self._largest = LARGEST * height * width
        self._sums = np.zeros((2, *grey[self._part].shape), np.float32)
        self._seen = 0
        self._without: np.ndarray | None = None
        self.learn(grey)

    def learn(self, grey: np.ndarray) -> None:
        """Add a frame that shows the line."""
        part = grey[self._part].astype(np.float32)
        self._sums += np.stack([part, part**2])
        self._seen += 1

    def without(self, grey: np.ndarray) -> None:
        """Take note of a frame just before the line came, or just after it went, in a picture that goes on."""
        self._without = grey[self._part].astype(np.float32)

    def around(self, box: Box) -> Box:
        """Return the box of a line, or that of the plate it stands on."""
        if self._without is None:
            return box
        mean, square = self._sums / self._seen
        top, left = self._part[0].start, self._part[1].start
        x0, y0, x1, y1 = (round(side) - start for side, start in zip(box, (left, top, left, top), strict=True))
        line = np.s_[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
        if mean[line].size == 0:
            return box
        plain = (square - mean**2 < STILL**2) & (np.abs(mean - np.median(mean[line])) < ONE_COLOUR)
        plain[line] = True
        _, labels = cv2.connectedComponents(plain.astype(np.uint8), connectivity=4)
        own = labels == labels[line][0, 0]
        beside = own.copy()
        beside[line] = False
        if not beside.any() or (np.abs(mean - self._without)[beside] > CHANGED).mean() < LEAST_NEW:
            return box
        rows, columns = (np.flatnonzero(own.mean(axis) > 0.5 * own.mean(axis).max()) for axis in (1, 0))
        full = own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean()
        x0, y0 = min(box[0], float(left + columns[0])), min(box[1], float(top + rows[0]))
        x1, y1 = max(box[2], float(left + columns[-1] + 1)), max(box[3], float(top + rows[-1] + 1))
        return (x0, y0, x1, y1) if full >= LEAST_FULL and area((x0, y0, x1, y1)) <= self._largest else box

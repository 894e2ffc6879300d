"""The plate a caption may stand on: of one colour and still, where the picture beyond it moves, or there only as long
as its letters are."""

from __future__ import annotations

import cv2
import numpy as np

from vidboot.boxes import Box, IntBox, area

REACH = (16, 2)  # heights of the line beside and above it within which its plate lies
STILL = 4.0  # levels by which a pixel of a plate deviates over time
ONE_COLOUR = 12.0  # levels by which it differs from the plate's colour
CHANGED = 10.0  # levels by which it differs from what was there before or after,
LEAST_NEW = 0.5  # in this share of it: a wall was there before
BEYOND = 3  # pixels about a plate, of which on each side
LEAST_MOVING = 0.6  # this share deviates by twice as much as one of a plate, or the frame ends
LEAST_FULL = 0.8  # share of a plate that is such pixels, or the line
LARGEST = 0.25  # share of the frame


class Plate:
    """What is around a line, while it is there and when it is not."""

    def __init__(self, box: IntBox, grey: np.ndarray) -> None:
        height, width = self._frame = grey.shape
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
        mean, square = self._sums / self._seen
        top, left = self._part[0].start, self._part[1].start
        x0, y0, x1, y1 = (round(side) - start for side, start in zip(box, (left, top, left, top), strict=True))
        line = np.s_[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
        if mean[line].size == 0:
            return box
        variance = square - mean**2
        plain = (variance < STILL**2) & (np.abs(mean - np.median(mean[line])) < ONE_COLOUR)
        plain[line] = True
        _, labels = cv2.connectedComponents(plain.astype(np.uint8), connectivity=4)
        own = labels == labels[line][0, 0]
        beside = own.copy()
        beside[line] = False
        if not beside.any():
            return box
        rows, columns = (np.flatnonzero(own.mean(axis) > 0.5 * own.mean(axis).max()) for axis in (1, 0))
        full = own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean()
        own_box = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
        came = self._without is not None and (np.abs(mean - self._without)[beside] > CHANGED).mean() >= LEAST_NEW
        if full < LEAST_FULL or not (came or self._stands_out(variance, own_box)):
            return box
        sides = zip((min, min, max, max), box, own_box, strict=True)
        x0, y0, x1, y1 = (float(outer(side, own)) for outer, side, own in sides)
        return (x0, y0, x1, y1) if area((x0, y0, x1, y1)) <= self._largest else box

    def _stands_out(self, variance: np.ndarray, box: IntBox) -> bool:
        """Whether the picture moves beyond each side of a box, or ends there."""
        top, left = self._part[0].start, self._part[1].start
        x0, y0, x1, y1 = box[0] - left, box[1] - top, box[2] - left, box[3] - top
        beyond = (
            (box[0] == 0, variance[y0:y1, max(0, x0 - BEYOND) : x0]),
            (box[1] == 0, variance[max(0, y0 - BEYOND) : y0, x0:x1]),
            (box[2] == self._frame[1], variance[y0:y1, x1 : x1 + BEYOND]),
            (box[3] == self._frame[0], variance[y1 : y1 + BEYOND, x0:x1]),
        )
        return all(ends or (side.size and (side > (2 * STILL) ** 2).mean() >= LEAST_MOVING) for ends, side in beyond)

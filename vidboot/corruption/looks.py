"""Looks of a text detector at one frame, at several sizes."""

from __future__ import annotations

import numpy as np

from vidboot.boxes import Box, share_in
from vidboot.corruption.tophat import TextDetector

SIDES = (192, 352)  # short sides at which it looks, pixels
LARGEST = 0.35  # of the frame's shorter side, that of a line
LARGE = 0.2  # of it: larger lines must be long,
LONGER, TALLER = 1.5, 2.5  # times as wide as high, or as high as wide, as are letters one under the other


class Looks:
    """Finds boxes of text in frames, with a detector that sees large letters best in a small picture."""

    def __init__(self, detector: TextDetector) -> None:
        self._detector = detector
        self._count = 0

    def at(self, frame: np.ndarray) -> list[Box]:
        """Return boxes at every side, the finer ones first; a coarse one only where the finer ones leave something out.

        Every second look is at the finest side alone: letters that it is too fine for are large, and seldom short.
        """
        self._count += 1
        height, width = frame.shape[:2]
        kept: list[Box] = []
        finest_first = sorted(SIDES, reverse=True)
        for side in finest_first if self._count % 2 else finest_first[:1]:
            found: list[Box] = [tuple(map(float, box)) for box in self._detector(frame, side)]  # type: ignore[misc]
            kept += [
                box
                for box in found
                if self.may_be_line(box, width, height) and sum(share_in(box, other) for other in kept) < 0.6
            ]
        return kept

    def may_be_line(self, box: Box, width: int, height: int) -> bool:
        """Return whether a box is as narrow as a line is, and, if it is large, longer than wide.

        Texture that is taken for text fills the frame, and a drawing is about as high as it is wide.
        """
        across, down = box[2] - box[0], box[3] - box[1]
        letters = min(across, down) / min(width, height)
        long = across >= LONGER * down or down >= TALLER * across
        return letters <= LARGE or (letters <= LARGEST and long)

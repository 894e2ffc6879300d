"""Sizes and boxes: from stored pixels to the displayed picture (upright, square pixels), and crops of it."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np

from vidboot.boxes import IntBox


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is brought upright: mirrored first, then turned."""

    quarter_turns: int = 0  # counter-clockwise, 0 to 3
    mirrored: bool = False  # left to right

    def sides(self, width: int, height: int) -> tuple[int, int]:
        """Return the displayed (width, height) of a stored picture, or the stored of a displayed one: the same."""
        return (height, width) if self.quarter_turns % 2 else (width, height)

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """Return a view of stored pixels, [h, w, ...], as they are displayed, [H, W, ...]."""
        return np.rot90(stored[:, ::-1] if self.mirrored else stored, self.quarter_turns)


@dataclass(frozen=True, slots=True)
class Geometry:
    """How stored pixels become the displayed picture."""

    stored_width: int
    stored_height: int
    orientation: Orientation
    pixel_aspect: Fraction  # width of a stored pixel over its height

    @property
    def size(self) -> tuple[int, int]:
        """Displayed (width, height)."""
        width = max(1, round(self.stored_width * self.pixel_aspect))
        return self.orientation.sides(width, self.stored_height)

    @property
    def stretch(self) -> float:
        """Displayed pixels per stored pixel where the display stretches, at least 1."""
        return max(1.0, float(self.pixel_aspect))

    def stored_box(self, box: IntBox) -> IntBox:
        """Return the stored pixels that a box of the displayed picture touches."""
        x0, y0, x1, y1 = box
        width, height = self.size
        for _ in range(self.orientation.quarter_turns):  # undo one counter-clockwise turn at a time
            x0, y0, x1, y1 = height - y1, x0, height - y0, x1
            width, height = height, width
        if self.orientation.mirrored:
            x0, x1 = width - x1, width - x0
        stored_per_shown = Fraction(self.stored_width, width)
        return floor(x0 * stored_per_shown), y0, ceil(x1 * stored_per_shown), y1


def center_crop_box(width: int, height: int, target_height: int, target_width: int) -> IntBox:
    """Return the largest centred box with the target's aspect, in display pixels."""
    scale = min(Fraction(width, target_width), Fraction(height, target_height))
    box_width, box_height = max(1, round(scale * target_width)), max(1, round(scale * target_height))
    x0, y0 = (width - box_width) // 2, (height - box_height) // 2
    return x0, y0, x0 + box_width, y0 + box_height


def detail(width: int, height: int, stretch: float, target_height: int, target_width: int) -> float:
    """Return how many stored pixels there are per target pixel along a side of the centred crop; sharp from 1 on."""
    x0, y0, x1, y1 = center_crop_box(width, height, target_height, target_width)
    return min((y1 - y0) / target_height, (x1 - x0) / target_width) / stretch

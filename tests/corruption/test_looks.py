"""Boxes of a detector that are no lines are left out."""

import numpy as np
import pytest
from scenes import as_boxes

from vidboot.boxes import Box
from vidboot.corruption.looks import Looks

HEIGHT, WIDTH = 100, 200


def seen(box: Box, height: int = HEIGHT, width: int = WIDTH) -> bool:
    def detector(frame: np.ndarray, side: int) -> np.ndarray:
        return as_boxes(box)

    return Looks(detector).at(np.zeros((height, width, 3), np.uint8)) == [box]


@pytest.mark.parametrize(
    ("box", "line"),
    [
        ((10, 10, 190, 40), True),
        ((10, 10, 190, 50), False),  # texture that fills the frame
        ((10, 10, 24, 24), True),  # a letter
        ((10, 10, 40, 40), False),  # a drawing
        ((10, 10, 56, 40), True),  # a short word
        ((10, 10, 54, 40), False),
        ((10, 10, 35, 74), True),  # letters one under the other
        ((10, 10, 35, 71), False),
    ],
)
def test_a_large_box_is_a_line_only_if_it_is_long_for_its_height_or_its_width(box: Box, line: bool) -> None:
    assert seen(box) == line


def test_the_measure_is_the_frames_shorter_side_in_portrait_too() -> None:
    assert not seen((10, 10, 90, 60), height=200, width=100)
    assert seen((10, 10, 90, 40), height=200, width=100)

"""Boxes at the rim of a frame, and in each other."""

import pytest

from vidboot.boxes import Box, clipped, grow, share_in


@pytest.mark.parametrize(
    ("box", "share"), [((2, 2, 6, 4), 1.0), ((8, 0, 12, 5), 0.5), ((10, 0, 12, 5), 0.0), ((3, 3, 3, 9), 0.0)]
)
def test_a_box_lies_in_another_by_a_share_of_its_own_area(box: Box, share: float) -> None:
    assert share_in(box, (0, 0, 10, 10)) == share


def test_a_box_that_leaves_the_frame_ends_at_its_rim() -> None:
    assert clipped((-3, 2, 12, 11), 10, 8) == (0, 2, 10, 8)
    assert grow((1, 4, 5, 6), 2, 10, 8) == (0, 2, 7, 8)

"""Rows of strokes are told from texture without a network."""

import numpy as np
import pytest
from scenes import letters

from vidboot.corruption.tophat import tophat_boxes

H, W = 144, 256
GROUND = 100


def picture(ink: np.ndarray, levels: np.ndarray | int) -> np.ndarray:
    """A plain ground with strokes that are brighter than it by so much."""
    frame = np.full((H, W, 3), GROUND, np.uint8)
    height, width = ink.shape
    frame[60 : 60 + height, 40 : 40 + width][ink] = np.broadcast_to(GROUND + levels, (ink.sum(),))[:, None]
    return frame


def finds_text(frame: np.ndarray) -> bool:
    return len(tophat_boxes(frame, H)) > 0


@pytest.mark.parametrize(("height", "contrast", "text"), [(10, 90, True), (30, 90, False), (30, 130, True)])
def test_large_letters_need_more_contrast_than_small_ones(height: int, contrast: int, text: bool) -> None:
    assert finds_text(picture(letters(height, 5 * height), contrast)) == text


def test_strokes_of_many_brightnesses_are_texture() -> None:
    ink = letters(14, 100)
    faint = np.full(ink.sum() // 2, 70)
    uneven = np.r_[faint, np.linspace(70, 155, ink.sum() - len(faint)).astype(int)]
    assert finds_text(picture(ink, int(uneven.mean())))
    assert not finds_text(picture(ink, np.random.default_rng(0).permutation(uneven)))


def test_bright_letters_are_told_from_the_texture_they_stand_in() -> None:
    frame = picture(letters(34, 140), 80)
    assert not finds_text(frame)
    frame[70:84, 60:160][letters(14, 100, seed=2)] = 250
    (box,) = tophat_boxes(frame, H)
    np.testing.assert_allclose(box, (60, 70, 160, 84), atol=3)


def test_a_row_that_is_plain_at_both_contrasts_is_found_once() -> None:
    assert len(tophat_boxes(picture(letters(14, 100), 150), H)) == 1

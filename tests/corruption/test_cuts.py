"""What is a cut: most of what is lit changes, however dark the rest."""

import numpy as np
import pytest
from scenes import texture

from vidboot.corruption.cuts import Cuts

H, W = 144, 256
ONE, OTHER = (texture(H, W, seed)[..., 0] for seed in (1, 2))


def cuts(*frames: np.ndarray) -> list[bool]:
    watcher = Cuts()
    return [watcher.see(frame) for frame in frames]


def lit_only(picture: np.ndarray, share: float) -> np.ndarray:
    """The picture with all but its right side black."""
    dark = picture.copy()
    dark[:, : round(W * (1 - share))] = 0
    return dark


def plated(picture: np.ndarray, share: float) -> np.ndarray:
    plate = picture.copy()
    plate[round(H * (1 - share)) :] = 255
    return plate


def test_another_picture_is_a_cut_and_the_same_is_none() -> None:
    assert cuts(ONE, ONE, OTHER, OTHER) == [False, False, True, False]


def test_between_pictures_that_are_mostly_black_it_is_one_still() -> None:
    assert cuts(lit_only(ONE // 2, 0.4), lit_only(255 - OTHER // 2, 0.4)) == [False, True]


@pytest.mark.parametrize("share", [0.2, 0.3, 0.4])
def test_a_plate_that_comes_or_goes_is_none(share: float) -> None:
    assert cuts(ONE, plated(ONE, share), ONE) == [False] * 3


def test_a_picture_that_goes_black_is_one() -> None:
    assert cuts(ONE, np.zeros_like(ONE), np.full_like(ONE, 19), ONE) == [False, True, True, True]

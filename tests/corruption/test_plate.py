"""A caption's plate is hidden with it, and a wall that bears writing is none."""

import numpy as np
import pytest
from scenes import burn, letters, panning, texture

from vidboot.boxes import Box
from vidboot.corruption.plate import Plate

INK = letters(14, 100)
LINE = (70, 110, 170, 124)
H, W = 160, 256


def around(film: np.ndarray, *, without: int | None = None, first: int = 0, last: int = 9) -> Box:
    plate = Plate(LINE, film[first, ..., 0])
    for frame in film[first + 1 : last + 1]:
        plate.learn(frame[..., 0])
    if without is not None:
        plate.without(film[without, ..., 0])
    return plate.around(LINE)


@pytest.mark.parametrize(("top", "bottom", "height"), [(100, 134, H), (104, 148, 148)])
def test_a_plate_that_was_always_there_stands_out_of_a_picture_that_moves(top: int, bottom: int, height: int) -> None:
    film = panning(10, height, W)
    film[:, top:bottom, 50:190] = 30
    burn(film, INK, 70, 110, 0, 9)
    np.testing.assert_allclose(around(film), (50, top, 190, bottom), atol=1)


def test_a_plate_that_comes_before_a_picture_that_stays_is_one_and_a_wall_there_is_none() -> None:
    film = np.repeat(texture(H, W, 3)[None], 12, axis=0)
    film[2:, 100:134, 50:190] = 30
    burn(film, INK, 70, 110, 2, 11)
    np.testing.assert_allclose(around(film, without=0, first=2), (50, 100, 190, 134), atol=1)
    assert around(film, first=2) == LINE


def test_a_wall_with_writing_before_which_somebody_passes_is_none() -> None:
    film = np.full((10, H, W, 3), 30, np.uint8)
    film[:, 130:] = panning(10, H - 130, W)
    burn(film, INK, 70, 110, 0, 9)
    assert around(film) == LINE

"""A mark in one video: what stands still while the rest moves."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from scenes import burn, letters, panning, texture

from vidboot.corruption.static import fill, grid, marks_in_one, sample
from vidboot.trust import SURE

H, W = 90, 160
INK, X, Y = letters(12, 40, seed=5), 110, 8


def test_a_disc_is_filled_though_its_rim_has_gaps() -> None:
    disc, rim, across = (np.zeros((H, W), np.uint8) for _ in range(3))
    cv2.circle(disc, (60, 40), 14, 1, -1)
    cv2.circle(rim, (60, 40), 14, 1, 2)
    across[38:43] = across[:, 57:64] = 1
    gaps = (rim > 0) & (across == 0)
    assert fill(gaps)[disc > 0].mean() < 0.6
    filled = fill(gaps, reach=11)
    assert filled[disc > 0].mean() > 0.97
    assert not filled[cv2.dilate(disc, np.ones((5, 5), np.uint8)) == 0].any()


def test_a_still_camera_alone_is_never_sure_of_a_mark() -> None:
    film = np.repeat(texture(H, W, 3)[None], 8, axis=0)
    film[:, :, 100:] = panning(8, H, 60, seed=4, speed=17)  # what moves before it, behind the mark
    burn(film, INK, X, Y, 0, 7)
    found = marks_in_one(sample(list(film)))
    assert found[0][0][Y : Y + 12, X : X + 40][INK].all()
    assert all(score < SURE for _, score in found)


def test_a_mark_over_strong_motion_is_found_in_one_video() -> None:
    film = panning(16, H, W, seed=3, speed=17)
    burn(film, INK, X, Y, 0, 15)
    found = marks_in_one(sample(list(film)))
    assert any(score >= SURE and pixels[Y : Y + 12, X : X + 40][INK].mean() > 0.8 for pixels, score in found)


def noise(seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 256, (24, H // 2, W // 2, 3)).astype(np.uint8)
    return cells.repeat(2, 1).repeat(2, 2)


def zoom(seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 256, (2 * H // 10, 2 * W // 10, 3)).astype(np.uint8)
    wide = cells.repeat(10, 0).repeat(10, 1)
    sizes = [(H * (60 - k) // 120, W * (60 - k) // 120) for k in range(24)]
    return np.stack([cv2.resize(wide[H - h : H + h, W - w : W + w], (W, H)) for h, w in sizes])


def pan_along_lines(seed: int) -> np.ndarray:
    film = np.stack([texture(H, W, seed + k) // 2 for k in range(24)])
    film[:, 40:44, 30:90] = 255  # a shelf longer than the way of the camera
    return film


@pytest.mark.parametrize("scene", [noise, zoom, pan_along_lines])
def test_what_chance_a_pan_or_a_zoom_holds_still_is_never_a_sure_mark(scene: Callable[[int], np.ndarray]) -> None:
    found = [marks_in_one(sample(list(scene(seed)))) for seed in range(4)]
    assert sum(map(len, found)) > 0
    assert all(score < SURE for marks in found for _, score in marks)


def test_the_edge_of_the_picture_inside_its_bars_is_no_mark() -> None:
    film = panning(16, H, W, seed=3, speed=17)
    film[:, :20] = film[:, 70:] = 16
    found = marks_in_one(sample(list(film), (0, 24, W, 67)))
    assert found == []


def test_videos_of_nearly_one_shape_get_one_grid() -> None:
    assert grid(592, 336, 480) == grid(596, 336, 480) == grid(640, 360, 480)
    assert grid(64, 48, 480) == (64, 48)

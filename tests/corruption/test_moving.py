"""Captions that travel over the picture are covered all along; what goes with the camera is none."""

import cv2
import numpy as np
import pytest
from scenes import FPS, as_boxes, burn, covers, letters, panning, shown, texture

from vidboot.corruption.background import background_moves
from vidboot.corruption.found import Found
from vidboot.corruption.text import find_text
from vidboot.corruption.tophat import tophat_boxes
from vidboot.trust import SURE

INK = letters(14, 100)
H, W = 144, 256


def found(film: np.ndarray) -> list[Found]:
    return find_text(shown(film), tophat_boxes)


def test_a_caption_that_travels_is_covered_in_every_frame_it_is_in() -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    for t in range(5, 36):
        burn(film, INK, 10 + 4 * (t - 5), 60, t, t)
    events = found(film)
    for t in range(40):
        now = [one for one in events if one.first_seconds - 1e-6 <= t / FPS <= one.last_seconds + 1e-6]
        if 5 <= t < 36:
            x = 10 + 4 * (t - 5)
            assert any(covers(one, (x, 60, x + 100, 74)) for one in now), t
        else:
            assert now == [], t


@pytest.mark.parametrize(("width", "caption"), [(28, False), (60, True)])
def test_only_what_is_longer_than_high_travels_as_a_caption(width: int, caption: bool) -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    for t in range(5, 36):
        burn(film, letters(26, width), 10 + 4 * (t - 5), 60, t, t)

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        columns = np.flatnonzero((frame != film[0]).any((0, 2)))
        boxes = [(columns[0], 60, columns[-1] + 1, 86)] if len(columns) else []
        return as_boxes(*boxes)

    assert bool(find_text(shown(film), sees_it)) is caption


@pytest.mark.parametrize(("camera", "along"), [(10, True), (6, False), (0, False), (-10, False)])
def test_a_picture_moves_along_with_a_line_only_if_it_goes_as_far(camera: int, along: bool) -> None:
    wide = cv2.cvtColor(texture(60, 300, 5), cv2.COLOR_RGB2GRAY)
    then, now = wide[:, 50:250], wide[:, 50 - camera : 250 - camera]
    assert any(background_moves((60.0, 24.0, 120.0, 36.0), now, then, -10, 0)) == along


def test_a_picture_smaller_than_the_way_of_a_line_says_nothing_of_it() -> None:
    now, then = (np.full((8, 10), level, np.uint8) for level in (90, 120))
    assert background_moves((2, 2, 6, 5), now, then, 9, 7) == (False, False)


@pytest.mark.parametrize("black", [True, False])
def test_credits_that_scroll_are_covered(black: bool) -> None:
    film = np.zeros((60, H, W, 3), np.uint8) if black else np.repeat(texture(H, W, 4)[None], 60, axis=0)
    tops = [150 + 24 * k for k in range(8)]
    for t in range(60):
        for k, top in enumerate(tops):
            y = top - 3 * t
            if 0 <= y < H - 12:
                burn(film, letters(12, 120, seed=20 + k), 68, y, t, t)

    def sees_them(frame: np.ndarray, side: int) -> np.ndarray:
        t = next(t for t in range(60) if np.array_equal(film[t], frame))
        boxes = [(68, top - 3 * t, 188, top - 3 * t + 12) for top in tops if 0 <= top - 3 * t < H - 12]
        return as_boxes(*boxes)

    events = [one for one in find_text(shown(film), sees_them) if one.score >= SURE]
    seen = hidden = 0
    for t in range(20, 50):
        now = [one for one in events if one.first_seconds - 1e-6 <= t / FPS <= one.last_seconds + 1e-6]
        for top in tops:
            if 12 <= top - 3 * t < H - 24:
                seen += 1
                hidden += any(covers(one, (68, top - 3 * t, 188, top - 3 * t + 12)) for one in now)
    assert hidden > 0.9 * seen


def test_posters_that_a_tilting_camera_passes_are_no_credits() -> None:
    tall = panning(1, H + 200, W, seed=8)[0] // 2 + np.uint8(60)
    for k in range(9):
        burn(tall[None], letters(12, 120, seed=20 + k), 68, 20 + 30 * k, 0, 0)
    film = np.stack([tall[3 * t : 3 * t + H] for t in range(60)])

    def sees_them(frame: np.ndarray, side: int) -> np.ndarray:
        t = next(t for t in range(60) if np.array_equal(film[t], frame))
        boxes = [(68, 20 + 30 * k - 3 * t, 188, 32 + 30 * k - 3 * t) for k in range(9)]
        boxes = [box for box in boxes if 0 <= box[1] < H - 12]
        return as_boxes(*boxes)

    assert [one for one in find_text(shown(film), sees_them) if one.score >= SURE] == []

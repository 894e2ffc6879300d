"""Bars are found to the pixel, and dark scenes have none; frozen spans to the frame."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from scenes import FPS, panning, shown, texture

from vidboot.corruption.bars import Bars, Widths, find_bars, or_panel
from vidboot.corruption.found import Found, watch
from vidboot.corruption.still import Changes, find_frozen
from vidboot.trust import SURE


def scene(n: int = 6, height: int = 90, width: int = 120) -> list[np.ndarray]:
    return list(panning(n, height, width, speed=9)[..., 0])


def barred(left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> list[np.ndarray]:
    frames = scene()
    for frame in frames:
        height, width = frame.shape
        frame[:top], frame[height - bottom :], frame[:, :left], frame[:, width - right :] = 16, 16, 16, 16
    return frames


def sure(frames: list[np.ndarray], shots: int = 1) -> Widths:
    bars = find_bars(frames, shots=shots)
    assert bars is not None
    return bars.sure


@pytest.mark.parametrize("widths", [(0, 11, 0, 11), (17, 0, 17, 0), (8, 6, 8, 6), (0, 10, 0, 12)])
def test_a_pair_of_bars_is_found_to_the_pixel(widths: tuple[int, int, int, int]) -> None:
    assert sure(barred(*widths)) == widths


def test_a_single_bar_counts_only_if_it_survives_a_cut() -> None:
    frames = barred(top=12)
    assert sure(frames, shots=1) == (0, 0, 0, 0)
    assert sure(frames, shots=2) == (0, 12, 0, 0)


def test_a_single_bar_without_a_cut_waits_for_a_person() -> None:
    assert find_bars(barred(top=12), shots=1) == Bars((0, 0, 0, 0), (0, 12, 0, 0))


def test_text_in_a_bar_does_not_end_it() -> None:
    frames = barred(top=20, bottom=20)
    for frame in frames:
        frame[75:80, 40:80:3] = 235
    assert sure(frames) == (0, 20, 0, 20)


@pytest.mark.parametrize("level", [0, 16, 90, 235])
def test_bars_may_be_of_any_level(level: int) -> None:
    frames = scene()
    for frame in frames:
        frame[:, :14], frame[:, -14:] = level, level
    assert sure(frames) == (14, 0, 14, 0)


def test_a_bar_whose_picture_is_as_dark_is_as_wide_as_the_other() -> None:
    frames = barred(left=13, right=13)
    for frame in frames:
        frame[:, 13:70] = 16
    assert sure(frames) == (13, 0, 13, 0)


def test_drawings_on_black_have_no_bars() -> None:
    frames = [np.zeros((90, 120), np.uint8) for _ in range(6)]
    for frame in frames:
        frame[15:75, 40:80] = 200
        frame[18:72, 43:77] = 0
        frame[40:46, 10:30:3] = 235
    assert sure(frames, shots=2) == (0, 0, 0, 0)


def test_a_frame_whose_outermost_pixels_are_blended_is_found() -> None:
    frames = barred(12, 12, 12, 12)
    for frame in frames:
        frame[0], frame[-1], frame[:, 0], frame[:, -1] = 90, 90, 90, 90
    assert sure(frames) == (12, 12, 12, 12)


def test_letters_that_reach_the_picture_do_not_end_a_bar() -> None:
    frames = barred(top=20, bottom=20)
    for frame in frames:
        frame[71:82, 30:90:3] = 235
    assert sure(frames) == (0, 20, 0, 20)


def test_an_edge_that_a_codec_smeared_is_found_to_a_pixel() -> None:
    frames = barred(top=12, bottom=12)
    smeared = [cv2.GaussianBlur(frame, (0, 0), 1.2) for frame in frames]
    assert np.abs(np.subtract(sure(smeared), (0, 12, 0, 12))).max() <= 1


def test_hills_under_a_black_sky_over_a_black_lake_have_no_bars() -> None:
    frames = scene()
    x = np.arange(120)
    for frame in frames:
        sky, lake = (20 + 6 * np.sin(x / 9)).astype(int), (68 + 5 * np.sin(x / 13)).astype(int)
        rows = np.arange(90)[:, None]
        frame[(rows < sky) | (rows > lake)] = 16
    assert find_bars(frames, shots=2) == Bars((0, 0, 0, 0), (0, 0, 0, 0))


def test_bars_thinner_than_four_pixels_are_ignored() -> None:
    assert sure(barred(top=3, bottom=3)) == (0, 0, 0, 0)


def test_nothing_is_said_of_a_dark_video() -> None:
    assert find_bars([frame // 8 for frame in scene()], shots=1) is None


def test_a_bright_thing_in_the_dark_has_no_bars_around_it() -> None:
    frames = [np.full((90, 120), 18, np.uint8) for _ in range(6)]
    for k, frame in enumerate(frames):
        frame += np.random.default_rng(k).integers(0, 25, frame.shape, dtype=np.uint8)
        frame[30:60, 40:80] = 200
    assert sure(frames, shots=2) == (0, 0, 0, 0)


def frozen_spans(film: np.ndarray) -> list[tuple[float, float]]:
    changes = Changes()
    for _ in watch(shown(film), changes):
        pass
    found = find_frozen(changes)
    return [(f.first_seconds, f.last_seconds) for f in found if f.score >= SURE]


def test_a_picture_that_stops_and_goes_on_is_frozen_from_its_first_repeat_to_its_last() -> None:
    film = panning(40, 90, 160, speed=5)
    film[12:25] = film[11]
    assert frozen_spans(film) == [(12 / FPS, 24 / FPS)]


def test_slides_that_fade_into_each_other_are_not_surely_frozen() -> None:
    slides = [texture(90, 160, seed).astype(float) for seed in range(4)]
    film = []
    for one, other in pairwise(slides):
        film += [one] * 12 + [one + (other - one) * k / 10 for k in range(1, 10)]
    assert frozen_spans(np.stack(film).round().astype(np.uint8)) == []


def test_what_is_typed_on_a_screen_with_pauses_is_not_surely_frozen() -> None:
    film = np.repeat(texture(90, 160, 3)[None], 60, axis=0)
    for t in [*range(8), *range(20, 30), *range(45, 60)]:
        film[t:, 40:46, 10 + 2 * t : 12 + 2 * t] = 255
    assert frozen_spans(film) == []


def test_slides_between_cuts_are_not_frozen() -> None:
    slides = np.stack([texture(90, 160, seed) for seed in range(5)])
    assert frozen_spans(np.repeat(slides, 20, axis=0)) == []


def test_a_still_camera_is_not_frozen() -> None:
    assert frozen_spans(np.repeat(texture(90, 160, 3)[None], 30, axis=0)) == []


@pytest.mark.parametrize("shape", [(2, 64), (64, 2), (4, 4)])
def test_a_picture_of_a_few_rows_has_no_bars(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (4, *shape), dtype=np.uint8)
    bars = find_bars(list(noise), shots=1)
    assert bars is None or bars.sure == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("box", "seconds", "score"),
    [((10, 2, 60, 8), 2, 0.8), ((10, 2, 60, 8), 0.8, 0.4), ((10, 2, 60, 14), 2, 0.4)],
    ids=["stands on it", "for a moment", "reaches out of it"],
)
def test_a_bar_alone_is_sure_where_a_line_of_text_stands_on_it(
    box: tuple[float, float, float, float], seconds: float, score: float
) -> None:
    bar = Found(kind="bar", first_seconds=0, last_seconds=9, box=(0, 0, 160, 10), score=0.4)
    line = Found(kind="subtitle", first_seconds=1, last_seconds=1 + seconds, box=box, score=0.3)
    assert or_panel(bar, [line]).score == score
    assert or_panel(replace(bar, score=0.9), [line]).score == 0.9

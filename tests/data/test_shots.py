import numpy as np
import pytest

from vidboot.data.shots import THUMBNAIL, find_blanks, find_cuts, find_gaps, is_flat, is_plain, spans_where, split

FPS = 24


def scene(seed: int, frames: int, *, speed: float = 0.3) -> np.ndarray:
    """Return thumbnails of a camera that pans over a random picture, float [frames, 16, 16]."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(6, 3)) * (1, 1.5, 1.5)
    x, y = np.meshgrid(np.arange(THUMBNAIL) / THUMBNAIL, np.arange(THUMBNAIL) / THUMBNAIL)
    shift = np.arange(frames)[:, None, None] * speed / THUMBNAIL
    picture = sum(a * np.sin(2 * np.pi * (u * (x + shift) + v * y) + a) for a, u, v in waves)
    return 128 + 30 * np.asarray(picture)


def cuts(video: np.ndarray, fps: float = FPS) -> list[int]:
    return find_cuts(video.clip(0, 255).astype(np.uint8), np.arange(len(video)) / fps).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_a_cut_is_the_first_frame_of_the_new_scene(seed: int) -> None:
    assert cuts(np.concatenate([scene(seed, 40), scene(seed + 100, 31), scene(seed + 200, 25)])) == [40, 71]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("speed", [0.0, 0.3, 2.0])
def test_motion_of_the_camera_is_no_cut(seed: int, speed: float) -> None:
    assert cuts(scene(seed, 60, speed=speed)) == []


@pytest.mark.parametrize("frames", [1, 2])
def test_a_flash_is_no_cut(frames: int) -> None:
    video = scene(0, 60)
    video[30 : 30 + frames] = 250
    assert cuts(video) == []


def test_light_switched_on_is_no_cut() -> None:
    video = scene(0, 60) * 0.5
    video[30:] += 60
    assert cuts(video) == []


def test_a_cut_blended_over_one_frame_is_one_cut() -> None:
    before, after = scene(0, 30), scene(100, 30)
    video = np.concatenate([before, (before[-1:] + after[:1]) / 2, after])
    assert len(cuts(video)) == 1


@pytest.mark.parametrize("T", [0, 1, 2, 3])
def test_very_short_videos_have_no_cut(T: int) -> None:
    assert cuts(scene(0, T)) == []


def test_a_black_lead_is_blank_and_a_black_flicker_is_not() -> None:
    video = scene(0, 60).clip(0, 255).astype(np.uint8)
    video[:12] = 16
    video[40:41] = 16
    assert find_blanks(np.array([is_flat(frame) for frame in video]), np.arange(60) / FPS) == [(0, 11)]


def test_a_dark_scene_is_not_flat() -> None:
    assert not any(is_flat(frame) for frame in (scene(0, 60) * 0.1).clip(0, 255).astype(np.uint8))


def test_noise_is_plain_and_stars_or_stripes_of_one_brightness_are_not() -> None:
    black = np.random.default_rng(0).normal(20, 6, (180, 320, 3)).clip(0, 255).astype(np.uint8)
    assert is_plain(black)
    stars = black.copy()
    stars[5::60, 7::60] = 255
    stripes = np.tile(np.array([[[200, 60, 60]] * 4 + [[60, 131, 60]] * 4], np.uint8), (180, 40, 1))
    assert not is_plain(stars)
    assert not is_plain(stripes)


def test_missing_seconds_start_a_new_shot_and_a_time_lapse_does_not() -> None:
    assert find_gaps(np.array([0, 0.1, 0.2, 3.0, 3.1])).tolist() == [3]
    assert find_gaps(np.arange(10) * 4.0).tolist() == []


def test_shots_are_what_lies_between_cuts_and_blanks() -> None:
    assert list(split(10, [4], [(0, 1), (6, 6)])) == [(2, 3), (4, 5), (7, 9)]


def test_spans_include_both_ends() -> None:
    assert spans_where(np.array([True, True, False, True])) == [(0, 1), (3, 3)]
    assert spans_where(np.zeros(0, dtype=bool)) == []


def test_a_thing_that_jumps_is_no_cut() -> None:
    video = np.full((40, THUMBNAIL, THUMBNAIL), 60.0)
    video[:20, 2:7, 2:7] = 240
    video[20:, 9:14, 9:14] = 240
    assert cuts(video) == []

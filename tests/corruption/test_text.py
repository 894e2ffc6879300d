"""Overlaid text is found to the frame; text that belongs to the scene is left alone."""

import time

import numpy as np
import pytest
from scenes import FPS, as_boxes, burn, covers, letters, panning, shown, texture

from vidboot.corruption import text
from vidboot.corruption.found import Found
from vidboot.corruption.text import _Ended, _Tracker, find_text
from vidboot.corruption.tophat import tophat_boxes
from vidboot.trust import SURE

INK = letters(14, 100)
H, W = 144, 256


def found(film: np.ndarray) -> list[Found]:
    return find_text(shown(film), tophat_boxes)


@pytest.mark.parametrize(("first", "last"), [(7, 31), (13, 29), (20, 58)])
def test_a_line_is_found_to_the_pixel_and_the_frame(first: int, last: int) -> None:
    film = panning(60, H, W)
    burn(film, INK, 70, 110, first, last)
    (one,) = found(film)
    assert (one.first_seconds, one.last_seconds) == (first / FPS, last / FPS)
    assert one.kind == "subtitle"
    assert one.score >= SURE
    assert covers(one, (70, 110, 170, 124))
    np.testing.assert_allclose(one.box, (70, 110, 170, 124), atol=5)


def test_lines_that_follow_each_other_at_one_place_are_two() -> None:
    film = panning(60, H, W)
    burn(film, INK, 70, 110, 8, 27)
    burn(film, letters(14, 100, seed=9), 72, 110, 28, 50)
    spans = {(one.first_seconds, one.last_seconds) for one in found(film)}
    assert spans == {(0.8, 2.7), (2.8, 5.0)}


@pytest.mark.parametrize(("y", "sure"), [(110, True), (96, False)])
def test_a_line_too_short_to_prove_itself_is_sure_in_the_rows_of_two_others(y: int, sure: bool) -> None:
    before = panning(40, H, W)
    burn(before, INK, 70, 110, 0, 19)
    burn(before, letters(14, 100, seed=9), 72, 110, 20, 39)
    after = np.repeat(texture(H, W, 4)[None], 5, axis=0) + np.uint8(60)
    burn(after, letters(14, 100, seed=3), 74, y, 0, 4)
    last = max(found(np.concatenate([before, after])), key=lambda one: one.last_seconds)
    assert covers(last, (74, y, 174, y + 14))
    assert (last.score >= SURE) == sure


def test_a_line_over_a_still_picture_that_comes_and_goes_is_found() -> None:
    film = np.repeat(texture(H, W, 4)[None], 50, axis=0)
    burn(film, INK, 70, 110, 11, 33)
    (one,) = found(film)
    assert (one.first_seconds, one.last_seconds) == (1.1, 3.3)
    assert one.score >= SURE


@pytest.mark.parametrize(("height", "width", "sure"), [(14, 100, True), (30, 21, False)])
def test_one_that_stands_from_the_first_frame_on_and_goes_at_once_is_sure_unless_it_is_higher_than_wide(
    height: int, width: int, sure: bool
) -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    burn(film, letters(height, width), 70, 40, 0, 30)

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        boxes = [(70, 40, 70 + width, 40 + height)] if frame[40 : 40 + height, 70].min() > 200 else []
        return as_boxes(*boxes)

    (one,) = find_text(shown(film), sees_it)
    assert (one.score >= SURE) == sure


@pytest.mark.parametrize(("height", "width", "sure"), [(14, 100, True), (60, 21, False)])
def test_one_that_something_moves_beside_for_a_while_is_sure_unless_it_is_higher_than_wide(
    height: int, width: int, sure: bool
) -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    film[10:22, 40 + height :] = panning(12, H, W, seed=3, speed=20)[:, 40 + height :]
    burn(film, letters(height, width), 70, 40, 0, 39)

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        return as_boxes((70, 40, 70 + width, 40 + height))

    (one,) = find_text(shown(film), sees_it)
    assert (one.score >= SURE) == sure
    assert one.score > 0.3


def test_print_that_moves_with_the_scene_is_left_alone() -> None:
    T, speed = 50, 3
    scene = panning(1, H, W + T * speed, speed=speed)
    for x in range(60, 400, 130):
        burn(scene, INK[:, : W + T * speed - x], x, 70, 0, 0)
    film = np.stack([scene[0, :, t * speed : t * speed + W] for t in range(T)])
    assert found(film) == []


def test_writing_on_the_wall_before_a_still_camera_waits_for_a_person() -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    burn(film, INK, 70, 60, 0, 39)
    assert all(one.score < SURE for one in found(film))


def test_a_film_without_text_has_no_line() -> None:
    assert found(panning(40, H, W, seed=3)) == []


def test_a_line_that_survives_a_cut_is_sure() -> None:
    film = np.concatenate([np.repeat(texture(H, W, s)[None] // (1 + s % 2), 20, axis=0) for s in (5, 6)])
    burn(film, INK, 70, 110, 0, 39)
    (one,) = find_text(shown(film), tophat_boxes, cuts=(2.0,))
    assert one.score > 0.9
    assert (one.first_seconds, one.last_seconds) == (0, 3.9)


def test_motion_that_looks_like_a_cut_proves_nothing() -> None:
    film = np.concatenate([np.repeat(texture(H, W, s)[None] // (1 + s % 2), 20, axis=0) for s in (5, 6)])
    burn(film, INK, 70, 110, 0, 39)
    assert all(one.score < 0.9 for one in found(film))


def test_a_line_of_a_moment_is_none_though_it_survives_a_cut() -> None:
    film = np.concatenate([panning(20, H, W, seed=s) for s in (5, 6)])
    burn(film, INK, 70, 110, 19, 20)
    assert find_text(shown(film), tophat_boxes, cuts=(2.0,)) == []


@pytest.mark.parametrize(("box", "line"), [((0, 0, W, H), False), ((20, 20, 230, 60), True), ((20, 10, 60, 140), True)])
def test_what_is_as_large_as_the_picture_is_no_line(box: tuple[int, int, int, int], line: bool) -> None:
    film = panning(40, H, W, seed=5)
    film[10:30] = texture(H, W, 9)

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        return as_boxes(box)

    assert bool(find_text(shown(film), sees_it)) is line


def test_the_detector_is_asked_twice_a_second_and_half_as_often_for_large_letters() -> None:
    asked: list[int] = []

    def never(frame: np.ndarray, side: int) -> np.ndarray:
        asked.append(side)
        return as_boxes()

    film = panning(31, H, W)
    assert find_text(shown(film), never) == []
    # At 10 frames a second, two looks a second are a look at every fifth frame.
    assert (asked.count(352), asked.count(192)) == (7, 4)


@pytest.mark.parametrize(
    ("frames", "lines", "last_seconds"),
    [(58, [(52, 57)], 5.7), (60, [(5, 22), (23, 28)], 2.8)],
    ids=["at the end of the video", "right after another"],
)
def test_a_line_between_two_looks_is_found(
    frames: int, lines: list[tuple[int, int]], last_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LOOKS_PER_SECOND", 1.0)
    film = panning(frames, H, W)
    for k, (first, last) in enumerate(lines):
        burn(film, letters(14, 100, seed=9 + k), 70, 110, first, last)
    events = find_text(shown(film), tophat_boxes)
    assert (lines[-1][0] / FPS, last_seconds) in {(one.first_seconds, one.last_seconds) for one in events}


def fading(film: np.ndarray, ink: np.ndarray, x: int, y: int, first: int, last: int, ramp: int) -> None:
    """Burn text that takes ``ramp`` frames to come and as many to go."""
    for t in range(first, last + 1):
        burn(film, ink, x, y, t, t, alpha=min(1.0, (t - first + 1) / ramp, (last - t + 1) / ramp))


def test_lines_are_the_same_whenever_their_film_begins_and_within_it() -> None:
    film = panning(50, H, W)
    fading(film, INK, 70, 110, 0, 49, ramp=8)
    film = film[3:48]  # it comes before the first frame, and goes after the last
    (one,) = found(film)
    assert (one.first_seconds, one.last_seconds) == (0, 4.4)
    for since in (-10, 100):
        (then,) = find_text(shown(film, since), tophat_boxes)
        assert (then.first_seconds, then.last_seconds) == pytest.approx((since, since + 4.4))
        assert (then.box, then.score) == (one.box, one.score)


@pytest.mark.parametrize("still", [True, False])
def test_a_line_that_fades_in_and_out_is_covered_from_its_first_frame_to_its_last(still: bool) -> None:
    film = np.repeat(texture(H, W, 4)[None] // 2, 70, axis=0) if still else panning(70, H, W)
    fading(film, INK, 70, 110, 15, 54, ramp=6)
    (one,) = [one for one in found(film) if one.score >= SURE]
    assert one.first_seconds == pytest.approx(1.5, abs=0.11)
    assert one.last_seconds == pytest.approx(5.4, abs=0.11)
    assert covers(one, (70, 110, 170, 124))


def test_writing_on_the_wall_that_light_falls_on_bit_by_bit_waits_for_a_person() -> None:
    film = np.repeat(texture(H, W, 4)[None] // 2 + np.uint8(60), 60, axis=0)
    burn(film, INK, 70, 60, 0, 59)
    light = np.clip((np.arange(60) + 3) / 12, 0.25, 1)
    film = (film * light[:, None, None, None]).astype(np.uint8)

    def sees_it_late(frame: np.ndarray, side: int) -> np.ndarray:
        boxes = [(68, 58, 172, 76)] * bool(frame.mean() > film[4].mean())
        return as_boxes(*boxes)

    (one,) = find_text(shown(film), sees_it_late)
    assert one.score < SURE


def counter(k: int) -> np.ndarray:
    """Ten letters of which the last two change from one number to the next."""
    return np.concatenate([letters(14, 80), letters(14, 20, seed=100 + k)], axis=1)


@pytest.mark.parametrize(("every", "frames", "sure"), [(5, 60, True), (60, 60, False), (1, 9, True), (9, 9, False)])
def test_before_a_still_camera_a_clock_that_ticks_is_burnt_in_and_writing_on_the_wall_is_not(
    every: int, frames: int, sure: bool
) -> None:
    film = np.repeat(texture(H, W, 4)[None], frames, axis=0)
    for t in range(frames):
        burn(film, counter(t // every), 70, 60, t, t)

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        return as_boxes([70, 60, 170, 74])

    (one,) = find_text(shown(film), sees_it)
    assert (one.score >= SURE) is sure


def test_stripes_that_are_alike_a_row_off_are_no_caption_that_slides() -> None:
    rows = np.arange(H) - (np.arange(40)[:, None] + 2) // 5
    stripes = np.round(80 + 60 * np.sin(2 * np.pi * rows / 7)).astype(np.uint8)
    film = np.repeat(np.repeat(stripes[:, :, None, None], W, 2), 3, 3)
    film[10:31, 60:74, 70:170][:, INK] = 190

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        return as_boxes([66, 56, 174, 78])

    one, *later = find_text(shown(film), sees_it)
    assert one.score >= SURE
    assert one.first_seconds == 1
    assert covers(one, (70, 60, 170, 74))
    assert all(part.score >= SURE and part.last_seconds == 3 for part in later)


@pytest.mark.parametrize("since", [0, 8])
def test_a_line_is_covered_with_its_plate_whether_that_comes_with_it_or_was_there_before(since: int) -> None:
    film = panning(60, H, W)
    film[since : 50 if since else 60, 104:130, 60:210] = 60
    burn(film, INK, 70, 110, 8, 49)
    (one,) = found(film)
    np.testing.assert_allclose(one.box, (60, 104, 210, 130), atol=5)


def test_a_large_plate_that_comes_and_goes_is_no_cut() -> None:
    film = np.repeat(texture(H, W, 4)[None], 60, axis=0)
    film[12:40, 34:74, 28:228] = 255
    film[12:40, 48:62, 70:170][:, INK] = 10
    (one,) = found(film)
    assert (one.first_seconds, one.last_seconds, one.score) == (1.2, 3.9, 0.85)
    np.testing.assert_allclose(one.box, (28, 34, 228, 74), atol=5)


def test_a_line_that_goes_with_the_camera_is_none() -> None:
    pans = panning(24, H, W, seed=3, speed=5)
    sign = np.concatenate([np.repeat(pans[:1], 20, axis=0), pans])
    for t in range(20):
        sign[t, 90:106] = 40 + 40 * (t % 3)  # something goes on in the picture
    for t, x in enumerate([160] * 20 + [160 - 5 * k for k in range(24)]):
        burn(sign, INK, x - 20, 110, t, t) if x >= 20 else None
    assert found(sign) == []


def test_a_film_of_a_thousand_lines_is_soon_done() -> None:
    tracker, rng = _Tracker(tophat_boxes), np.random.default_rng(0)
    tracker.ends = 1000.0
    for t, y in enumerate(rng.integers(80, 120, 1000).tolist()):
        event = Found(kind="subtitle", first_seconds=t, last_seconds=t + 0.9, box=(20, y, 200, y + 12), score=0.7)
        tracker.ended.append(_Ended(event, event.box, event.box))
    began = time.process_time()
    assert len(tracker.finish()) == 1000
    assert time.process_time() - began < 3

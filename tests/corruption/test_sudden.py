"""Lines that are switched on or off are seen by what changes, whatever they look like."""

import cv2
import numpy as np
import pytest
from scenes import FPS, as_boxes, burn, covers, letters, panning, shown, texture

from vidboot.corruption.found import Shown
from vidboot.corruption.sudden import AFTER, Sudden, Switched
from vidboot.corruption.text import find_text
from vidboot.trust import SURE

INK = letters(14, 100)
H, W = 144, 256
PLACE = (70, 110, 170, 124)


def nothing(frame: np.ndarray, side: int) -> np.ndarray:
    return as_boxes()


def switched(film: np.ndarray, cuts: tuple[int, ...] = ()) -> list[tuple[int, Switched]]:
    watcher, seen = Sudden(), []
    for t, frame in enumerate(film):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        seen += [(t - AFTER, one) for one in watcher.see(Shown(t / FPS, grey, t in cuts))]
    return seen


def test_a_line_is_seen_to_come_and_to_go_to_the_frame_and_the_pixel() -> None:
    film = panning(40, H, W)
    burn(film, INK, 70, 110, 11, 24)
    (on, came), (off, went) = switched(film)
    assert (on, came.came, came.frames[0].seconds) == (11, True, 1.1)
    assert (off, went.came, went.frames[0].seconds) == (25, False, 2.4)
    for one in (came, went):
        np.testing.assert_allclose(one.box, PLACE, atol=2)


@pytest.mark.parametrize(("first", "T", "seen"), [(2, 5, True), (1, 5, False), (2, 4, False)])
def test_two_frames_before_it_and_two_after_are_enough_to_see_a_line_come(first: int, T: int, seen: bool) -> None:
    film = panning(T, H, W)
    burn(film, INK, 70, 110, first, T - 1)
    assert [on for on, _ in switched(film)] == [first] * seen


@pytest.mark.parametrize(("first", "seen"), [(12, True), (11, False)])
def test_after_a_cut_it_is_as_after_the_beginning(first: int, seen: bool) -> None:
    film = np.concatenate([panning(10, H, W), panning(8, H, W, seed=5)])
    burn(film, INK, 70, 110, first, len(film) - 1)
    assert [on for on, _ in switched(film, cuts=(10,))] == [first] * seen


def test_a_line_is_seen_to_go_after_two_frames() -> None:
    film = panning(6, H, W)
    burn(film, INK, 70, 110, 0, 1)
    assert [(off, one.came) for off, one in switched(film)] == [(2, False)]


@pytest.mark.parametrize("speed", [0, 1, 3, 8])
def test_a_picture_that_moves_evenly_switches_nothing(speed: int) -> None:
    assert switched(panning(30, H, W, seed=3, speed=speed)) == []


def test_a_flash_is_no_line() -> None:
    film = panning(30, H, W)
    film[12] = 255 - film[12]
    assert switched(film) == []


def test_a_line_that_comes_with_a_cut_is_left_to_the_detector() -> None:
    film = np.concatenate([panning(15, H, W), panning(15, H, W, seed=5)])
    burn(film, INK, 70, 110, 15, 29)
    assert switched(film, cuts=(15,)) == []


def test_writing_that_takes_the_place_of_as_strong_a_texture_has_neither_come_nor_gone() -> None:
    film = panning(30, H, W)
    burn(film, INK, 70, 110, 0, 11)
    burn(film, letters(14, 100, seed=9), 70, 110, 12, 29)
    assert switched(film) == []


@pytest.mark.parametrize(("x", "part_of_it"), [(190, True), (262, False)])
def test_what_comes_in_its_rows_is_part_of_a_line_within_six_heights(x: int, part_of_it: bool) -> None:
    film = panning(30, H, 300)
    burn(film, INK, 60, 110, 11, 29)
    burn(film, np.ones((12, 3), bool), x, 111, 11, 29)
    ((_, one),) = switched(film)
    assert (one.box[2] >= x + 3) == part_of_it


@pytest.mark.parametrize(("first", "last"), [(11, 49), (0, 33), (11, 33)])
def test_a_line_no_detector_reads_is_found_to_the_frame_if_it_comes_or_goes_at_once(first: int, last: int) -> None:
    """Where it only comes, and was looked for in vain since, it is asked about: so does what somebody passed before."""
    film = np.clip(panning(50, H, W).astype(int) + 70, 0, 255).astype(np.uint8)
    burn(film, INK, 70, 110, first, last, alpha=0.7)
    (one,) = find_text(shown(film), nothing)
    assert (one.score >= SURE) == (last == 33)
    # Of one that is known only as it goes, what lies farther back is no longer at hand.
    assert (one.first_seconds, one.last_seconds) == (first / FPS if first else 2.0, last / FPS)
    assert covers(one, PLACE)
    np.testing.assert_allclose(one.box, PLACE, atol=5)


@pytest.mark.parametrize(("every", "read"), [(8, False), (4, True)])
def test_words_of_a_fifth_of_a_second_are_found_and_if_they_follow_at_once_by_who_reads_them(
    every: int, read: bool
) -> None:
    film = panning(50, H, W)
    words = [(first, letters(14, 40 + 10 * k, seed=k)) for k, first in enumerate(range(11, 43, every))]
    for first, ink in words:
        burn(film, ink, 70, 110, first, first + 2)

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        widths = [ink.shape[1] for _, ink in words if (frame[110:124, 70 : 70 + ink.shape[1]][ink] == 250).all()]
        boxes = [(70, 110, 70 + width, 124) for width in widths[-1:]]
        return as_boxes(*boxes)

    found = find_text(shown(film), sees_it if read else nothing)
    assert [(one.first_seconds, one.last_seconds) for one in found] == [(t / FPS, (t + 2) / FPS) for t, _ in words]
    assert all(one.score >= SURE for one in found)


@pytest.mark.parametrize("fps", [10, 25, 60])
@pytest.mark.parametrize(("frames", "lines"), [(2, 0), (3, 1)])
def test_what_comes_and_goes_at_once_is_a_line_from_three_frames_on(frames: int, lines: int, fps: float) -> None:
    film = panning(40, H, W)
    burn(film, INK, 70, 110, 15, 14 + frames)
    assert len(find_text(shown(film, fps=fps), nothing)) == lines


@pytest.mark.parametrize(("frames", "lines"), [(1, 0), (3, 1)])
def test_what_is_read_in_one_frame_alone_is_no_line(frames: int, lines: int) -> None:
    film = panning(30, H, W)
    burn(film, INK, 70, 110, 15, 14 + frames)  # the detector looks at frame 15

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        boxes = [PLACE] if (frame[110:124, 70:170][INK] == 250).all() else []
        return as_boxes(*boxes)

    assert len(find_text(shown(film), sees_it)) == lines


def test_a_ball_that_rolls_by_is_no_line() -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    for t in range(40):
        cv2.circle(film[t], (10 + 6 * t, 100), 9, (250, 250, 250), -1)
    assert find_text(shown(film), nothing) == []


def test_a_known_line_that_goes_is_no_wider_one_for_what_else_changes_in_its_rows() -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    burn(film, INK, 30, 110, 5, 30)
    for x in (160, 200):
        burn(film, np.ones((12, 3), bool), x, 111, 0, 30)

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        boxes = [[30, 110, 130, 124]] * bool((frame[110:124, 30:130] == 250).all(-1).sum() > 100)
        return as_boxes(*boxes)

    one = switched(film)[-1][1]
    assert (one.came, one.box[2] > 200) == (False, True)
    assert one.share_within([(30, 110, 130, 124)]) == pytest.approx(INK.sum() / (INK.sum() + 72), abs=0.02)
    (found,) = find_text(shown(film), sees_it)
    assert found.box[2] < 140

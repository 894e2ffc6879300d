"""How far a line goes in the picture, and whether it goes at once: its strokes against the edges of the scene."""

import numpy as np
import pytest
from scenes import FPS, as_boxes, burn, covers, letters, panning, shown, texture

from vidboot.corruption.row import Row
from vidboot.corruption.template import Template
from vidboot.corruption.text import find_text
from vidboot.trust import SURE

INK = letters(14, 100)
H, W = 144, 256


def seen_in_part(frame: np.ndarray, side: int) -> np.ndarray:
    return as_boxes([100, 108, 142, 126])


def test_a_line_is_covered_whole_where_the_detector_sees_its_middle_only() -> None:
    film = panning(40, H, W)
    burn(film, INK, 70, 110, 0, 39)
    film[:, 84:140, 176:180] = 250  # a post that crosses the line's rows
    (one,) = find_text(shown(film), seen_in_part)
    assert covers(one, (70, 110, 170, 124))
    np.testing.assert_allclose(one.box, (70, 110, 170, 124), atol=5)


def test_before_a_still_picture_faint_letters_that_come_and_go_with_a_line_are_part_of_it() -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    burn(film, INK[:, 30:72], 100, 110, 5, 33)
    burn(film, letters(17, 28, seed=3), 142, 109, 5, 33, alpha=0.4)
    one = max(find_text(shown(film), seen_in_part), key=lambda one: one.score)
    assert covers(one, (100, 109, 170, 126))


def test_a_line_that_fades_away_keeps_its_strokes() -> None:
    grey = np.full((40, 120), 100, np.uint8)
    written = grey.copy()
    written[15:25, 20:100:6] = 116
    template = Template(written, (10, 5, 110, 35))
    tight = template.tight
    for _ in range(20):
        template.learn(grey)
    assert np.abs(np.subtract(template.tight, tight)).max() <= 2


def railed(T: int) -> np.ndarray:
    """A still picture with rails beneath the letters, which the detector's boxes take in."""
    film = np.repeat(texture(H, W, 4)[None], T, axis=0)
    film[:, [128, 129, 134, 135], 40:200] = 20
    return film


def seen_loosely(frame: np.ndarray, side: int) -> np.ndarray:
    boxes = [[62, 94, 178, 140]] if (frame == 250).all(-1).sum() > 100 else []
    return as_boxes(*boxes)


@pytest.mark.parametrize(("first", "last"), [(11, 33), (0, 33), (11, 49)])
def test_edges_of_a_still_scene_beside_a_line_are_none_of_its_letters(first: int, last: int) -> None:
    film = np.repeat(texture(H, W, 4)[None], 50, axis=0)
    film[:, 90:106, [90, 91, 140, 141]] = 20
    burn(film, INK, 70, 110, first, last)
    (one,) = find_text(shown(film), seen_loosely)
    np.testing.assert_allclose(one.box, (70, 110, 170, 124), atol=4)


def test_a_line_goes_at_once_though_edges_of_a_still_scene_in_its_box_stay() -> None:
    film = railed(50)
    burn(film, INK, 70, 110, 0, 33)
    (one,) = find_text(shown(film), seen_loosely)
    assert (one.first_seconds, one.last_seconds) == (0, 3.3)
    assert one.score >= SURE


@pytest.mark.parametrize(("dot_after", "top"), [(False, 104), (True, 110)])
def test_sparse_strokes_are_the_scenes_only_if_they_stay_as_the_line_comes_and_as_it_goes(
    dot_after: bool, top: int
) -> None:
    wall = np.full((3, H, W), 90, np.uint8)
    wall[[0, 1, 2] if dot_after else [0, 1], 104:107, 100:103] = 250
    wall[1, 110:124, 70:170][INK] = 250
    before, whole, after = wall
    template = Template(whole, (62, 94, 178, 140))
    template.without(before)
    template.without(after)
    assert template.tight[1] == pytest.approx(top, abs=2)


@pytest.mark.parametrize("still", [True, False])
def test_faint_strokes_are_letters_only_before_a_picture_that_stays(still: bool) -> None:
    grey = np.full((H, W), 90, np.uint8)
    written = grey.copy()
    written[110:124, 70:100][INK[:, :30]] = 250
    written[110:124, 104:124][INK[:, :20]] = 140
    row = Row((70, 108, 100, 126), written)
    row.without(grey)
    x1 = row.completed((70, 110, 100, 124), gap=1.5, still=still)[2]
    assert x1 == pytest.approx(124 if still else 100, abs=2)


def test_a_line_goes_at_once_only_if_all_of_it_does_and_the_picture_stays() -> None:
    wall = texture(H, W, 4)[None, ..., 0].repeat(4, axis=0)
    for t, shown_part in enumerate([INK, INK[:, :50], INK & False]):
        wall[t, 110:124, 70 : 70 + shown_part.shape[1]][shown_part] = 250
    wall[:3, [128, 129, 134, 135], 40:200] = 20
    whole, half, none, away = wall
    template = Template(whole, (62, 94, 178, 140))
    assert template.at_once(whole, none, quiet=True)
    assert not template.at_once(whole, none, quiet=False)
    assert not template.at_once(whole, half, quiet=True)
    assert template.at_once(whole, away, quiet=False)


def seen_whole(frame: np.ndarray, side: int) -> np.ndarray:
    boxes = [[62, 104, 178, 130]] if (frame == 250).all(-1).sum() > 100 else []
    return as_boxes(*boxes)


@pytest.mark.parametrize("still", [True, False])
def test_letters_that_stay_while_the_rest_of_their_line_changes_are_covered(still: bool) -> None:
    film = np.repeat(texture(H, W, 4)[None], 60, axis=0) if still else panning(60, H, W)
    burn(film, INK[:, :30], 70, 110, 8, 50)
    for first, last, seed in ((8, 21, 3), (22, 36, 4), (37, 50, 5)):
        burn(film, letters(14, 66, seed=seed), 104, 110, first, last)
    lines = find_text(shown(film), seen_whole)
    for t in range(8, 51):
        there = [one for one in lines if one.first_seconds <= t / FPS <= one.last_seconds]
        assert any(covers(one, (70, 110, 170, 124)) for one in there), t


def test_a_frame_that_loses_a_part_of_a_line_does_not_cut_it() -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    clean = film[0].copy()
    burn(film, INK, 70, 110, 5, 39)
    film[20, :, 95:] = clean[:, 95:]
    (one,) = find_text(shown(film), seen_whole)
    assert (one.first_seconds, one.last_seconds) == (0.5, 3.9)
    assert covers(one, (70, 110, 170, 124))


@pytest.mark.parametrize("gap_seconds", [0.1, 3.0])
def test_a_line_goes_at_once_across_a_gap_of_time(gap_seconds: float) -> None:
    film = np.repeat(texture(H, W, 4)[None], 40, axis=0)
    burn(film, INK, 70, 110, 0, 19)
    frames = ((t + (gap_seconds if t >= 2 else 0), picture) for t, picture in shown(film))
    (one,) = find_text(frames, seen_whole)
    assert one.score >= SURE


def test_a_fence_in_the_rows_of_a_line_is_no_part_of_it() -> None:
    film = panning(40, H, W)
    film[:, 108:126, 100:240:6] = 20
    film[:, 108:126, 101:240:6] = 230
    burn(film, INK[:, :42], 100, 110, 0, 39)
    (one,) = find_text(shown(film), seen_in_part)
    assert one.box[2] < 142 + 4 * 18


@pytest.mark.parametrize("once", [False, True])
def test_texture_before_which_somebody_passes_is_only_asked_about_if_a_detector_saw_it_but_once(once: bool) -> None:
    film = np.repeat(texture(H, W, 5)[None], 40, axis=0)
    for t in range(40):
        film[t, 60:, 5 * t : 5 * t + 40] = 10 + 10 * (t % 3)
    burn(film, INK, 100, 20, 3, 39)
    looks = 0

    def sees_it(frame: np.ndarray, side: int) -> np.ndarray:
        nonlocal looks
        looks += 1
        return as_boxes((98, 18, 202, 36)) if looks == 3 or (looks > 3 and not once) else as_boxes()

    (one,) = find_text(shown(film), sees_it)
    assert (one.score >= SURE) == (not once)

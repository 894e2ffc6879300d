"""A mark is found where clips of a folder agree, and nowhere else."""

from itertools import chain

import numpy as np
import pytest
from scenes import burn, letters, panning, texture

from vidboot.corruption.folder import (
    MOST_CLIPS,
    PIECE,
    SURE_SIGMA,
    FolderMark,
    asked,
    folder_marks,
    needed,
    scenes,
    sureness,
    with_faint_parts,
)
from vidboot.corruption.kin import moved
from vidboot.corruption.static import StaticSummary, sample, summarise
from vidboot.trust import SURE

H, W = 90, 160
REACH = 7  # pixels: a stroke, and what is left of it where the mean around it was taken out
MARKS = {"one": (letters(12, 40, seed=5), 110, 8), "other": (letters(10, 50, seed=6), 8, 70)}


def clip(
    seed: int,
    *marks: str,
    alpha: float = 0.4,
    still: bool = False,
    light: int = 0,
    bar: int = 0,
    by: tuple[int, int] = (0, 0),
) -> StaticSummary:
    film = np.repeat(texture(H, W, seed)[None], 8, axis=0) if still else panning(8, H, W, seed=seed, speed=17)
    film += np.uint8(light)
    film[:, :, W - bar :] = 16
    for ink, x, y in (MARKS[name] for name in marks):
        burn(film, ink, x + by[1], y + by[0], 0, 7, alpha=alpha)
    return summarise(sample(list(film), (0, 0, W - bar - 3, H) if bar else None))


def truth(name: str) -> np.ndarray:
    ink, x, y = MARKS[name]
    pixels = np.zeros((H, W), bool)
    pixels[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    return pixels


def near(pixels: np.ndarray, by: int) -> np.ndarray:
    rows, columns = np.nonzero(pixels)
    grown = np.zeros_like(pixels)
    grown[max(0, rows.min() - by) : rows.max() + by + 1, max(0, columns.min() - by) : columns.max() + by + 1] = True
    return grown


def shows(mark: FolderMark) -> list[bool]:
    return (mark.presence >= SURE_SIGMA).tolist()


@pytest.mark.parametrize("alpha", [0.15, 0.4, 1.0])
def test_a_mark_on_every_clip_is_covered_and_nothing_else_is(alpha: float) -> None:
    clips = [clip(seed, "one", alpha=alpha) for seed in range(16)]
    (mark,) = folder_marks(clips)
    assert mark.pixels[truth("one")].mean() > 0.98
    assert not mark.pixels[~near(truth("one"), REACH)].any()
    assert mark.presence.min() > SURE_SIGMA


def test_a_folder_without_marks_gives_none() -> None:
    assert folder_marks([clip(seed) for seed in range(16)]) == []


def test_clips_of_one_still_scene_have_one_vote() -> None:
    clips = [clip(3, still=True) for _ in range(8)]
    assert scenes(clips) == [list(range(8))]
    assert folder_marks([*clips, *(clip(seed) for seed in range(20, 28))]) == []


def test_copies_of_one_film_under_a_moving_camera_are_one_scene_though_one_has_a_logo() -> None:
    film = panning(8, H, W, seed=5, speed=17)
    logo = film.copy()
    burn(logo, MARKS["one"][0], 110, 8, 0, 7)
    copies = [film, logo, np.clip(film * 0.8 + 20, 0, 255).astype(np.uint8)]
    assert scenes([summarise(sample(list(copy))) for copy in copies]) == [[0, 1, 2]]


def seen(film: np.ndarray) -> StaticSummary:
    return summarise(sample(list(film[:: max(1, len(film) // 24)])))


def test_beginnings_of_one_film_are_one_scene_and_films_with_as_much_black_are_not() -> None:
    one, other = (np.concatenate([panning(12, H, W, seed=seed + k) for k in range(4)]) for seed in (20, 30))
    parts = [seen(one[:length]) for length in (10, 17, 30, 48)]
    assert scenes([*parts, seen(other)]) == [[0, 1, 2, 3], [4]]
    black = [seen(np.concatenate([np.zeros_like(film[:30]), film[:24]])) for film in (one, other)]
    assert scenes(black) == [[0], [1]]


def test_a_bright_mark_in_the_dark_makes_no_scene_of_two() -> None:
    rng = np.random.default_rng(0)
    films = [np.full((8, H, W, 3), 4, np.uint8) + rng.integers(0, 20, (1, H, W, 1), dtype=np.uint8) for _ in range(3)]
    for film in films:
        film[:, 8:20, 110:150] = 255
    assert len(scenes([summarise(sample(list(film))) for film in films])) == 3


def test_what_a_few_scenes_have_in_common_all_over_the_picture_waits_for_review() -> None:
    pixels = np.zeros((H, W), bool)
    pixels[::9, ::16] = True
    for count, sure in ((3, False), (5, True)):
        mark = FolderMark(pixels, np.full(3, 40.0), np.zeros((3, 2), int), count, 0.1)
        assert (sureness(mark, 40.0) >= SURE) is sure


def test_light_that_falls_off_downwards_in_every_video_is_no_mark() -> None:
    shade = np.linspace(0, 120, H)[:, None, None]
    films = [np.clip(panning(8, H, W, seed=seed, speed=17) * 0.4 + shade, 0, 255).astype(np.uint8) for seed in range(9)]
    assert folder_marks([summarise(sample(list(film))) for film in films]) == []


def test_a_mark_of_a_tenth_stands_out_from_the_texture_of_four_scenes_in_twenty() -> None:
    clips = [*(clip(seed, "one", alpha=0.1) for seed in range(4)), *(clip(seed) for seed in range(4, 20))]
    (mark,) = folder_marks(clips)
    assert shows(mark) == [True] * 4 + [False] * 16
    assert mark.pixels[truth("one")].mean() > 0.98
    assert not mark.pixels[~near(truth("one"), REACH)].any()


def test_a_mark_that_three_clips_show_in_their_bars_is_found() -> None:
    clips = [*(clip(seed, "one", alpha=0.15, bar=60) for seed in range(3)), *(clip(seed) for seed in range(3, 14))]
    (mark,) = folder_marks(clips)
    assert shows(mark) == [True] * 3 + [False] * 11
    assert mark.pixels[truth("one")].mean() > 0.98


def test_one_marked_clip_of_four_in_each_of_three_scenes_is_enough() -> None:
    rooms = [
        [clip(seed, "one", alpha=0.25, still=True), *(clip(seed, still=True, light=by) for by in (3, 6, 9))]
        for seed in range(3)
    ]
    clips = [*chain.from_iterable(rooms), *(clip(seed) for seed in range(3, 12))]
    assert [len(scene) for scene in scenes(clips)] == [4] * 3 + [1] * 9
    (mark,) = folder_marks(clips)
    assert shows(mark) == ([True] + [False] * 3) * 3 + [False] * 9
    assert mark.scenes == 3


def test_of_more_clips_than_are_compared_every_scene_is_heard() -> None:
    heard = asked(np.array([0] * 1000 + [1, 2, 3]))
    assert len(heard) == MOST_CLIPS
    assert heard[-3:].tolist() == [1000, 1001, 1002]


def test_a_mark_of_a_few_clips_is_told_from_one_of_most() -> None:
    clips = [clip(k, *["one"] * (k < 12), *["other"] * (k in (0, 1, 2, 15))) for k in range(16)]
    found = folder_marks(clips)
    for name in MARKS:
        assert max(mark.pixels[truth(name)].mean() for mark in found) > 0.98
    assert len(found) == 2


def test_texture_that_clips_show_some_pixels_apart_is_told_once() -> None:
    rng = np.random.default_rng(1)
    texture = rng.normal(size=(72, 72, 2)) * 60
    clips = []
    for _ in range(8):
        y, x = rng.integers(0, 9, 2)
        gradient = texture[y : y + 64, x : x + 64] + rng.normal(size=(64, 64, 2)) * 30
        colours = rng.integers(0, 255, (5, 8, 8, 3)).astype(np.uint8)
        clips.append(StaticSummary(np.clip(gradient, -127, 127).astype(np.int8), colours[0], colours[1:]))
    assert len(folder_marks(clips)) == 1


def test_two_marks_on_a_fifth_each_are_told_apart() -> None:
    names = ["one"] * 4 + ["other"] * 4 + [""] * 12
    clips = [clip(seed, *filter(None, [name])) for seed, name in enumerate(names)]
    marks = folder_marks(clips)
    for name in MARKS:
        own = [m for m in marks if shows(m) == [n == name for n in names]]
        covered = np.any([m.pixels for m in own], axis=0)
        assert covered[truth(name)].mean() > 0.98
        assert covered[~near(truth(name), REACH)].mean() <= 0.001
        marks = [m for m in marks if all(m is not o for o in own)]
    assert marks == []


def test_the_clean_copy_of_a_marked_clip_shows_no_mark() -> None:
    clips = [*(clip(seed, "one", alpha=0.15) for seed in range(4)), clip(3), *(clip(seed) for seed in range(4, 12))]
    assert [3, 4] in scenes(clips)
    (mark,) = folder_marks(clips)
    assert shows(mark) == [True] * 4 + [False] * 9


def test_a_room_seen_again_in_other_light_without_the_mark_shows_none() -> None:
    rooms = [clip(3, "one", still=True), clip(3, still=True, light=20)]
    clips = [*rooms, *(clip(seed, "one") for seed in range(4, 7)), *(clip(seed) for seed in range(7, 14))]
    assert scenes(clips) == [[0, 1], *([k] for k in range(2, 12))]
    (mark,) = folder_marks(clips)
    assert shows(mark) == [True, False] + [True] * 3 + [False] * 7


def test_a_mark_that_lies_on_a_bar_in_some_clips_is_covered_whole() -> None:
    bars = [28, 28, 28, 0, 0, 0]  # pixels: the mark's right half
    clips = [clip(seed, "one", bar=bar) for seed, bar in enumerate(bars)]
    (mark,) = folder_marks([*clips, *(clip(seed) for seed in range(6, 14))])
    assert mark.pixels[truth("one")].mean() > 0.98
    assert mark.pixels[~near(truth("one"), REACH)].mean() <= 0.002
    assert shows(mark) == [True] * 6 + [False] * 8


def test_a_mark_that_lies_some_pixels_apart_is_covered_where_each_clip_shows_it() -> None:
    by = [(0, 0), (0, 0), (2, -3), (1, 1), (4, 0)]
    clips = [*(clip(seed, "one", alpha=1, by=b) for seed, b in enumerate(by)), *(clip(seed) for seed in range(5, 14))]
    (mark,) = folder_marks(clips)
    assert shows(mark) == [True] * 5 + [False] * 9
    for b, shift in zip(by, mark.shifts, strict=False):
        own = moved(mark.pixels, shift)
        assert own[moved(truth("one"), np.array(b))].mean() > 0.98
        assert own[~near(moved(truth("one"), np.array(b)), REACH)].mean() <= 0.002


def test_faint_parts_of_a_mark_are_those_near_it_and_near_them_but_no_specks() -> None:
    mark, edge = np.zeros((H, W), bool), np.zeros((H, W), bool)
    mark[40:50, 20:40] = True
    second, third, speck, far = np.s_[40:50, 46:50], np.s_[40:50, 56:60], np.s_[55:57, 25:27], np.s_[40:50, 80:90]
    for part in (second, third, speck, far):
        edge[part] = True
    assert edge[speck].size < PIECE
    found = with_faint_parts(mark, edge, near=8)
    assert found[mark].all()
    assert found[second].all()
    assert found[third].all()
    assert not found[speck].any()
    assert not found[far].any()


def test_what_takes_half_of_the_picture_waits_for_review() -> None:
    pixels = np.zeros((H, W), bool)
    for part, sure in ((W // 4, True), (W // 2, False)):
        pixels[:, :part] = True
        mark = FolderMark(pixels, np.full(3, 40.0), np.zeros((3, 2), int), 3, 0.1)
        assert (sureness(mark, 40.0) >= SURE) is sure


def test_what_most_scenes_show_is_believed_of_one_more_at_less() -> None:
    pixels = np.zeros((H, W), bool)
    pixels[:10, :10] = True
    for share, sure in ((0.2, False), (0.9, True)):
        mark = FolderMark(pixels, np.full(3, 4.5), np.zeros((3, 2), int), 9, share)
        assert (needed(mark) < 4.5) is sure
        assert (sureness(mark, 4.5) >= SURE) is sure

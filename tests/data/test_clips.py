"""Clips cut from a small cache: the right pixels, masks that go with them, and the same batch for the same step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_films import FPS, expected_visible, frames_of

from vidboot.data.cache import Entry
from vidboot.data.clips import Pool, mean_colour
from vidboot.losses import Batch


def same(a: Batch, b: Batch) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in ("video", "pts_seconds", "visible", "shown")]
    if any((x is None) != (y is None) for x, y in pairs):
        return False
    return list(a.sources) == list(b.sources) and all(x is None or torch.equal(x, y) for x, y in pairs)


def test_a_batch_is_a_function_of_seed_stage_step_and_rank(pool: Pool) -> None:
    pool = replace(pool, flip=True, reverse=True, hide=0.5)
    here = {"seed": 1, "stage": "clip", "step": 5, "rank": 0}
    batch = pool.batch(6, **here)
    pool.batch(6, seed=1, stage="clip", step=6)
    assert same(pool.batch(6, **here), batch)
    for other in ({"seed": 2}, {"stage": "low_res0"}, {"step": 6}, {"rank": 1}):
        assert not same(pool.batch(6, **{**here, **other}), batch), other


def test_a_clip_shows_the_frames_of_its_file_and_their_mask(pool: Pool, entries: dict[str, Entry]) -> None:
    masked = 0
    for step in range(12):
        batch = pool.batch(4, seed=0, stage="clip", step=step)
        T = batch.video.shape[1]
        assert batch.video.dtype == torch.float32
        for i, source in enumerate(batch.sources):
            film = frames_of(entries[source])
            (first,) = [t for t in range(len(film) - T + 1) if torch.equal(film[t : t + T], batch.video[i])]
            visible = expected_visible(entries[source])[first : first + T]
            masked += int(not visible.all())
            if batch.visible is None:
                assert visible.all()
            else:
                assert torch.equal(batch.visible[i], visible)
                assert batch.shown is not None
                assert torch.equal(batch.shown, batch.visible)
            torch.testing.assert_close(batch.pts_seconds[i], torch.arange(T) / FPS)
    assert masked >= 3


def test_most_batches_are_as_long_as_a_shot_allows_and_the_others_any(pool: Pool, entries: dict[str, Entry]) -> None:
    alike = replace(pool, entries=[entries["b.mp4"], entries["c.mp4"]])
    lengths = [alike.batch(1, seed=0, stage="clip", step=step).video.shape[1] for step in range(150)]
    assert 0.65 < lengths.count(16) / len(lengths) < 0.9
    assert len(set(lengths)) > 10
    assert {1, 16} <= set(lengths) <= set(range(1, 17))
    fixed = replace(pool, any_length=False)
    assert {fixed.batch(1, seed=0, stage="clip", step=step).video.shape[1] for step in range(20)} == {16}
    # Of three shots the one half as long as the two others is drawn a quarter as often as each.
    drawn = [pool.shape(1, seed=0, stage="clip", step=step)[1] for step in range(2000)]
    assert drawn.count(8) / len(drawn) == pytest.approx(0.75 / 9 + 0.25 * (1 / 9 / 8 + 8 / 9 / 16), abs=0.02)


@pytest.mark.parametrize(
    ("frames", "window", "group"),
    [
        ([60] * 99 + [61], 64, 1),
        ([*range(30, 64), *range(30, 64)], 64, 1),
        ([*range(65, 250, 2)], 64, 4),
        ([4] * 50 + [8], 8, 1),
    ],
)
def test_no_shot_is_drawn_much_more_than_others_of_about_its_length(
    entries: dict[str, Entry], frames: list[int], window: int, group: int
) -> None:
    shots = [replace(entries["c.mp4"], frames=n, source=str(i)) for i, n in enumerate(frames)]
    pool = Pool(shots, None, window=window, group=group)
    drawn = np.zeros(len(shots))
    for step in range(400):
        _, length = pool.shape(1, seed=0, stage="clip", step=step)
        starts = np.array([max(0, n - length * group + 1) for n in frames])
        drawn += np.sqrt(starts) / np.sqrt(starts).sum()
    assert drawn.max() / drawn.sum() < 0.1
    assert replace(pool, any_length=False).longest * group <= sorted(frames)[-8]


def test_a_shot_is_drawn_by_the_square_root_of_the_places_where_a_clip_can_start_in_it(
    entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    shots = [replace(entries["c.mp4"], frames=n, source=str(n)) for n in (16, 24, 40)]
    cut: list[tuple[str, int]] = []

    def open_clip(entry: Entry, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cut.append((entry.source, first))
        return np.zeros((last - first, 2, 2, 3), np.uint8), np.arange(last - first) / FPS, np.ones(last - first, bool)

    monkeypatch.setattr("vidboot.data.clips.open_clip", open_clip)
    pool = Pool(shots, None, window=16, any_length=False)
    for step in range(300):
        pool.batch(8, seed=0, stage="clip", step=step)
    share = {n: sum(source == str(n) for source, _ in cut) / len(cut) for n in (16, 24, 40)}
    assert share == pytest.approx({16: 1 / 9, 24: 3 / 9, 40: 5 / 9}, abs=0.03)
    assert {first for source, first in cut if source == "40"} == set(range(25))


def test_only_shots_that_are_long_enough_are_cut(pool: Pool, entries: dict[str, Entry]) -> None:
    whole = replace(pool, any_length=False)
    sources = {source for step in range(10) for source in whole.batch(4, seed=0, stage="clip", step=step).sources}
    assert sources == {"b.mp4", "c.mp4"}
    short = replace(pool, entries=[entries["a.mp4"]], any_length=False)
    assert short.longest == 8
    assert short.batch(2, seed=0, stage="clip", step=0).video.shape[1] == 8
    assert replace(pool, entries=[]).longest == 0
    assert replace(pool, window=64, group=4).longest == 10


@pytest.mark.parametrize(("flip", "reverse"), [(True, False), (False, True), (True, True)])
def test_a_clip_that_is_turned_keeps_its_mask_aligned(
    pool: Pool, entries: dict[str, Entry], flip: bool, reverse: bool
) -> None:
    b = replace(pool, entries=[entries["b.mp4"]], window=24, any_length=False, flip=flip, reverse=reverse)
    film, visible, seen = frames_of(entries["b.mp4"]), expected_visible(entries["b.mp4"]), set()
    for step in range(8):
        batch = b.batch(2, seed=0, stage="clip", step=step)
        assert batch.visible is not None
        for video, shown in zip(batch.video, batch.visible, strict=True):
            turned = [
                dim
                for dim, on in ((0, video[0].mean() > video[-1].mean()), (3, video[0, 0, 0, 0] > video[0, 0, 0, -1]))
                if on
            ]
            seen.add(tuple(turned))
            assert torch.equal(video, film.flip(turned))
            assert torch.equal(shown, visible.flip(turned))
        torch.testing.assert_close(batch.pts_seconds, (torch.arange(24) / FPS).expand(2, 24))
    assert seen == {(*t, *f) for t in ((), (0,))[: 1 + reverse] for f in ((), (3,))[: 1 + flip]}


def test_measuring_cuts_one_clip_from_the_middle_of_each_shot(pool: Pool, entries: dict[str, Entry]) -> None:
    batches = list(pool.fixed(1, most=9))
    assert [batch.sources for batch in batches] == [["b.mp4"], ["c.mp4"], ["a.mp4"]]
    assert torch.equal(batches[1].video[0], frames_of(entries["c.mp4"])[12:28])
    assert torch.equal(batches[2].video[0], frames_of(entries["a.mp4"]))
    assert list(replace(pool, entries=[]).fixed(4, most=9)) == []


def test_the_mean_colour_and_its_spread_are_those_of_the_visible_pixels(work: Path, entries: dict[str, Entry]) -> None:
    whole = Pool([entries["b.mp4"]], work / "masks", window=24, any_length=False)
    film, visible = frames_of(entries["b.mp4"]), expected_visible(entries["b.mp4"]).bool()
    expected = torch.stack([film[:, c][visible[:, 0]].mean() for c in range(3)])
    mean, spread = mean_colour([whole])
    torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-5)
    assert spread == 0, "one shot"
    other = replace(whole, entries=[entries["a.mp4"]], window=8)
    both, _ = mean_colour([whole, other])
    torch.testing.assert_close(both, (expected + frames_of(entries["a.mp4"]).mean((0, 2, 3))) / 2)


def test_the_spread_of_colour_is_the_deviation_between_shots_of_what_they_show(pool: Pool) -> None:
    mean, spread = mean_colour([pool])
    batches = list(pool.fixed(1, most=9))
    assert [batch.video.shape[1] for batch in batches] == [16, 16, 8]
    colours = []
    for batch in batches:
        shown = torch.ones_like(batch.video[:, :, :1]) if batch.visible is None else batch.visible
        colours.append(batch.video.movedim(2, -1)[shown[:, :, 0].bool()].mean(0))
    torch.testing.assert_close(mean, torch.stack(colours).mean(0))
    assert abs(spread - torch.stack(colours).var(0).mean().sqrt()) < 1e-6
    assert spread > 0.01


def test_what_is_measured_on_is_chosen_evenly_each_as_long_as_it_is(pool: Pool, entries: dict[str, Entry]) -> None:
    many = replace(pool, entries=[entries[name] for name in ("a.mp4", "b.mp4", "a.mp4", "c.mp4", "a.mp4")], masks=None)
    batches = list(many.fixed(2, most=4))
    assert [tuple(batch.video.shape[:2]) for batch in batches] == [(2, 16), (2, 8)]
    assert sorted(source for batch in batches for source in batch.sources) == ["a.mp4", "a.mp4", "b.mp4", "c.mp4"]

"""Clips cut from a small cache: the right pixels, masks that go with them, and the same batch for the same step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from vidboot import masks
from vidboot.data.cache import Entry, Spec, build, open_clip
from vidboot.data.clips import Pool, mean_colour
from vidboot.data.encode import save_tiny
from vidboot.losses import Batch
from vidboot.scan import audit

SIDE, FPS = 16, 8
LENGTHS = {"a.mp4": 8, "b.mp4": 24, "c.mp4": 40}
BOX = (2, 9, 7, 13)
HIDDEN_SECONDS = (1.0, 1.5)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of three films that brighten to the right, and with time; b.mp4 has a mask."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "videos").mkdir()
    for number, (name, frames) in enumerate(LENGTHS.items()):
        across = 60 + 3 * np.arange(SIDE)[None, None, :, None] + 2 * np.arange(frames)[:, None, None, None]
        tint = np.array([number * 20, 10, 0])
        film = np.broadcast_to(across + tint, (frames, SIDE, SIDE, 3)).astype(np.uint8)
        save_tiny(folder / "videos" / name, film, FPS)
    _, shots = audit(folder / "videos", folder / "work", workers=1)
    build(shots, folder / "videos", folder / "work", [Spec(SIDE, SIDE, FPS)], workers=1)
    sha256 = next(shot.sha256 for shot in shots if shot.path == "b.mp4")
    first, last = HIDDEN_SECONDS
    event = masks.Event(id="s0", kind="subtitle", first_seconds=first, last_seconds=last, box=BOX)
    masks.save(folder / "work" / "masks" / f"{sha256}.json", masks.Mask(sha256, SIDE, SIDE, (event,)))
    return folder / "work"


@pytest.fixture(scope="module")
def entries(work: Path) -> dict[str, Entry]:
    _, shots = audit(work.parent / "videos", work, workers=1)
    built = build(shots, work.parent / "videos", work, [Spec(SIDE, SIDE, FPS)], workers=1).entries
    assert sorted((entry.source, entry.frames) for entry in built) == sorted(LENGTHS.items())
    return {entry.source: entry for entry in built}


@pytest.fixture
def pool(work: Path, entries: dict[str, Entry]) -> Pool:
    return Pool(list(entries.values()), work / "masks", window=16)


def same(a: Batch, b: Batch) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in ("video", "pts_seconds", "visible", "shown")]
    if any((x is None) != (y is None) for x, y in pairs):
        return False
    return list(a.sources) == list(b.sources) and all(x is None or torch.equal(x, y) for x, y in pairs)


def frames_of(entry: Entry) -> Tensor:
    frames = torch.from_numpy(open_clip(entry, 0, entry.frames)[0].copy())
    return frames.permute(0, 3, 1, 2).float() / 127.5 - 1


def expected_visible(entry: Entry) -> Tensor:
    """Of a whole shot: the box and one pixel around it are hidden while the event lasts, both ends included."""
    visible = torch.ones(entry.frames, 1, SIDE, SIDE, dtype=torch.uint8)
    if entry.source == "b.mp4":
        first, last = (int(seconds * FPS) for seconds in HIDDEN_SECONDS)
        x0, y0, x1, y1 = BOX
        visible[first : last + 1, :, y0 - 1 : y1 + 1, x0 - 1 : x1 + 1] = 0
    return visible


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


def test_a_grouped_clip_is_the_mean_of_what_its_groups_show_and_trusts_those_that_show_most(
    pool: Pool, entries: dict[str, Entry]
) -> None:
    grouped = replace(pool, entries=[entries["b.mp4"]], window=6, group=4, any_length=False)
    batch = grouped.batch(1, seed=0, stage="low_res1", step=0)
    film = frames_of(entries["b.mp4"]).unflatten(0, (6, 4))
    visible = expected_visible(entries["b.mp4"]).unflatten(0, (6, 4)).float()
    trusted = visible.mean(1) >= 0.75
    assert batch.visible is not None
    assert torch.equal(batch.visible[0].bool(), trusted)
    assert (trusted & (visible.amin(1) == 0)).any()
    mean = (film * visible).sum(1) / visible.sum(1)
    torch.testing.assert_close(batch.video[0][trusted.expand_as(mean)], mean[trusted.expand_as(mean)])
    torch.testing.assert_close(batch.pts_seconds[0], (torch.arange(6) * 4 + 1.5) / FPS)


def test_a_small_clip_shows_what_its_mask_leaves_of_the_same_frames_at_a_larger_size(
    work: Path, entries: dict[str, Entry], tmp_path: Path
) -> None:
    large = entries["b.mp4"]
    line = masks.Event(id="s0", kind="subtitle", first_seconds=1, last_seconds=2, box=(2, 7, 7, 8))
    masks.save(tmp_path / f"{large.sha256}.json", masks.Mask(large.sha256, SIDE, SIDE, (line,)))
    _, shots = audit(work.parent / "videos", work, workers=1)
    spec = Spec(SIDE // 4, SIDE // 4, FPS)
    small = [e for e in build(shots, work.parent / "videos", work, [spec], workers=1).entries if e.source == "b.mp4"]

    def clip(entries: list[Entry], finer: list[Entry]) -> tuple[Tensor, Tensor]:
        pool = Pool(entries, tmp_path, window=24, any_length=False, finer=finer)
        batch = pool.batch(1, seed=0, stage="low_res0", step=0)
        assert batch.visible is not None
        return batch.video[0], batch.visible[0].float()

    (x, visible), (bare, bare_visible), (seen, trusted) = clip([large], []), clip(small, []), clip(small, [large])
    share = avg_pool2d(visible, 4)
    assert torch.equal(trusted, (share >= 0.75).float())
    assert torch.equal(bare_visible, (share == 1).float())
    part = (trusted > bare_visible).expand_as(seen)
    assert part.any()
    # Frames are whole levels of brightness.
    torch.testing.assert_close(seen[part], (avg_pool2d(x * visible, 4) / share)[part], atol=0.5 / 127.5 + 1e-6, rtol=0)
    whole = (share == 1).expand_as(bare)
    assert torch.equal(seen[whole], bare[whole])


def test_extra_boxes_are_hidden_from_the_net_alone_and_leave_something_to_see(pool: Pool) -> None:
    hiding = replace(pool, hide=1.0)
    for step in range(10):
        batch = hiding.batch(4, seed=0, stage="clip", step=step)
        bare = pool.batch(4, seed=0, stage="clip", step=step)
        assert batch.visible is not None
        assert batch.shown is not None
        assert torch.equal(batch.video, bare.video)
        assert torch.equal(batch.visible, torch.ones_like(batch.visible) if bare.visible is None else bare.visible)
        assert (batch.shown <= batch.visible).all()
        for shown, visible in zip(batch.shown, batch.visible, strict=True):
            assert shown.any()
            assert (shown < visible).any() or not visible.all()


def test_extra_hidden_pixels_have_the_shape_of_what_was_found_moved_to_any_place(
    pool: Pool, entries: dict[str, Entry]
) -> None:
    pool = replace(pool, entries=[entries["a.mp4"], entries["b.mp4"]], window=6, any_length=False, hide=1.0)
    x0, y0, x1, y1 = BOX
    found, shapes, places = (x1 - x0 + 2) * (y1 - y0 + 2), 0, set()
    for step in range(60):
        batch = pool.batch(4, seed=0, stage="clip", step=step)
        assert batch.visible is not None
        assert batch.shown is not None
        for source, shown in zip(batch.sources, batch.shown, strict=True):
            hidden = (shown == 0)[:, 0]
            # a.mp4 has no mask: what is hidden of it was hidden on purpose.
            if source == "a.mp4" and {int(frame.sum()) for frame in hidden} <= {0, found}:
                shapes += 1
                places.add(tuple(hidden.any(0).nonzero()[0].tolist()))
    assert shapes > 10
    assert len(places) > 5


def test_measuring_cuts_one_clip_from_the_middle_of_each_shot(pool: Pool, entries: dict[str, Entry]) -> None:
    batches = list(pool.fixed(1, most=9))
    assert [batch.sources for batch in batches] == [["b.mp4"], ["c.mp4"], ["a.mp4"]]
    assert torch.equal(batches[1].video[0], frames_of(entries["c.mp4"])[12:28])
    assert torch.equal(batches[2].video[0], frames_of(entries["a.mp4"]))
    assert list(replace(pool, entries=[]).fixed(4, most=9)) == []


def test_a_pool_is_blind_where_none_of_its_shots_shows_anything(entries: dict[str, Entry], tmp_path: Path) -> None:
    shots = list(entries.values())

    def mark(entry: Entry, box: tuple[int, int, int, int], last_seconds: float = 99) -> None:
        event = masks.Event(id="m0", kind="mark", first_seconds=0, last_seconds=last_seconds, box=box)
        masks.save(tmp_path / f"{entry.sha256}.json", masks.Mask(entry.sha256, SIDE, SIDE, (event,)))

    def blind(*, flip: bool = False) -> Tensor | None:
        return Pool(shots, tmp_path, window=16, flip=flip).blind

    for x, entry in enumerate(shots[:2]):
        mark(entry, (1 + x, 2, 6, 5))
    assert blind() is None, "a shot without a mask shows all"
    mark(shots[2], (4, 1, 9, 8))
    found = blind()
    assert found is not None
    assert found.shape == (1, 1, 1, SIDE, SIDE)
    # Of all three, each grown by a pixel.
    assert found.nonzero()[:, 3:].tolist() == [[y, x] for y in range(1, 6) for x in range(3, 7)]
    assert blind(flip=True) is None, "turned, the other half of the frame is shown"
    mark(shots[2], (0, 0, SIDE, SIDE), last_seconds=0.1)
    assert blind() is None, "what is hidden for a while is shown for the rest"


def test_a_mask_that_is_edited_counts_at_once(pool: Pool, entries: dict[str, Entry]) -> None:
    b = replace(pool, entries=[entries["b.mp4"]], window=24, any_length=False)
    assert b.batch(1, seed=0, stage="clip", step=0).visible is not None
    assert pool.masks is not None
    path = pool.masks / f"{entries['b.mp4'].sha256}.json"
    before = path.read_bytes()
    masks.save(path, replace(masks.load(path), events=()))
    try:
        assert b.batch(1, seed=0, stage="clip", step=0).visible is None
    finally:
        path.write_bytes(before)


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


def test_without_masks_every_pixel_counts(pool: Pool, entries: dict[str, Entry]) -> None:
    b = replace(pool, entries=[entries["b.mp4"]], window=24, any_length=False)
    with_masks, without = (p.batch(2, seed=0, stage="clip", step=0) for p in (b, replace(b, masks=None)))
    assert with_masks.visible is not None
    assert without.visible is None
    assert torch.equal(with_masks.video, without.video)

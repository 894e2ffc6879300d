"""What masks hide of clips, and what is hidden of them on purpose."""

from dataclasses import replace
from pathlib import Path

import torch
from small_films import BOX, FPS, SIDE, expected_visible, frames_of
from torch import Tensor
from torch.nn.functional import avg_pool2d

from vidboot import masks
from vidboot.data.cache import Entry, Spec, build
from vidboot.data.clips import Pool
from vidboot.scan import audit


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


def test_only_a_mask_that_hides_something_makes_a_shot_a_masked_one(entries: dict[str, Entry], tmp_path: Path) -> None:
    shots = list(entries.values())
    events = {
        "mark": masks.Event(id="m0", kind="mark", first_seconds=0, last_seconds=1, box=(1, 1, 4, 4)),
        "doubt": masks.Event(id="m0", kind="mark", first_seconds=0, last_seconds=1, box=(1, 1, 4, 4), score=0.3),
    }
    for entry, found in zip(shots, ((events["mark"],), (events["doubt"],), ()), strict=True):
        masks.save(tmp_path / f"{entry.sha256}.json", masks.Mask(entry.sha256, SIDE, SIDE, found))
    assert Pool(shots, tmp_path, window=8).masked == 1 / 3
    assert Pool(shots, None, window=8).masked == 0


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


def test_without_masks_every_pixel_counts(pool: Pool, entries: dict[str, Entry]) -> None:
    b = replace(pool, entries=[entries["b.mp4"]], window=24, any_length=False)
    with_masks, without = (p.batch(2, seed=0, stage="clip", step=0) for p in (b, replace(b, masks=None)))
    assert with_masks.visible is not None
    assert without.visible is None
    assert torch.equal(with_masks.video, without.video)

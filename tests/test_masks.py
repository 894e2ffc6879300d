"""Mask files survive the disk and refuse what is not theirs; no cell that touches a hidden pixel is trusted."""

import contextlib
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidboot import masks, trust, visibility
from vidboot.boxes import Box
from vidboot.masks import Event, Mask

SHA = "a" * 64
WHOLE = (0, 0, 12, 10)


def subtitle(name: str = "s", *, first: float = 1, last: float = 2, **fields: Any) -> Event:
    where = {} if "layer" in fields else {"box": (2, 6, 9, 8)}
    return Event.model_validate(
        {"id": name, "kind": "subtitle", "first_seconds": first, "last_seconds": last, **where, **fields}
    )


def mask(*events: Event, width: int = 12, height: int = 10, layers: np.ndarray | None = None) -> Mask:
    if layers is None:
        return Mask(SHA, width, height, events)
    return Mask(SHA, width, height, events, layers)


def diagonal() -> np.ndarray:
    return np.eye(10, 12, dtype=bool)


def test_a_mask_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    saved = mask(subtitle("a", score=0.1, status="edited"), subtitle("b", layer=0), layers=diagonal()[None])
    masks.save(tmp_path / "masks" / f"{SHA}.json", saved)
    loaded = masks.load(tmp_path / "masks" / f"{SHA}.json", sha256=SHA)
    assert loaded == saved
    np.testing.assert_array_equal(loaded.layers, saved.layers)
    assert sorted(path.suffix for path in (tmp_path / "masks").iterdir()) == [".json", ".npz"]


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_kill_at_any_moment_leaves_the_old_mask_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "m.json", os.replace
    old = mask(subtitle("a", layer=0), layers=diagonal()[None])
    new = mask(subtitle("b", layer=1), layers=np.stack([diagonal(), ~diagonal()]))
    for replaced in range(3):
        masks.save(path, old)
        left = iter(range(replaced))

        def until_killed(*names: Any, left: Any = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace(*names)

        monkeypatch.setattr(masks.os, "replace", until_killed)
        with contextlib.suppress(KeyboardInterrupt):
            masks.save(path, new)
        monkeypatch.setattr(masks.os, "replace", replace)
        wanted = new if replaced else old
        for _ in range(2):
            loaded = masks.load(path)
            assert loaded == wanted
            np.testing.assert_array_equal(loaded.layers, wanted.layers)
            # A kill while the next mask is being written loses none of it either.
            with monkeypatch.context() as patch:
                patch.setattr(masks.np, "savez_compressed", killed)
                with pytest.raises(KeyboardInterrupt):
                    masks.save(path, old)


def test_the_file_has_the_documented_form(tmp_path: Path) -> None:
    masks.save(tmp_path / "m.json", mask(subtitle()))
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "schema": 1,
        "sha256": SHA,
        "width": 12,
        "height": 10,
        "events": [
            {
                "id": "s",
                "kind": "subtitle",
                "first_seconds": 1.0,
                "last_seconds": 2.0,
                "box": [2.0, 6.0, 9.0, 8.0],
                "score": 1.0,
                "status": "auto",
            }
        ],
    }
    assert not (tmp_path / "m.npz").exists()


CONTENT = {"schema": 1, "sha256": SHA, "width": 12, "height": 10}
EVENT = {"id": "s", "kind": "subtitle", "first_seconds": 1, "last_seconds": 2, "box": [2, 6, 9, 8]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": [2, 6, 13, 8]}, "outside the frame 12x10"),
        ({"box": [-1, 6, 9, 8]}, "outside the frame"),
        ({"box": [9, 6, 9, 8]}, "outside the frame"),
        ({"box": None}, "either a box or a layer"),
        ({"layer": 0}, "either a box or a layer"),
        ({"box": None, "layer": 0}, "does not hold the layers"),
        ({"kind": "ghost"}, "events.0.kind: Input should be 'subtitle', 'mark'"),
        ({"status": "maybe"}, "'rejected' or 'edited'"),
        ({"last_seconds": 0.5}, "ends at 0.5 s, before 1.0 s"),
        ({"score": 2}, "less than or equal to 1"),
        ({"first_seconds": "NaN"}, "finite number"),
        ({"colour": "white"}, "Extra inputs"),
    ],
)
def test_a_broken_event_is_one_clear_error(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(CONTENT | {"events": [EVENT | change]}))
    with pytest.raises(ValueError, match=message) as caught:
        masks.load(path)
    assert "m." in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", json.dumps(CONTENT)[:-9], "[]", json.dumps(CONTENT | {"schema": 2}), json.dumps(CONTENT | {"width": 0})],
)
def test_half_a_file_or_another_schema_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ValueError, match="is not a mask file"):
        masks.load(tmp_path / "m.json")


def test_the_mask_of_another_video_is_refused(tmp_path: Path) -> None:
    masks.save(tmp_path / "m.json", mask(subtitle()))
    with pytest.raises(ValueError, match="another video"):
        masks.load(tmp_path / "m.json", sha256="b" * 64)


def test_half_of_the_layers_is_refused(tmp_path: Path) -> None:
    masks.save(tmp_path / "m.json", mask(subtitle(layer=0), layers=diagonal()[None]))
    npz = (tmp_path / "m.npz").read_bytes()
    for content in (b"", npz[:-40], b"not a zip"):
        (tmp_path / "m.npz").write_bytes(content)
        with pytest.raises(ValueError, match="does not hold the layers"):
            masks.load(tmp_path / "m.json")


def test_two_events_of_one_name_and_layers_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="not unique"):
        mask(subtitle("a"), subtitle("a"))
    with pytest.raises(ValueError, match="the frame is 10x12"):
        mask(subtitle(layer=0), layers=diagonal().T[None])
    with pytest.raises(ValueError, match="names layer 1 of 1"):
        mask(subtitle(layer=1), layers=diagonal()[None])


def test_an_event_hides_its_box_from_its_first_frame_to_its_last() -> None:
    shown = visibility.visible(mask(subtitle()), [0, 0.9, 1, 1.5, 2, 2.1], WHOLE, 10, 12, dilation=0)
    expected = np.ones((10, 12))
    expected[6:8, 2:9] = 0
    assert [bool((frame == 1).all()) for frame in shown] == [True, True, False, False, False, True]
    np.testing.assert_array_equal(shown[2], expected)
    assert shown.dtype == np.uint8


def test_rejected_events_hide_nothing_and_the_others_do() -> None:
    hidden = {
        status: (visibility.visible(mask(subtitle(status=status)), [1.5], WHOLE, 10, 12) == 0).any()
        for status in ("auto", "accepted", "edited", "rejected")
    }
    assert hidden == {"auto": True, "accepted": True, "edited": True, "rejected": False}


def test_without_events_or_frames_nothing_is_hidden() -> None:
    assert visibility.visible(mask(), [0, 1], WHOLE, 5, 6).all()
    assert visibility.visible(mask(subtitle()), [], WHOLE, 5, 6).shape == (0, 5, 6)


@pytest.mark.parametrize("by", [0, 1, 3])
def test_dilation_grows_boxes_and_layers_alike(by: int) -> None:
    layer = np.zeros((1, 10, 12), bool)
    layer[0, 6:8, 2:9] = True
    boxed = visibility.visible(mask(subtitle()), [1], WHOLE, 10, 12, dilation=by)
    layered = visibility.visible(mask(subtitle(layer=0), layers=layer), [1], WHOLE, 10, 12, dilation=by)
    np.testing.assert_array_equal(boxed, layered)
    assert (boxed == 0).sum() == (min(8 + by, 10) - (6 - by)) * (min(9 + by, 12) - max(2 - by, 0))


def test_dilation_follows_the_shorter_side_and_spares_small_pictures() -> None:
    sizes = ((32, 32), (64, 64), (176, 144), (640, 360), (360, 640), (1280, 720), (1920, 1080))
    assert [trust.default_dilation(*size) for size in sizes] == [1, 1, 2, 3, 3, 5, 7]


def test_an_unsure_event_hides_nothing_until_somebody_accepts_it() -> None:
    for status, score, hides in (
        ("auto", 0.49, False),
        ("auto", 0.5, True),
        ("accepted", 0.1, True),
        ("edited", 0.1, True),
        ("rejected", 1.0, False),
    ):
        event = subtitle().model_copy(update={"status": status, "score": score})
        assert masks.hides(event) == hides
        assert (visibility.visible(mask(event), [1], WHOLE, 10, 12).min() == 0) == hides


def test_a_latent_cell_is_visible_only_if_all_of_its_pixels_and_frames_are() -> None:
    shown = np.ones((10, 16, 24), np.uint8)
    shown[3, 0, 8] = shown[9, 15, 0] = 0
    latent = visibility.latent(shown, 8, 4)
    assert latent.shape == (4, 2, 3)  # frame 0, 1 to 4, 5 to 8, 9
    assert {tuple(cell) for cell in np.argwhere(latent == 0)} == {(1, 0, 1), (3, 1, 0)}


def trusted_by_definition(hidden: np.ndarray, box: Box, height: int, width: int) -> np.ndarray:
    """Each cell against each source pixel, in exact arithmetic."""
    x0, y0, x1, y1 = map(Fraction, box)
    out = np.ones((height, width), np.uint8)
    for row, column in np.ndindex(height, width):
        top, bottom = (y0 + (y1 - y0) * Fraction(r, height) for r in (row, row + 1))
        left, right = (x0 + (x1 - x0) * Fraction(c, width) for c in (column, column + 1))
        for y, x in zip(*np.nonzero(hidden), strict=True):
            if top < y + 1 and y < bottom and left < x + 1 and x < right:
                out[row, column] = 0
    return out


@pytest.mark.parametrize("box", [WHOLE, (1, 2, 11, 9), (0.5, 0.25, 11.75, 9.5), (3, 3, 4, 4)])
@pytest.mark.parametrize(("height", "width"), [(10, 12), (5, 6), (3, 7), (1, 1), (23, 31)])
def test_a_cell_is_trusted_only_if_every_pixel_it_touches_is(box: Box, height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    x0, x1 = np.sort(rng.uniform(0, 12, 2))
    boxed = visibility.visible(mask(subtitle(box=(x0, 2.5, x1, 7))), [1], box, height, width, dilation=0)
    touched = np.zeros((10, 12), bool)
    touched[2:7, int(x0) : int(np.ceil(x1))] = True
    np.testing.assert_array_equal(boxed[0], trusted_by_definition(touched, box, height, width))
    hidden = rng.random((10, 12)) < 0.04
    shown = visibility.visible(mask(subtitle(layer=0), layers=hidden[None]), [1], box, height, width, dilation=0)
    np.testing.assert_array_equal(shown[0], trusted_by_definition(hidden, box, height, width))


@pytest.mark.parametrize("box", [(0, 0, 13, 10), (-1, 0, 12, 10), (4, 0, 4, 10)])
def test_a_crop_outside_the_source_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="crop_box"):
        visibility.visible(mask(subtitle()), [1], box, 5, 6)


def test_overlapping_events_hide_their_union_only_while_both_are_there() -> None:
    events = subtitle("a", first=0, last=2), subtitle("b", first=1, last=3, box=(0, 0, 3, 3))
    together = visibility.visible(mask(*events), [0.5, 1.5, 2.5], WHOLE, 10, 12)
    alone = [visibility.visible(mask(event), [0.5, 1.5, 2.5], WHOLE, 10, 12) for event in events]
    np.testing.assert_array_equal(together, alone[0] & alone[1])


@pytest.mark.parametrize("seed", range(20))
def test_each_frame_hides_what_any_event_of_its_time_hides_and_each_set_of_them_is_drawn_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = rng.choice(np.arange(0, 8, 0.25), (rng.integers(30), 2))  # many begin or end on a frame, or together
    boxes = rng.integers(0, 8, (len(times), 2))
    events = [
        subtitle(str(i), first=min(at), last=max(at), box=(x, y, x + 2, y + 1))
        for i, (at, (x, y)) in enumerate(zip(times.tolist(), boxes.tolist(), strict=True))
    ]
    pts_seconds = rng.permutation(np.arange(0, 10, 0.125) + rng.choice([0, 0.0009, -0.0011], 80))
    distinct, which = visibility.distinct_visible(mask(*events), pts_seconds, WHOLE, 10, 12, dilation=0)
    tolerance = trust.TIME_TOLERANCE_SECONDS
    active = np.array([
        [e.first_seconds - tolerance <= at <= e.last_seconds + tolerance for e in events] for at in pts_seconds
    ])  # fmt: skip
    expected = np.ones((80, 10, 12), np.uint8)
    for frame, present in zip(expected, active, strict=True):
        for x, y in boxes[present]:
            frame[y : y + 1, x : x + 2] = 0
    np.testing.assert_array_equal(distinct[which], expected)
    assert len(distinct) == len(np.unique(active, axis=0))


def test_cells_say_how_much_of_a_patch_is_visible() -> None:
    shown = np.ones((2, 4, 8), np.uint8)
    shown[1, :2, :3] = 0
    np.testing.assert_array_equal(visibility.cells(shown, 2)[1], [[0, 0.5, 1, 1], [1, 1, 1, 1]])
    assert visibility.cells(shown, 4).shape == (2, 1, 2)
    with pytest.raises(ValueError, match="not divisible"):
        visibility.cells(shown, 3)


def test_reading_masks_does_not_import_torch() -> None:
    subprocess.run([sys.executable, "-c", "import sys, vidboot.masks; assert 'torch' not in sys.modules"], check=True)

"""What masks hide counts where and when a net looks, and there only."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidboot import masks, visibility
from vidboot.data.geometry import center_crop_box
from vidboot.data.hidden import Hidden, hidden_by_masks
from vidboot.data.records import Shot
from vidboot.masks import Event, Mask

W, H = 640, 360
SHA = {name: name * 32 for name in ("aa", "bb", "cc", "dd")}


def shot(width: int = W, height: int = H) -> Shot:
    pts_seconds = tuple((np.arange(48) / 24).tolist())
    how = {"stretch": 1.0, "fps": 24.0, "seconds": 2.0, "pts_seconds": pts_seconds}
    return Shot(path="a.mp4", sha256=SHA["aa"], shot=0, first=0, last=47, width=width, height=height, **how)


def saved(work: Path, name: str, *events: Event, layers: np.ndarray | None = None) -> None:
    none = np.zeros((0, 0, 0), bool)
    masks.save(work / "masks" / f"{SHA[name]}.json", Mask(SHA[name], W, H, events, none if layers is None else layers))


def mark(**how: Any) -> Event:
    return Event(**{"id": "a", "kind": "mark", "first_seconds": 1.0, "last_seconds": 4.0, "box": (0, 0, 9, 9)} | how)


def test_only_events_that_hide_what_a_shot_shows_count(tmp_path: Path) -> None:
    unsure, gone = mark(score=0.4, id="b"), mark(status="rejected", id="c")
    saved(tmp_path, "aa", mark(), unsure, mark(kind="blank", id="d"), mark(kind="damaged", id="e"), gone)
    saved(tmp_path, "bb", gone, mark(status="accepted", score=0.4, first_seconds=2.0))
    saved(tmp_path, "cc", unsure)
    saved(tmp_path, "dd")
    found = {
        sha256: [one.first_seconds for one in hidden] for sha256, hidden in hidden_by_masks(tmp_path / "masks").items()
    }
    assert found == {SHA["aa"]: [1.0], SHA["bb"]: [2.0], SHA["cc"]: [], SHA["dd"]: []}
    assert hidden_by_masks(tmp_path / "none") == {}


@pytest.mark.parametrize("x", range(120, 146))
@pytest.mark.parametrize("layer", [False, True])
def test_a_mark_beside_the_crop_is_out_of_sight_exactly_where_no_pixel_of_the_crop_is_hidden(
    tmp_path: Path, x: int, layer: bool
) -> None:
    box = (x - 20, 100, x, 130)
    pixels = np.zeros((1, H, W), bool)
    pixels[0, 100:130, x - 20 : x] = True
    event = mark(box=None, layer=0) if layer else mark(box=box)
    saved(tmp_path, "aa", event, layers=pixels if layer else None)
    (hidden,) = hidden_by_masks(tmp_path / "masks")[SHA["aa"]]
    written = masks.load(tmp_path / "masks" / f"{SHA['aa']}.json")
    shown = visibility.visible(written, [1.5], center_crop_box(W, H, 32, 32), 32, 32)
    assert hidden.in_sight(shot(), 32, 32) == bool((shown == 0).any())


def test_a_mask_written_by_hand_needs_neither_events_nor_a_size(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    event = {"kind": "mark", "first_seconds": 0.0, "last_seconds": 1.0, "box": [0, 0, 9, 9]}
    (tmp_path / "masks" / "aa.json").write_text(json.dumps({"events": [event]}))
    (tmp_path / "masks" / "bb.json").write_text("{}")
    found = hidden_by_masks(tmp_path / "masks")
    assert found["aa"][0].in_sight(shot(), 32, 32)
    assert found["bb"] == []


def test_a_mark_counts_in_its_time_and_where_its_place_is_not_known() -> None:
    corner = (0.0, 0.0, 9.0, 9.0)
    assert not Hidden(0, 9, (W, H), corner).in_sight(shot(), 32, 32)
    assert Hidden(0, 9, (W, H), corner).in_sight(shot(), 9, 16)
    assert Hidden(0, 9, (W, H), corner).in_sight(shot(H, W), 32, 32)
    assert Hidden(0, 9).in_sight(shot(), 32, 32)
    assert not Hidden(5, 9).in_sight(shot(), 32, 32)


@pytest.mark.parametrize("content", ["{", "[]", '{"events": [{"kind": "mark"}]}', '{"events": 3}', "\ud800"])
def test_a_file_that_is_no_mask_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "aa.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"aa\.json is not a mask file"):
        hidden_by_masks(tmp_path)

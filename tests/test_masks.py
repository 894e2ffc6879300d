"""Mask files survive the disk and refuse what is not theirs."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from masking import SHA, mask, subtitle

from vidboot import masks


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


def test_reading_masks_does_not_import_torch() -> None:
    subprocess.run([sys.executable, "-c", "import sys, vidboot.masks; assert 'torch' not in sys.modules"], check=True)

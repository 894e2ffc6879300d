"""Mask files survive the disk and refuse what is not theirs."""

import contextlib
import itertools
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


def test_a_kill_at_any_moment_leaves_the_old_mask_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    old = mask(subtitle("a", layer=0), layers=diagonal()[None])
    new = mask(subtitle("b", layer=1), layers=np.stack([diagonal(), ~diagonal()]))
    left = []
    for calls in itertools.count():
        masks.save(path, old)
        with pytest.MonkeyPatch.context() as patch:
            killed = kill_after(calls, patch)
            with contextlib.suppress(KeyboardInterrupt):
                masks.save(path, new)
        left.append(masks.load(path))
        assert left[-1] in (old, new)
        np.testing.assert_array_equal(left[-1].layers, (old if left[-1] == old else new).layers)
        if not killed:
            break
    assert left == sorted(left, key=[old, new].index)  # once it is the new one it stays so
    assert (left[0], left[-1]) == (old, new)
    masks.save(path, old)
    assert sorted(file.name for file in tmp_path.iterdir()) == [layers_of(path).name, "m.json"]


def kill_after(calls: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Let so many calls that write pass, and none after; returns those that did not."""
    passed, killed = iter(range(calls)), []

    def guard(module: Any, name: str) -> None:
        call = getattr(module, name)

        def guarded(*arguments: Any, **how: Any) -> Any:
            if next(passed, None) is None:
                killed.append(name)
                raise KeyboardInterrupt
            return call(*arguments, **how)

        patch.setattr(module, name, guarded)

    for module, name in ((np, "savez_compressed"), (os, "fsync"), (os, "replace"), (os, "unlink")):
        guard(module, name)
    return killed


def layers_of(path: Path) -> Path:
    """The file of layers beside a mask file."""
    (layers,) = path.parent.glob("*.npz")
    return layers


def test_layers_of_a_file_of_before_are_read_until_new_ones_are_written(tmp_path: Path) -> None:
    path, before = tmp_path / "m.json", tmp_path / "m.npz"
    old = mask(subtitle("a", layer=0), layers=diagonal()[None])
    new = mask(subtitle("a", layer=0), layers=~diagonal()[None])
    masks.save(path, old)
    layers_of(path).rename(before)
    np.testing.assert_array_equal(masks.load(path).layers, old.layers)
    content = json.loads(path.read_text())
    del content["layers_sha256"]  # files still older do not name them
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(masks.load(path).layers, old.layers)
    masks.save(path, new)
    np.testing.assert_array_equal(masks.load(path).layers, new.layers)
    assert not before.exists()


def test_layers_of_another_mask_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    masks.save(path, mask(subtitle("a", layer=0), layers=diagonal()[None]))
    with layers_of(path).open("wb") as file:
        np.savez_compressed(file, layers=~diagonal()[None])
    with pytest.raises(ValueError, match="but others"):
        masks.load(path)


def test_what_is_on_disk_is_there_to_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, call=call: (done.append(name), call(*a)))
    masks.save(tmp_path / "m.json", mask(subtitle("a", layer=0), layers=diagonal()[None]))
    assert done == ["fsync", "replace"] * 2


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
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"]


CONTENT = {"schema": 1, "sha256": SHA, "width": 12, "height": 10}
WITHOUT_SCHEMA = json.dumps({key: value for key, value in CONTENT.items() if key != "schema"})
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
    [
        "",
        "{",
        json.dumps(CONTENT)[:-9],
        "[]",
        *(json.dumps(CONTENT | change) for change in ({"schema": 2}, {"width": 0})),
        WITHOUT_SCHEMA,
    ],
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
    layers = layers_of(tmp_path / "m.json")
    npz = layers.read_bytes()
    for content in (b"", npz[:-40], b"not a zip"):
        layers.write_bytes(content)
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

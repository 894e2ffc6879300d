"""A run goes on with its own settings, videos, masks and version, and says which of them is another one."""

import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command import check_refused, train, vidboot

from vidboot.data.encode import save_tiny
from vidboot.run import SCHEMA


def test_a_run_goes_on_with_its_own_settings_only(run: Path, root: Path) -> None:
    result = train(root, "--set", "precision=float32", "--set", "clip.train.steps=13")
    check_refused(result, 2, "was begun with other settings (clip.train.steps)")


def test_a_run_goes_on_although_a_setting_was_added_since_it_was_begun_or_the_device_is_another(
    run: Path, root: Path
) -> None:
    earlier = root / "earlier"
    shutil.copytree(run, earlier)
    record = json.loads((earlier / "run.json").read_text())
    del record["config"]["clip"]["train"]["optim"]["momentum"]
    record["config"]["device"] = "cuda:7"
    (earlier / "run.json").write_text(json.dumps(record))
    result = train(root, "--set", "precision=float32", out="earlier")
    assert result.exit_code == 0, result.output


def test_masks_that_change_after_a_run_was_begun_neither_stop_it_nor_change_what_it_learns(
    run: Path, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(root / "videos", tmp_path / "videos")
    shutil.copytree(root / "work" / "masks", tmp_path / "work" / "masks")
    settings = ("--set", "precision=float32", "--set", "residual.train.steps=0")
    assert train(tmp_path, *settings).exit_code == 0
    for path in (tmp_path / "work" / "masks").glob("*.json"):
        path.write_text(path.read_text().replace('"status": "auto"', '"status": "rejected"'))
    path.write_text("cut short")  # nor does the leak of a resumed run read them
    shutil.rmtree(tmp_path / "run" / "clip")
    again = train(tmp_path, *settings)
    assert again.exit_code == 0, again.output
    assert "it goes on with those it has" in caplog.text
    clip = Path("clip") / "weights.safetensors"
    assert (tmp_path / "run" / clip).read_bytes() == (run / clip).read_bytes()


def test_a_run_without_any_mask_is_told_so_once(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(root / "videos", tmp_path / "videos")
    settings = ("--set", "clip.train.steps=0", "--set", "low_res.train.steps=0")
    for told in (True, False):
        caplog.clear()
        assert train(tmp_path, *settings).exit_code == 0
        assert ("vidboot mask" in caplog.text) == told


def test_a_folder_of_something_else_is_no_place_for_a_run(root: Path, trained: Any) -> None:
    (root / "foreign").mkdir(exist_ok=True)
    (root / "foreign" / "notes.txt").write_text("mine")
    check_refused(train(root, out="foreign"), 2, "foreign is not empty and holds no run")
    check_refused(train(root, out="foreign/notes.txt"), 2, "is a file, not a run directory")
    check_refused(train(root, out="foreign/notes.txt/run"), 2, "cannot write the folder")
    assert [path.name for path in (root / "foreign").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "holds no run.json"),
        ("{", "is not valid JSON"),
        ('{"schema": 0}', "is a run of schema 0"),
        ("{}", "is a run of schema None"),
        (json.dumps({"schema": SCHEMA}), "lacks cache"),
    ],
)
def test_what_is_not_a_run_of_this_version_is_refused(tmp_path: Path, record: str | None, words: str) -> None:
    if record is not None:
        (tmp_path / "run.json").write_text(record)
    check_refused(vidboot("generate", tmp_path, "--frames", 2, "--out", tmp_path / "a.mp4"), 2, words)
    assert not (tmp_path / "a.mp4").exists()


def test_a_trained_run_of_another_version_is_refused_by_every_verb(run: Path, root: Path) -> None:
    later = root / "later"
    shutil.copytree(run, later)
    record = json.loads((later / "run.json").read_text())
    (later / "run.json").write_text(json.dumps({**record, "schema": record["schema"] + 1}))
    words = f"is a run of schema {record['schema'] + 1}"
    check_refused(vidboot("generate", later, "--frames", 2, "--out", root / "a.mp4"), 2, words)
    check_refused(train(root, "--set", "precision=float32", out="later"), 2, words)


def test_a_run_that_other_videos_came_to_says_which(run: Path, root: Path, tmp_path: Path) -> None:
    Path(shutil.copytree(root / "videos", tmp_path / "videos"))
    shutil.copytree(run, tmp_path / "run")
    more, less = (sorted((tmp_path / "videos").glob(kind))[0] for kind in ("low*.mp4", "clip*.mp4"))
    with av.open(str(more)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    save_tiny(tmp_path / "videos" / "new.mp4", np.stack(frames)[::-1], 8.0)
    less.unlink()
    result = train(tmp_path, "--set", "precision=float32")
    check_refused(result, 2, f"was begun with other videos: put {less.name} back and take new.mp4 away, or use")

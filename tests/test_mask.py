"""The verb: decisions survive, two runs give the same bytes, a killed run goes on, wrong calls change nothing."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from orientations import MATRICES, Matrix, display_by, displayed
from typer.testing import CliRunner

from vidboot import detections, mask_video, masks
from vidboot import mask as mask_verb
from vidboot.__main__ import app
from vidboot.data.encode import save_video
from vidboot.decisions import Decision, applied
from vidboot.mask import detection_key
from vidboot.scan import audit

H, W, FPS = 96, 160, 10


def film(seed: int, T: int = 30) -> np.ndarray:
    """A picture that slides, with bars above and below and a line of strokes in frames 8 to 20."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(60, 170, (H // 8, W // 8 + T, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    frames = np.stack([wide[:, 4 * t : 4 * t + W] for t in range(T)])
    for x in range(40, 110, 7):
        frames[8:21, 60:72, x : x + 2] = 250
        frames[8:21, 60 + (x * 5) % 10 : 62 + (x * 5) % 10, x : x + 6] = 250
    frames[:, :10] = frames[:, -10:] = 0
    return frames


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for k in range(3):
        save_video(videos / f"{k}.mp4", film(k), FPS, crf=12, preset="veryfast", threads=1)
    return videos


def mask(videos: Path, work: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["mask", str(videos), "--work", str(work), "--json", *arguments])


def content(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((work / "masks").glob("[!.]*"))}


def test_masks_of_a_folder_are_found_kept_and_made_again_alike(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = mask(folder, work)
    assert first.exit_code == 0, first.output
    result = json.loads(first.stdout)
    assert result["videos"] == 3
    assert result["kinds"]["bar"]["events"] == 6
    before = content(work)
    for name in before:
        loaded = masks.load(work / "masks" / name) if name.endswith(".json") else None
        for bar in [event for event in loaded.events if event.kind == "bar"] if loaded else ():
            assert bar.box in ((0, 0, W, 10), (0, H - 10, W, H))

    # Unchanged files are not decoded again: what was found in them is as old as it was.
    times = [path.stat().st_mtime_ns for path in sorted((work / detections.FOLDER).iterdir())]
    assert mask(folder, work).exit_code == 0
    assert times == [path.stat().st_mtime_ns for path in sorted((work / detections.FOLDER).iterdir())]
    assert content(work) == before

    other = tmp_path / "other"
    assert mask(folder, other).exit_code == 0
    assert content(other) == before

    # A decision stands, whatever is found again; what was never there stays too.
    path = next(path for path in sorted((work / "masks").iterdir()) if path.suffix == ".json")
    loaded = masks.load(path)
    bar = next(event for event in loaded.events if event.kind == "bar")
    decided = [e.model_copy(update={"status": "rejected"}) if e is bar else e for e in loaded.events]
    masks.save(path, masks.Mask(loaded.sha256, W, H, tuple(decided), loaded.layers))
    for kept in (work / detections.FOLDER).iterdir():
        kept.unlink()
    assert mask(folder, work).exit_code == 0
    again = masks.load(path)
    assert [e for e in again.events if e.id == bar.id] == [bar.model_copy(update={"status": "rejected"})]
    assert len(again.events) == len(loaded.events)


def test_a_killed_run_keeps_what_was_finished(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    command = [sys.executable, "-m", "vidboot", "mask", str(folder), "--work", str(work), "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list((work / detections.FOLDER).glob("*.npz")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    kept = {path: path.stat().st_mtime_ns for path in (work / detections.FOLDER).glob("*.npz")}
    assert kept
    result = mask(folder, work)
    assert json.loads(result.stdout)["videos"] == 3
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_what_a_lost_disk_left_empty_is_looked_at_again(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert mask(folder, work).exit_code == 0
    before = content(work)
    for path in (work / detections.FOLDER).iterdir():
        path.write_bytes(b"")
    again = mask(folder, work)
    assert again.exit_code == 0, again.output
    assert content(work) == before


@pytest.mark.parametrize("text", ["{", '{"schema": 1, "sha256": "%s", "width": 1, "height": 1}' % ("b" * 64)])
def test_a_mask_file_that_is_not_this_videos_stops_the_work_and_stays(folder: Path, tmp_path: Path, text: str) -> None:
    work = tmp_path / "work"
    assert mask(folder, work, "--kinds", "bar").exit_code == 0
    path = next((work / "masks").glob("*.json"))
    path.write_text(text)
    before = content(work)
    result = mask(folder, work)
    assert result.exit_code == 2
    assert result.stderr.strip().split("\n")[-1].startswith(f"vidboot: {path}")
    assert content(work) == before


def test_another_version_of_the_detectors_or_another_model_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "det.onnx"
    model.write_bytes(b"weights")
    keys = [detection_key(None), detection_key(model)]
    monkeypatch.setattr(mask_video, "VERSION", mask_video.VERSION + 1)
    assert len({*keys, detection_key(None), detection_key(model)}) == 4


def test_what_is_decided_while_detectors_look_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    assert mask(folder, work).exit_code == 0
    path = next((work / "masks").glob("*.json"))
    before = masks.load(path)
    detect_all = mask_verb._detect_all

    def meanwhile(*arguments: Any) -> Any:
        rejected = tuple(event.model_copy(update={"status": "rejected"}) for event in before.events)
        masks.save(path, masks.Mask(before.sha256, W, H, rejected, before.layers))
        results, failed = detect_all(*arguments)
        return {sha: replace(one, found=one.found[:-1]) for sha, one in results.items()}, failed

    monkeypatch.setattr(mask_verb, "_detect_all", meanwhile)
    assert mask(folder, work).exit_code == 0
    assert {event.status for event in masks.load(path).events} == {"rejected"}


def test_whatever_kinds_are_asked_for_each_video_is_looked_at_once_by_all_detectors(
    folder: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    assert mask(folder, work, "--kinds", "bar").exit_code == 0
    times = [path.stat().st_mtime_ns for path in sorted((work / detections.FOLDER).iterdir())]
    assert {event.kind for path in (work / "masks").glob("*.json") for event in masks.load(path).events} == {"bar"}
    assert mask(folder, work).exit_code == 0
    assert times == [path.stat().st_mtime_ns for path in sorted((work / detections.FOLDER).iterdir())]
    assert mask(folder, tmp_path / "other").exit_code == 0
    assert content(tmp_path / "other") == content(work)


def test_seconds_hidden_twice_count_once_and_what_was_redrawn_is_one_event(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    bars = json.loads(mask(folder, work, "--kinds", "bar").stdout)["kinds"]["bar"]
    assert bars["events"] == 6  # a pair in each of three videos of 3 s, to the last frame
    assert bars["seconds"] == pytest.approx(3 * (3 - 1 / FPS), abs=0.01)
    path = next((work / "masks").glob("*.json"))
    loaded = masks.load(path)
    seen = {"kind": "bar", "first_seconds": 0, "last_seconds": 2.9, "seen": loaded.events[0].box}
    edited = {"sha256": loaded.sha256, "id": loaded.events[0].id, "status": "edited", "box": (0, 0, W, 12)}
    masks.save(path, applied(loaded, [Decision.model_validate({**seen, **edited})]))
    assert json.loads(mask(folder, work, "--kinds", "bar").stdout)["kinds"]["bar"]["events"] == 6


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_bar_is_found_where_it_is_displayed(tmp_path: Path, matrix: Matrix) -> None:
    pixels, path = film(0), tmp_path / "film.mp4"
    pixels[:, -10:] = pixels[:, -20:-10]
    save_video(path, pixels, FPS, crf=12, preset="veryfast", threads=1)
    display_by(path, matrix)
    bar = displayed(np.arange(H)[:, None].repeat(W, 1) < 10, matrix)
    height, width = bar.shape
    job = mask_video.Job(str(path), width, height, np.arange(30) / FPS, (1.0,), None)
    (found,) = (one for one in mask_video.look(job).found if one.kind == "bar")
    x0, y0, x1, y1 = (round(side) for side in found.box)
    assert bar[y0:y1, x0:x1].all()
    assert bar.sum() == (y1 - y0) * (x1 - x0)


def test_a_file_that_is_largely_hidden_is_named(folder: Path, tmp_path: Path) -> None:
    pixels = film(7)
    pixels[:, :30] = pixels[:, -30:] = 0
    save_video(folder / "narrow.mp4", pixels, FPS, crf=12, preset="veryfast", threads=1)
    result = CliRunner().invoke(app, ["mask", str(folder), "--work", str(tmp_path / "work")])
    assert result.exit_code == 0, result.output
    (told,) = [line for line in result.stdout.splitlines() if line.startswith("largely hidden")]
    share = int(re.findall(r"narrow.mp4: (\d+)%", told)[0])  # of 96 rows 60 are bars, and some beside them
    assert 62 <= share <= 75


def test_a_kind_nobody_knows_is_refused(folder: Path, tmp_path: Path) -> None:
    result = mask(folder, tmp_path / "work", "--kinds", "bar,logo")
    assert result.exit_code == 2
    assert "logo" in result.stderr
    assert "subtitle" in result.stderr
    assert not (tmp_path / "work").exists()


def test_what_is_seen_in_a_file_that_was_replaced_is_not_kept(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    audit(folder, work)
    before = (folder / "0.mp4").read_bytes()
    (folder / "0.mp4").write_bytes((folder / "1.mp4").read_bytes())
    result = mask_verb.mask(folder, work, kinds=("bar",))
    assert result["failed"] == {"0.mp4": "it changed since the scan"}
    (folder / "0.mp4").write_bytes(before)
    assert json.loads(mask(folder, work).stdout)["failed"] == {}


def test_a_folder_of_decisions_is_a_wrong_call(folder: Path, tmp_path: Path) -> None:
    result = mask(folder, tmp_path / "work", "--apply", str(tmp_path))
    assert (result.exit_code, "is a folder, not a decisions file" in result.stderr) == (2, True)


def test_a_folder_without_a_usable_video_is_work_that_failed(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_text("not a video")
    result = mask(tmp_path / "videos", tmp_path / "work")
    assert result.exit_code == 1
    assert "no usable video" in result.stderr

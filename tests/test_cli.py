"""The command line end to end on a folder of seconds, and one sentence with the right exit code for what is wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from command import check_refused, train, vidboot

from vidboot.data.encode import save_tiny
from vidboot.generate import generate
from vidboot.synthetic import FolderSizes, write_folder

STAGES = {"low_res0", "low_res1", "gate1", "clip", "gate0", "residual", "direct"}


def test_training_runs_every_stage_and_prints_one_json_object(trained: Any, root: Path) -> None:
    assert trained.exit_code == 0, trained.output
    assert trained.stdout.count("\n") == 1
    result = json.loads(trained.stdout)
    assert set(result["stages"]) >= STAGES
    assert result["run"] == str(root / "run")
    assert result["videos"] == 4 + 4 + 2 + 1  # of the files one teaches nothing
    rows = [json.loads(line) for line in (root / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [(row["stage"], row["step"]) for row in rows]
    assert len(set(steps)) == len(steps)
    assert ("clip", 12) in steps
    assert list((root / "run" / "samples").glob("clip-*.png"))


def test_nothing_is_written_into_the_folder_of_videos(trained: Any, root: Path) -> None:
    assert trained.exit_code == 0
    assert {path.suffix for path in (root / "videos").rglob("*")} == {".mp4"}


def test_training_again_changes_nothing(run: Path, root: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}

    before = state()
    again = train(root, "--json", "--set", "precision=float32")
    assert again.exit_code == 0, again.output
    assert set(json.loads(again.stdout)["stages"]) >= STAGES
    assert state() == before


@pytest.mark.parametrize(
    ("policy", "frames"), [("full", 20), ("composition", 37), ("clips-only", 9), ("low-res-only", 1), ("direct", 18)]
)
def test_a_run_generates_video_of_any_length(run: Path, tmp_path: Path, policy: str, frames: int) -> None:
    out = tmp_path / "video.mp4"
    result = vidboot("generate", run, "--frames", frames, "--out", out, "--policy", policy, "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout) | {"frames": frames, "policy": policy, "video": str(out)} == json.loads(
        result.stdout
    )
    with av.open(str(out)) as container:
        decoded = list(container.decode(video=0))
    assert len(decoded) == frames
    assert (decoded[0].width, decoded[0].height) == (16, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_the_same_seed_gives_the_same_file_and_another_seed_another(run: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert vidboot("generate", run, "--frames", 6, "--out", tmp_path / f"{name}.mp4", "--seed", seed).exit_code == 0
    a, b, c = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_video_broken_off_goes_on_where_it_was_to_the_same_file(run: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    told: list[int] = []

    def break_off(done: int, total: int, what: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    for seed in (5, 6):
        generate(run, whole, frames=18, seed=seed)
        with pytest.raises(KeyboardInterrupt):
            generate(run, out, frames=18, seed=seed, progress=break_off)
        with pytest.raises(ValueError, match=r"holds 2 parts, done, of another video \(another seed\)"):
            generate(run, out, frames=18, seed=7)  # hours of work are not thrown away by a slip
        assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [".out.mp4.sampling"]
        generate(run, out, frames=18, seed=seed, progress=lambda done, total, what: told.append(done))
        assert told == [3, 4]
        assert out.read_bytes() == whole.read_bytes()
        assert {path.name for path in tmp_path.iterdir()} == {"whole.mp4", "out.mp4"}
        told.clear()


def test_a_video_broken_off_as_its_file_is_closed_sweeps_once_more_and_counts_no_farther(
    run: Path, tmp_path: Path
) -> None:
    def break_off(done: int, total: int, what: str) -> None:
        if done == total:
            raise KeyboardInterrupt

    told: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        generate(run, tmp_path / "a.mp4", frames=18, progress=break_off)
    generate(run, tmp_path / "a.mp4", frames=18, progress=lambda done, total, what: told.append((done, total)))
    assert [done == total for done, total in told] == [True]


def test_two_processes_do_not_make_one_video(run: Path, tmp_path: Path) -> None:
    def again(done: int, total: int, what: str) -> None:
        with pytest.raises(ValueError, match="another process generates"):
            generate(run, tmp_path / "a.mp4", frames=2)

    assert generate(run, tmp_path / "a.mp4", frames=2, progress=again)["frames"] == 2


def test_without_json_a_person_gets_a_line(run: Path, tmp_path: Path) -> None:
    result = vidboot("generate", run, "--frames", 2, "--out", tmp_path / "a.mp4")
    assert result.stdout == f"wrote 2 frames to {tmp_path / 'a.mp4'}\n"
    assert "sweeps over the video" in result.stderr


def test_scanning_prints_one_json_object(root: Path, trained: Any) -> None:
    result = vidboot("scan", root / "videos", "--work", root / "work", "--target", "16x16x16@8", "--json")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout)["refused"] == {"damaged": 1}


def test_a_folder_that_is_not_there_or_empty_is_a_wrong_call(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for videos, words in (("none", "is neither a folder nor a file"), ("empty", "is empty")):
        for verb in (("scan",), ("train", "--out", tmp_path / "run", "--preset", "smoke")):
            check_refused(vidboot(*verb, tmp_path / videos, "--work", tmp_path / "work"), 2, words)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_broken_files_is_work_that_failed(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "b.mkv"):
        (tmp_path / "videos" / name).write_bytes(b"no video at all" * 9)
    for verb in (("scan",), ("train", "--out", tmp_path / "run", "--preset", "smoke")):
        result = vidboot(*verb, tmp_path / "videos", "--work", tmp_path / "work")
        check_refused(result, 1, "no usable video among the 2 files")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "clip.wndow=3"), ("unknown setting clip.wndow", "legal here", "window")),
        (("--set", "clip.window"), ("part.name=value",)),
        (("--preset", "huge"), ("no preset 'huge'", "smoke, tiny")),
        (("--config", "none.toml"), ("not from both",)),
        (("--set", "device=gpu"), ("device = 'gpu'",)),
        pytest.param(
            ("--set", "device=cuda"),
            ("torch sees no GPU here",),
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here"),
        ),
        (("--set", "clip.net.heads=3"), ("is not divisible by 4 heads = 12",)),
    ],
)
def test_wrong_settings_are_a_wrong_call(root: Path, trained: Any, arguments: tuple[str], words: tuple[str]) -> None:
    check_refused(train(root, *arguments, out="other"), 2, *words)
    assert not (root / "other").exists()


def test_a_video_that_cannot_be_made_is_a_wrong_call(run: Path, tmp_path: Path) -> None:
    check_refused(vidboot("generate", run, "--frames", 0, "--out", tmp_path / "a.mp4"), 2, "at least 1")
    check_refused(vidboot("generate", run, "--frames", -3, "--out", tmp_path / "a.mp4"), 2, "at least 1")
    check_refused(vidboot("generate", run, "--frames", 2, "--out", tmp_path), 2, "it is a folder")
    check_refused(vidboot("generate", run, "--frames", 2, "--out", tmp_path / "no" / "a.mp4"), 2, "does not exist")
    (run / "direct").rename(run / "away")
    try:
        result = vidboot("generate", run, "--frames", 2, "--out", tmp_path / "a.mp4", "--policy", "direct")
        check_refused(result, 2, "holds no trained 'direct'")
    finally:
        (run / "away").rename(run / "direct")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_policy_names_those_there_are(tmp_path: Path) -> None:
    result = vidboot("generate", tmp_path, "--frames", 2, "--out", tmp_path / "a.mp4", "--policy", "best")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert all(word in result.stderr for word in ("best", "composition", "clips-only", "low-res-only", "direct"))


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vidboot", "scan", str(tmp_path / "none"), "--work", str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"vidboot: {tmp_path / 'none'} is neither a folder nor a file\n"


@pytest.mark.parametrize(
    ("kilobytes", "kept"),
    [
        (1, "videos"),  # the scan's list does not fit
        (40, "files.jsonl"),  # the first weights do not
    ],
)
def test_a_full_disk_is_one_sentence_and_loses_nothing(root: Path, tmp_path: Path, kilobytes: int, kept: str) -> None:
    shutil.copytree(root / "videos", tmp_path / "videos")
    call = ["train", "videos", "--out", "run", "--work", ".", "--preset", "smoke"]
    # A limit on the size of a file, which the system tells in the way it tells of a full disk.
    script = f"ulimit -f {kilobytes}; exec {sys.executable} -m vidboot {' '.join(call)}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *_, sentence = done.stderr.strip().split("\n")
    told = "the disk or your share of it is full: make room and run this again; what was finished is kept"
    assert sentence == f"vidboot: {told}"
    assert (tmp_path / kept).exists()
    assert not list(tmp_path.rglob(".*.partial"))
    mended = subprocess.run([sys.executable, "-m", "vidboot", *call], cwd=tmp_path, capture_output=True, check=False)
    assert mended.returncode == 0


def test_no_verb_is_led_to_write_into_the_folder_of_videos(root: Path, run: Path) -> None:
    videos, before = root / "videos", sorted((root / "videos").iterdir())
    check_refused(train(root, out="videos/run"), 2, "where nothing may be written")
    check_refused(vidboot("compare", videos, "--out", videos / "c", "--work", root / "work"), 2, "lies inside")
    check_refused(vidboot("mask", videos, "--page", videos / "p.html", "--work", root / "work"), 2, "lies inside")
    page = videos / "p.html"
    check_refused(vidboot("evaluate", run, "--videos", videos, "--page", page, "--work", root / "work"), 2, "inside")
    check_refused(vidboot("generate", run, "--frames", 2, "--out", videos / "new.mp4"), 2, "lies inside")
    clip = next(videos.glob("clip*.mp4"))
    restored = vidboot("restore", run, "--video", clip, "--out", videos / "new.mp4", "--work", root / "work")
    check_refused(restored, 2, "lies inside")
    inside = ("evaluate", Path(shutil.copytree(run, videos / "run")), "--videos", videos, "--work", root / "work")
    check_refused(vidboot(*inside), 2, "lies inside")
    shutil.rmtree(videos / "run")
    assert sorted((root / "videos").iterdir()) == before


def test_one_video_in_place_of_a_folder_is_not_written_over(root: Path, run: Path, tmp_path: Path) -> None:
    film = Path(shutil.copy(next((root / "videos").glob("full*.mp4")), tmp_path / "film.mp4"))
    content = film.read_bytes()
    check_refused(vidboot("mask", film, "--page", film, "--work", tmp_path / "work"), 2, "is the video itself")
    trained = train(tmp_path, "--set", "clip.train.steps=1", videos=film)
    assert trained.exit_code == 0, trained.output
    made = ("generate", tmp_path / "run", "--frames", 2, "--policy", "clips-only", "--out", film)
    check_refused(vidboot(*made), 2, "is the video itself")
    assert film.read_bytes() == content


def test_called_from_within_the_videos_a_verb_works_beside_them(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = Path(shutil.copytree(root / "videos", tmp_path / "films"))
    monkeypatch.chdir(videos)
    assert vidboot("scan", ".").exit_code == 0
    assert (tmp_path / "films.vidboot" / "files.jsonl").is_file()
    assert sorted(path.name for path in videos.iterdir()) == sorted(path.name for path in (root / "videos").iterdir())


def test_a_folder_without_sharp_video_is_told_what_it_can_make(tmp_path: Path) -> None:
    sizes = FolderSizes(0, 5, 0, 0, 0, 0, side=16, low_res_side=8, long_frames=40)
    how = {"held_out_path": tmp_path / "held_out", "work": tmp_path / "work", "workers": 1}
    write_folder(tmp_path / "videos", sizes, encode=save_tiny, **how)
    trained = train(tmp_path)
    assert trained.exit_code == 0, trained.output
    assert "no shot is as large as 16x16: it can make low-res-only alone (generate --policy)" in trained.stdout
    call = ("generate", tmp_path / "run", "--frames", 8, "--out", tmp_path / "a.mp4")
    check_refused(vidboot(*call), 2, "holds no trained 'clip'", "as it is, it can make low-res-only (--policy)")
    assert vidboot(*call, "--policy", "low-res-only").exit_code == 0


def test_what_is_written_as_mp4_is_called_so_and_an_empty_list_of_kinds_is_no_list_of_all(
    run: Path, root: Path
) -> None:
    check_refused(vidboot("generate", run, "--frames", 8, "--out", root / "x.avi"), 2, "name it .mp4")
    check_refused(vidboot("mask", root / "videos", "--kinds", "", "--work", root / "work"), 2, "kind")


def test_a_folder_whose_videos_cannot_be_used_is_work_that_failed(root: Path) -> None:
    check_refused(train(root, "--set", "video.fps=1000", out="fast"), 1, "can be used")

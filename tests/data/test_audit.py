import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from films import moving_square, write_film
from orientations import CLOCKWISE, display_by

from vidboot import scan as verb
from vidboot.data import workers
from vidboot.data.journal import Journal
from vidboot.data.probe import probe
from vidboot.data.records import FileRecord, Reason, Scanned, read_files, read_shots
from vidboot.scan import LINES, NoUsableVideo, Target, audit, format_table, scan

TARGET = Target(16, 32, 32, 8.0)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are given to workers."""
    paths: list[str] = []

    def spy(tasks: list[workers.Task], count: int) -> Iterator[workers.Outcome]:
        paths.extend(task.arguments[1] for task in tasks)
        return workers_run(tasks, count)

    workers_run = workers.run
    monkeypatch.setattr(verb.workers, "run", spy)
    return paths


def only(videos: Path, work: Path) -> FileRecord:
    ((file,), _) = audit(videos, work)
    return file


def contents(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.iterdir()}


def test_a_film_is_described_as_it_is(videos: Path, work: Path) -> None:
    film = np.concatenate(
        [np.zeros((8, 48, 64, 3), np.uint8), moving_square(24, 48, 64), moving_square(24, 48, 64, seed=5)]
    )
    write_film(videos / "a.mp4", film)
    files, shots = audit(videos, work)
    (file,) = files
    assert (file.frames, file.width, file.height, file.codec) == (56, 64, 48, "h264")
    assert (file.seconds, file.fps) == pytest.approx((7.0, 8.0))
    assert file.blank == ((0, 7),)
    assert file.cuts[-1] == 4.0
    assert [(shot.first, shot.last) for shot in shots] == [(8, 31), (32, 55)]
    assert shots[1].pts_seconds[0] == 4.0
    assert read_files(work) == files
    assert read_shots(work) == shots


def test_a_turned_film_has_the_size_it_is_shown_in(videos: Path, work: Path) -> None:
    display_by(write_film(videos / "a.mp4", moving_square(9, 48, 64)), CLOCKWISE)
    file = only(videos, work)
    assert (file.width, file.height) == (48, 64)


def test_an_unchanged_folder_is_not_decoded_again(videos: Path, work: Path, decoded: list[str]) -> None:
    for i in range(3):
        write_film(videos / f"{i}.mp4", moving_square(20, 32, 32, seed=i))
    first = scan(videos, work, TARGET)
    written = contents(work)
    assert len(decoded) == 3
    assert scan(videos, work, TARGET) == first
    assert contents(work) == written
    assert scan(videos, work, Target(8, 64, 64, 8.0)) != first
    assert len(decoded) == 3
    assert contents(work) == written | {LINES: (work / LINES).read_bytes()} != written


def test_only_what_changed_is_decoded_again(videos: Path, work: Path, decoded: list[str]) -> None:
    for i in range(3):
        write_film(videos / f"{i}.mp4", moving_square(20, 32, 32, seed=i))
    audit(videos, work)
    write_film(videos / "1.mp4", moving_square(30, 32, 32, seed=9))
    (videos / "2.mp4").unlink()
    write_film(videos / "3.mp4", moving_square(12, 32, 32, seed=3))
    decoded.clear()
    files, _ = audit(videos, work)
    assert sorted(decoded) == ["1.mp4", "3.mp4"]
    assert [(file.path, file.frames) for file in files] == [("0.mp4", 20), ("1.mp4", 30), ("3.mp4", 12)]


def test_a_moved_file_is_known_by_its_bytes(videos: Path, work: Path) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    before, _ = audit(videos, work)
    (videos / "a.mp4").rename(videos / "b.mp4")
    sha256 = before[0].sha256
    (found,) = probe(str(videos), "b.mp4", {sha256: "a.mp4"})
    assert found == "a.mp4"
    files, shots = audit(videos, work)
    assert [file.path for file in files] == ["b.mp4"]
    assert [shot.path for shot in shots] == ["b.mp4"]


def test_a_file_whose_bytes_are_gone_is_not_known_by_them(videos: Path, work: Path) -> None:
    """Replaced, the scan of it killed before its end, and put back under another name."""
    first = write_film(videos / "a.mp4", moving_square(20, 32, 32)).read_bytes()
    other = write_film(videos / "b.mp4", moving_square(30, 32, 32, seed=1)).read_bytes()
    size = max(len(first), len(other))
    (videos / "b.mp4").unlink()
    first, other = (content + bytes(size - len(content)) for content in (first, other))
    (videos / "a.mp4").write_bytes(first)
    audit(videos, work)
    (videos / "a.mp4").write_bytes(other)
    *_, scanned = probe(str(videos), "a.mp4", {})
    assert isinstance(scanned, Scanned)  # and the scan is killed here
    with Journal(work) as journal:
        journal.append(scanned)
    (videos / "a.mp4").unlink()
    (videos / "b.mp4").write_bytes(first)
    assert [(file.path, file.frames) for file in audit(videos, work)[0]] == [("b.mp4", 20)]


def test_a_download_that_broke_off_is_used_as_far_as_it_goes_and_told(videos: Path, work: Path) -> None:
    film = write_film(videos / "a.mp4", moving_square(80, 64, 64), options={"movflags": "+faststart"})
    with av.open(str(film)) as source, av.open(str(videos / "b.mp4"), "w", options={"movflags": "faststart"}) as front:
        stream = front.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                front.mux(packet)
    whole = (videos / "b.mp4").read_bytes()
    (videos / "b.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    result = scan(videos, work, TARGET)
    assert result["end_early"] == 1
    files = {file.path: file for file in read_files(work)}
    assert files["a.mp4"].message == ""
    assert 20 < files["b.mp4"].frames < 60
    assert files["b.mp4"].message == f"ends early: {files['b.mp4'].seconds:.1f} of 10.0 s"
    assert f"b.mp4 {files['b.mp4'].message}" in format_table(work, TARGET)


def test_each_shot_is_listed_with_what_it_teaches(videos: Path, work: Path) -> None:
    write_film(videos / "a.mp4", moving_square(40, 64, 64))
    write_film(videos / "b.mp4", moving_square(40, 16, 16))
    scan(videos, work, TARGET)
    rows = [json.loads(line) for line in (work / LINES).read_text().splitlines()]
    assert [(row["path"], row["view"], row["reason"]) for row in rows] == [
        ("a.mp4", "full", ""),
        ("b.mp4", "low_res", ""),
    ]


def test_the_order_of_decoding_does_not_show(videos: Path, tmp_path: Path) -> None:
    for i in range(5):
        write_film(videos / f"{i}.mp4", moving_square(10 * (5 - i), 32, 32, seed=i))
    for count in (1, 3):
        audit(videos, tmp_path / str(count), workers=count)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_a_killed_scan_keeps_what_it_had(videos: Path, work: Path, decoded: list[str]) -> None:
    for i in range(8):
        write_film(videos / f"{i}.mp4", moving_square(64, 64, 64, seed=i))
    code = f"""
from pathlib import Path
from vidboot.scan import audit
told = lambda done, total, name: print(done, flush=True)
audit(Path({str(videos)!r}), Path({str(work)!r}), workers=1, progress=told)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() not in ("3", ""):
            pass
        os.kill(process.pid, signal.SIGKILL)
    with (work / "scan.journal.jsonl").open("ab") as journal:
        journal.write(b'{"file": {"schema": 1, "pa')
    files, _ = audit(videos, work)
    assert [file.frames for file in files] == [64] * 8
    assert len(decoded) <= 5
    assert sorted(contents(work)) == [".lock", ".owner", "files.jsonl", "shots.jsonl"]


def test_every_odd_thing_in_a_folder_is_refused_with_a_reason(videos: Path, work: Path) -> None:
    (videos / "folder.mp4").mkdir()
    write_film(videos / "folder.mp4" / "A [b].MP4", moving_square(12, 32, 32))
    (videos / "dangling.mp4").symlink_to("nowhere")
    (videos / "self.mp4").symlink_to("self.mp4")
    (videos / "folder.mp4" / "up").symlink_to("..")
    os.mkfifo(videos / "pipe.mp4")
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("<html>404</html>")
    (videos / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfolder.mp4/A [b].MP4\n#EXT-X-ENDLIST\n")
    (videos / "list.ffconcat").write_text("ffconcat version 1.0\nfile 'folder.mp4/A [b].MP4'\n")
    cut_short = (videos / "folder.mp4" / "A [b].MP4").read_bytes()[:600]
    (videos / "cut.mp4").write_bytes(cut_short)
    write_film(videos / "still.mp4", moving_square(1, 32, 32))
    files, _ = audit(videos, work)
    assert {file.path: file.reason for file in files} == {
        "cut.mp4": Reason.DAMAGED,
        "dangling.mp4": Reason.UNREADABLE,
        "empty.mp4": Reason.EMPTY,
        "folder.mp4/A [b].MP4": None,
        "list.ffconcat": Reason.NOT_VIDEO,
        "list.m3u8": Reason.NOT_VIDEO,
        "pipe.mp4": Reason.UNREADABLE,
        "self.mp4": Reason.UNREADABLE,
        "still.mp4": Reason.STILL_IMAGE,
        "text.mp4": Reason.NOT_VIDEO,
    }
    assert all(file.message for file in files if file.reason)
    assert "folder.mp4" not in format_table(work, TARGET).partition("refused")[2]


def test_one_file_is_a_folder_of_one(videos: Path, work: Path) -> None:
    path = write_film(videos / "a.mp4", moving_square(20, 32, 32))
    result = scan(path, work, TARGET)
    assert result == {
        "files": 1,
        "usable": 1,
        "refused": {},
        "end_early": 0,
        "seconds": {"total": 2.5, "full": 2.5, "low_res": 0.0, "short_clip": 0.0, "masked": 0.0, "unused": 0.0},
        "kept_by_filtering_seconds": 2.5,
        "work": str(work),
    }


def test_broken_files_only_is_a_failure_after_they_are_recorded(videos: Path, work: Path) -> None:
    (videos / "text.mp4").write_text("no video")
    with pytest.raises(NoUsableVideo, match="no usable video among the 1 files"):
        scan(videos, work, TARGET)
    assert [file.reason for file in read_files(work)] == [Reason.NOT_VIDEO]


def test_wrong_calls_are_value_errors_and_leave_no_trace(videos: Path, work: Path) -> None:
    with pytest.raises(ValueError, match="is empty"):
        scan(videos, work, TARGET)
    with pytest.raises(ValueError, match="neither a folder nor a file"):
        scan(videos / "none", work, TARGET)
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    with pytest.raises(ValueError, match="lies inside"):
        scan(videos, videos / "work", TARGET)
    assert not work.exists()
    assert [path.name for path in videos.iterdir()] == ["a.mp4"]


def test_files_are_not_known_without_their_shots(videos: Path, work: Path, decoded: list[str]) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    audit(videos, work)
    written = contents(work)
    (work / "shots.jsonl").unlink()
    audit(videos, work)
    assert len(decoded) == 2
    assert contents(work) == written


def test_a_working_folder_of_another_version_is_not_touched(videos: Path, work: Path) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    audit(videos, work)
    row = json.loads((work / "files.jsonl").read_text())
    (work / "files.jsonl").write_text(json.dumps({**row, "schema": 0}) + "\n")
    with pytest.raises(ValueError, match="schema 0"):
        audit(videos, work)


def test_the_working_folder_of_other_videos_is_not_touched_while_they_are_there(videos: Path, work: Path) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    other = videos.parent / "other"
    other.mkdir()
    write_film(other / "b.mp4", moving_square(20, 32, 32))
    audit(videos, work)
    written = contents(work)
    with pytest.raises(ValueError, match=f"working folder of {videos}: give {other} one of its own with --work"):
        audit(other, work)
    assert contents(work) == written
    videos.rename(videos.parent / "moved")
    assert [file.path for file in audit(videos.parent / "moved", work)[0]] == ["a.mp4"]


def test_a_refused_file_is_tried_again_once_touched(videos: Path, work: Path, decoded: list[str]) -> None:
    (videos / "text.mp4").write_text("no video")
    audit(videos, work)
    audit(videos, work)
    assert len(decoded) == 1
    os.utime(videos / "text.mp4", (1, 1))
    assert [file.reason for file in audit(videos, work)[0]] == [Reason.NOT_VIDEO]
    assert len(decoded) == 2


def test_a_single_large_picture_beside_a_film_is_not_taken_for_it(videos: Path, work: Path) -> None:
    with av.open(str(videos / "a.mp4"), "w") as container:
        packets = []
        for side, film in ((32, moving_square(16, 32, 32)), (64, moving_square(1, 64, 64))):
            stream = container.add_stream("libx264", rate=8)
            stream.width = stream.height = side
            stream.pix_fmt = "yuv420p"
            for frame in film:
                packets += stream.encode(VideoFrame.from_ndarray(frame, format="rgb24"))
            packets += stream.encode()
        container.mux(packets)
    file = only(videos, work)
    assert (file.status, file.frames, file.width) == ("usable", 16, 32)

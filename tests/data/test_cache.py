import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from films import break_packet, moving_square, write_film

from vidboot.data import cache, cache_writer
from vidboot.data.cache import Entry, Spec, build, open_clip, plan
from vidboot.data.decode import Resizer, Video
from vidboot.data.locks import one_at_a_time
from vidboot.data.records import Shot
from vidboot.errors import WorkFailed
from vidboot.scan import audit

SPECS = [Spec(32, 32, 8.0), Spec(8, 8, 8.0)]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def shots_of(videos: Path, work: Path) -> list[Shot]:
    return audit(videos, work, workers=1)[1]


def test_cached_frames_are_those_of_the_file_shrunk(videos: Path, work: Path) -> None:
    path = write_film(videos / "a.mp4", moving_square(20, 48, 64), fps=8)
    built = build(shots_of(videos, work), videos, work, SPECS)
    assert not built.failed
    for entry in built.entries:
        resize = Resizer(entry.height, entry.width)
        with Video(path) as video:
            expected = [resize(d.picture, video.geometry(d.picture)) for d in video.frames()]
        frames, pts_seconds, valid = open_clip(entry, 3, 15)
        np.testing.assert_array_equal(frames, expected[3:15])
        np.testing.assert_allclose(pts_seconds, np.arange(3, 15) / 8)
        assert valid.all()


def test_frames_are_resampled_by_their_times(videos: Path, work: Path) -> None:
    milliseconds = [0, 100, 260, 370, 500, 1000, 1010, 1130]
    write_film(videos / "vfr.mkv", moving_square(8, 32, 32), milliseconds=milliseconds)
    (entry,) = build(shots_of(videos, work), videos, work, SPECS[:1]).entries
    _, pts_seconds, _ = open_clip(entry, 0, entry.frames)
    nearest = [0, 100, 260, 370, 500, 500, 500, 1000, 1000, 1130]
    np.testing.assert_allclose(pts_seconds, np.array(nearest) / 1000, atol=1e-3)


def test_damaged_frames_are_not_valid(videos: Path, work: Path) -> None:
    break_packet(write_film(videos / "a.mp4", moving_square(32, 32, 32), options={"bf": "0"}), 3)
    (shot,) = shots_of(videos, work)
    (entry,) = build([shot], videos, work, SPECS[:1]).entries
    _, pts_seconds, valid = open_clip(entry, 0, entry.frames)
    damaged = [shot.pts_seconds[i] for first, last in shot.damaged for i in range(first, last + 1)]
    assert not valid.all()
    np.testing.assert_array_equal(valid, ~np.isin(pts_seconds, damaged))


def test_a_shot_is_never_magnified(videos: Path, work: Path) -> None:
    write_film(videos / "a.mp4", moving_square(20, 30, 64))
    entries = [entry for _, entry in plan(shots_of(videos, work), work, SPECS)]
    assert [(entry.height, entry.width) for entry in entries] == [(8, 8)]


def test_a_shot_is_enlarged_only_where_that_is_asked_for_and_a_sharp_one_is_then_the_same(
    videos: Path, work: Path
) -> None:
    write_film(videos / "small.mp4", moving_square(9, 16, 16))
    write_film(videos / "sharp.mp4", moving_square(9, 64, 64))
    shots = shots_of(videos, work)
    kept = build(shots, videos, work, [Spec(32, 32, 8.0)]).entries
    both = build(shots, videos, work, [Spec(32, 32, 8.0, enlarge=True)])
    assert not both.failed
    enlarged = {entry.source: entry for entry in both.entries}
    assert kept == [enlarged["sharp.mp4"]]
    (native,) = build(shots[1:], videos, work, [Spec(16, 16, 8.0)]).entries
    large = open_clip(enlarged["small.mp4"], 0, 9)[0].astype(float)
    means = large.reshape(9, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(means - open_clip(native, 0, 9)[0]).mean() < 6  # no more is in it than in the small one


def test_what_is_cached_is_not_decoded_again(videos: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    shots = shots_of(videos, work)
    first = build(shots, videos, work, SPECS)
    monkeypatch.setattr(cache.workers, "run", lambda *_: pytest.fail("decoded again"))
    assert build(shots, videos, work, SPECS) == first


@pytest.mark.parametrize("times", [False, True])
def test_what_a_lost_disk_left_empty_is_written_again(videos: Path, work: Path, times: bool) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    shots = shots_of(videos, work)
    first = build(shots, videos, work, SPECS[:1])
    (entry,) = first.entries
    path = Path(entry.times_path if times else entry.path)
    before = path.read_bytes()
    path.write_bytes(b"")
    assert not entry.cached
    assert build(shots, videos, work, SPECS[:1]) == first
    assert path.read_bytes() == before


def test_a_video_that_changed_since_the_scan_is_not_cached_and_named(
    videos: Path, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    write_film(videos / "b.mp4", moving_square(20, 32, 32, seed=1))
    shots = shots_of(videos, work)
    write_film(videos / "a.mp4", moving_square(20, 32, 32, seed=2))
    built = build(shots, videos, work, SPECS)
    assert list(built.failed) == ["a.mp4"]
    assert {entry.source for entry in built.entries} == {"b.mp4"}
    assert caplog.messages == ["a.mp4 is left out: it changed since the scan"]
    with pytest.raises(WorkFailed, match=r"no video of .* can be cached: it changed since the scan"):
        build(shots[:1], videos, work, SPECS)


def test_a_film_of_more_shots_than_files_may_be_open_is_cached(
    videos: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_film(videos / "a.mp4", moving_square(90, 32, 32))
    (whole,) = shots_of(videos, work)
    shots = [
        replace(whole, shot=k, first=2 * k, last=2 * k + 1, pts_seconds=whole.pts_seconds[2 * k : 2 * k + 2])
        for k in range(45)
    ]
    opened: set[IO[bytes]] = set()
    most = 0
    begin = cache_writer._Writer._begin

    def counted(writer: cache_writer._Writer) -> IO[bytes]:
        nonlocal most
        opened.add(begin(writer))
        most = max(most, sum(not file.closed for file in opened))
        return writer._file  # type: ignore[return-value]

    monkeypatch.setattr(cache_writer._Writer, "_begin", counted)
    orders = [
        cache_writer.Order(shot, 32, 32, 8.0, work / f"{shot.shot}.npy", work / f"{shot.shot}.times.npy")
        for shot in shots
    ]
    assert list(cache_writer.write_videos(str(videos), {"a.mp4": orders})) == [{"a.mp4": ""}]
    assert len(opened) == len(list(work.glob("*.times.npy"))) == 45
    assert most == 1


def test_a_disk_that_fills_up_stops_the_work_and_what_was_written_is_kept(videos: Path, work: Path) -> None:
    for i, frames in enumerate((20, 200)):
        write_film(videos / f"{i}.mp4", moving_square(frames, 32, 32, seed=i), fps=8)
    shots = shots_of(videos, work)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))  # a file of 20 frames fits, one of 200 does not
    try:
        with pytest.raises(OSError, match="the disk is full"):
            build(shots, videos, work, SPECS[:1], workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [entry.source for _, entry in plan(shots, work, SPECS[:1]) if entry.cached] == ["0.mp4"]
    assert len(build(shots, videos, work, SPECS[:1]).entries) == 2


def test_two_builds_of_one_folder_take_turns(videos: Path, work: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    shots = shots_of(videos, work)
    with ThreadPoolExecutor(1) as pool:
        (work / "cache").mkdir()
        with one_at_a_time(work / "cache"):
            (work / "cache" / "left.npy.1.partial").write_text("of a build that was killed")
            second = pool.submit(build, shots, videos, work, SPECS)
            with pytest.raises(TimeoutError):
                second.result(timeout=1.5)
        assert len(second.result().entries) == 2
    assert caplog.messages == [f"waiting for another process that works in {work / 'cache'}"]
    assert not list((work / "cache").glob("*.partial"))


def test_a_video_that_ends_its_worker_costs_only_itself(
    videos: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        write_film(videos / f"{name}.mp4", moving_square(20, 32, 32, seed=ord(name)))
    order = cache.Order
    nowhere: Any = (None, None)  # writing there ends the worker, in the middle of its batch

    def without_path(shot: Shot, *rest: Any) -> cache.Order:
        return order(shot, *rest[:3], *nowhere) if shot.path == "b.mp4" else order(shot, *rest)

    monkeypatch.setattr(cache, "Order", without_path)
    built = build(shots_of(videos, work), videos, work, SPECS[:1])
    assert list(built.failed) == ["b.mp4"]
    assert {entry.source for entry in built.entries} == {"a.mp4", "c.mp4"}


def test_a_full_disk_is_told_before_anything_is_decoded(
    videos: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    shots = shots_of(videos, work)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(OSError, match="the cache needs"):
        build(shots, videos, work, SPECS)


def test_a_killed_build_leaves_whole_files_and_goes_on(videos: Path, work: Path) -> None:
    for i in range(6):
        write_film(videos / f"{i}.mp4", moving_square(64, 64, 64, seed=i))
    shots = shots_of(videos, work)
    code = f"""
from pathlib import Path
from typing import Any
from vidboot.data import cache, records
cache.BATCH_FRAMES = 1
work = Path({str(work)!r})
specs = [cache.Spec(32, 32, 8.0), cache.Spec(8, 8, 8.0)]
told = lambda done, total, name: print(done, flush=True)
cache.build(records.read_shots(work), Path({str(videos)!r}), work, specs, workers=1, progress=told)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() not in ("2", ""):
            pass
        os.kill(process.pid, signal.SIGKILL)
    before = {entry.path: os.stat(entry.path).st_mtime_ns for _, entry in plan(shots, work, SPECS) if entry.cached}
    assert 4 <= len(before) < 12
    built = build(shots, videos, work, SPECS)
    assert len(built.entries) == 12
    assert all(os.stat(path).st_mtime_ns == mtime_ns for path, mtime_ns in before.items())
    assert all(open_clip(entry, 0, entry.frames)[0].shape[0] == entry.frames for entry in built.entries)


def test_a_crop_of_smaller_pictures_is_found_in_the_mask_of_the_largest() -> None:
    entry = Entry("a.npy", "a.mp4", "5a", 0, 8, 32, 32, 8.0, shown=(640, 360))
    assert entry.crop(640, 360) == (140, 0, 500, 360)
    assert entry.crop(640, 480) == (140, 0, 500, 480)  # the detectors saw it stretched to that
    assert entry.crop(320, 180) == (70, 0, 250, 180)
    tall = Entry("a.npy", "a.mp4", "5a", 0, 8, 64, 32, 8.0, shown=(398, 796))
    assert tall.crop(426, 852) == (0, 0, 426, 852)  # not 426.00000000000006


def test_a_clip_is_a_read_only_view_of_a_shot_that_stays_open(videos: Path, work: Path) -> None:
    write_film(videos / "a.mp4", moving_square(20, 32, 32))
    (entry, _) = build(shots_of(videos, work), videos, work, SPECS).entries
    first, again = (open_clip(entry, 0, 2)[0] for _ in range(2))
    assert np.shares_memory(first, again)
    assert not first.flags.writeable

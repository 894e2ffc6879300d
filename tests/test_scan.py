"""The scan over a folder of real, odd and broken files with known frame counts; skipped where the folder is absent."""

import csv
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from vidboot.data.records import FileRecord, Shot
from vidboot.scan import LINES, Target, audit, scan

VIDEOS = Path(__file__).parents[1] / "../shared/videos"

pytestmark = pytest.mark.skipif(not VIDEOS.is_dir(), reason=f"no videos in {VIDEOS}")

OTHER_COUNTS = {
    "nasa_13013.mp4": "two tracks: the largest picture is not the first",
    "broken/mk_trunc.gif": "the last picture of a cut GIF is decoded in part",
}
DECORD_READS_WRONGLY = (
    "odd/mk_interlaced_h264.ts",
    "odd/mk_interlaced_mpeg2.mpg",
    "odd/mk_reschange.ts",
    "odd/mk_editlist_cut.mp4",
    "odd/cockatoo.mp4",
    "odd/MOV00006.3gp",
    "odd/exo_dolbyVision.MOV",
    "odd/exo_sef_slow_motion.mp4",
    "odd/tos.h264",
    "broken/decord_corrupted.mp4",
    "broken/mk_stts_zero_delta.mp4",
)


class Audit(NamedTuple):
    work: Path
    files: dict[str, FileRecord]
    shots: dict[str, list[Shot]]
    seconds: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    work = tmp_path_factory.mktemp("work")
    start = time.monotonic()
    files, shots = audit(VIDEOS, work)
    seconds = time.monotonic() - start
    of_file: dict[str, list[Shot]] = {file.path: [] for file in files}
    for shot in shots:
        of_file[shot.path].append(shot)
    return Audit(work, {file.path: file for file in files}, of_file, seconds)


def manifest() -> dict[str, dict[str, str]]:
    with (VIDEOS / "MANIFEST.tsv").open(encoding="utf-8") as lines:
        return {row["file"]: row for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)}


def test_every_file_has_a_record_and_no_worker_died(whole: Audit) -> None:
    assert set(manifest()) <= set(whole.files)
    reasons = {file.reason for file in whole.files.values()}
    assert not reasons & {"timeout", "memory", "crashed"}
    assert whole.seconds < 180


def test_frames_are_counted_as_ffmpeg_counts_them(whole: Audit) -> None:
    rows = manifest()
    counted = {path: int(row["frames_decoded_ffmpeg5.1"] or 0) for path, row in rows.items()}
    different = {path for path, count in counted.items() if whole.files[path].frames != count}
    assert different == set(OTHER_COUNTS)


def test_what_ffmpeg_cannot_decode_is_refused(whole: Audit) -> None:
    for path, row in manifest().items():
        frames = int(row["frames_decoded_ffmpeg5.1"] or 0)
        assert (whole.files[path].status == "usable") == (frames > 1), path


def test_every_time_increases_and_lengths_are_sane(whole: Audit) -> None:
    for path, shots in whole.shots.items():
        for shot in shots:
            assert len(shot.pts_seconds) == shot.last - shot.first + 1
            assert (np.diff(shot.pts_seconds) > 0).all(), path
    wrong_header = {"odd/exo_fragmented.mp4", "odd/mk_start5s.mkv", "odd/mk_reschange.ts"}
    for path, row in manifest().items():
        if row["kind"] != "broken" and row["duration_s"] and path not in wrong_header | set(OTHER_COUNTS):
            assert whole.files[path].seconds == pytest.approx(float(row["duration_s"]), abs=0.25, rel=0.05), path


@pytest.mark.parametrize("path", DECORD_READS_WRONGLY)
def test_decord_is_kept_from_files_it_reads_wrongly(whole: Audit, path: str) -> None:
    assert whole.files[path].reader == "pyav"


def test_decord_reads_most_plain_small_files(whole: Audit) -> None:
    pytest.importorskip("decord")
    small = [
        file for path, file in whole.files.items() if "/" not in path and 1 < file.frames < 200 and file.width < 700
    ]
    assert sum(file.reader == "decord" for file in small) > len(small) / 2


def test_turned_pictures_are_upright(whole: Audit) -> None:
    sizes = {path: (whole.files[path].width, whole.files[path].height) for path in whole.files}
    assert sizes["odd/exo_portrait_4k60.mp4"] == (2160, 3840)
    assert sizes["odd/mk_rot90.mp4"] == (480, 368)
    assert sizes["odd/fire2.mp4"] == (1280, 720)
    assert sizes["odd/mk_sar_4_3.mp4"] == (453, 256)


def test_a_change_of_resolution_starts_a_shot(whole: Audit) -> None:
    sizes = [(shot.first, shot.width, shot.height) for shot in whole.shots["odd/mk_reschange.ts"]]
    assert sizes == [(0, 320, 180), (30, 480, 360)]


def test_a_black_lead_is_no_shot(whole: Audit) -> None:
    assert whole.files["odd/mk_black_lead.mp4"].blank == ((0, 29),)
    assert [(shot.first, shot.last) for shot in whole.shots["odd/mk_black_lead.mp4"]] == [(30, 59)]


@pytest.mark.parametrize(
    ("path", "cuts"),
    [
        ("bikes.mp4", [1.2, 3.04, 5.48, 7.48, 9.68]),
        ("vsr_test2.mp4", [0.667, 1.4, 3.0, 4.467, 5.033, 5.533, 5.933, 6.367, 7.633]),
        ("nasa_13013.mp4", [8.008]),
        ("jobs.mp4", [15.167]),
        ("making_cake.mp4", []),
        ("odd/count-video.mp4", []),
    ],
)
def test_cuts_are_those_a_person_sees(whole: Audit, path: str, cuts: list[float]) -> None:
    assert whole.files[path].cuts == pytest.approx(cuts, abs=0.01)


def test_damage_reaches_from_the_error_to_the_next_key_frame(whole: Audit) -> None:
    assert whole.files["broken/mk_corrupt_block.mp4"].damaged == ((73, 116),)
    assert whole.files["broken/mk_corrupt_0p1pct.mp4"].damaged == ((0, 168),)
    assert whole.files["broken/mk_absurd_dims.mp4"].damaged == ()


def test_a_second_scan_takes_a_second_and_changes_no_byte(whole: Audit) -> None:
    before = {path.name: path.read_bytes() for path in whole.work.iterdir()}
    code = (
        "import sys; from pathlib import Path; from vidboot.scan import Target, scan;"
        f"scan(Path({str(VIDEOS)!r}), Path({str(whole.work)!r}), Target.parse('128x64x64@8'));"
        "assert 'torch' not in sys.modules"
    )
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    assert time.monotonic() - start < 5  # one second on an idle machine
    after = {path.name: path.read_bytes() for path in whole.work.iterdir()}
    assert after.pop(LINES)  # the fixture has audited only
    assert after == before


def test_every_second_of_the_folder_is_in_one_class(whole: Audit) -> None:
    seconds = scan(VIDEOS, whole.work, Target.parse("128x64x64@8"))["seconds"]
    total = seconds.pop("total")
    assert sum(seconds.values()) == pytest.approx(total, abs=1e-3)
    assert total == pytest.approx(sum(file.seconds for file in whole.files.values()), abs=0.01)

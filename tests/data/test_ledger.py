from dataclasses import replace
from typing import Any

import pytest

from vidboot.data.hidden import Hidden
from vidboot.data.ledger import USES, Line, Target, kept_by_filtering, ledger
from vidboot.data.records import FileRecord, Reason, Shot

TARGET = Target(128, 64, 64, 8.0)


def film(
    seconds: float, size: tuple[int, int] = (640, 360), fps: float = 24.0, **change: Any
) -> tuple[FileRecord, Shot]:
    width, height = size
    frames = round(seconds * fps)
    pts_seconds = tuple(i / fps for i in range(frames))
    file = FileRecord(path="a.mp4", status="usable", frames=frames, seconds=seconds, sha256="5a")
    shot = Shot(
        path="a.mp4",
        sha256="5a",
        shot=0,
        first=0,
        last=frames - 1,
        width=width,
        height=height,
        stretch=1.0,
        fps=fps,
        seconds=seconds,
        pts_seconds=pts_seconds,
    )
    return file, replace(shot, **change)


def line(seconds: float, size: tuple[int, int] = (640, 360), **how: Any) -> Line:
    hidden = how.pop("hidden", {})
    file, shot = film(seconds, size, **how)
    (found,) = ledger([file], [shot], TARGET, hidden=hidden)
    return found


def test_a_long_sharp_clean_shot_is_full() -> None:
    found = line(16)
    assert (found.view, found.frames_at_target) == ("full", 128)


def test_a_shot_one_frame_too_short_is_a_short_clip() -> None:
    assert line(16 - 1 / 8).view == "short_clip"


@pytest.mark.parametrize("size", [(64, 64), (1000, 64), (64, 1000)])
def test_a_shot_that_just_covers_the_target_is_sharp(size: tuple[int, int]) -> None:
    assert line(16, size).view == "full"


@pytest.mark.parametrize(("size", "view"), [((63, 63), "low_res"), ((24, 24), "low_res"), ((23, 24), "unused")])
def test_low_res_is_smaller_than_the_target_and_safely_larger_than_its_view(size: tuple[int, int], view: str) -> None:
    assert line(16, size).view == view


def test_what_is_too_small_is_told_by_the_size_of_the_low_res_view() -> None:
    file, shot = film(16, (12, 12))
    views = [ledger([file], [shot], replace(TARGET, low_res_factor=factor))[0].view for factor in (4, 8)]
    assert views == ["unused", "low_res"]


@pytest.mark.parametrize(
    ("seconds", "how", "reason"),
    [
        (1 / 8, {}, "too_short"),
        (16, {"size": (20, 20)}, "too_small"),
        (40, {"fps": 5.0}, "too_slow"),
        (16, {"damaged": ((0, 383),)}, "damaged"),
    ],
)
def test_every_unused_second_has_a_reason(seconds: float, how: dict[str, Any], reason: str) -> None:
    found = line(seconds, **how)
    assert (found.view, found.reason) == ("unused", reason)


def test_stretched_pixels_do_not_make_a_shot_sharp() -> None:
    assert line(16, (128, 64), stretch=2.0).view == "low_res"


@pytest.mark.parametrize("how", [{"damaged": ((5, 9),)}, {"hidden": {"5a": [Hidden(15, 20)]}}])
def test_damage_and_marks_make_a_shot_masked(how: dict[str, Any]) -> None:
    assert line(16, **how).view == "masked"


def test_a_mark_does_not_save_what_is_too_short() -> None:
    assert line(1 / 8, hidden={"5a": [Hidden(0, 1)]}).reason == "too_short"


def test_filtering_drops_every_shot_of_a_file_with_any_damage() -> None:
    file, shot = film(16)
    lines = ledger([file], [shot], TARGET)
    assert kept_by_filtering([file], lines) == 16
    assert kept_by_filtering([replace(file, damaged=((500, 500),))], lines) == 0


def test_the_same_bytes_count_once() -> None:
    file, shot = film(16)
    copy = replace(file, path="b.mp4")
    lines = ledger([file, copy], [shot, replace(shot, path="b.mp4")], TARGET)
    assert [(entry.view, entry.reason) for entry in lines] == [("full", ""), ("unused", "duplicate")]


def test_every_second_is_in_exactly_one_class() -> None:
    file, shot = film(16)
    refused = FileRecord(path="r.jpg", status="refused", reason=Reason.STILL_IMAGE, seconds=0.04, sha256="77")
    lines = ledger([replace(file, seconds=17.5), refused], [shot], TARGET)
    by_view = {view: sum(entry.seconds for entry in lines if entry.view == view) for view in USES}
    assert by_view == pytest.approx({"full": 16, "low_res": 0, "short_clip": 0, "masked": 0, "unused": 1.54})
    assert {entry.reason for entry in lines} == {"", "blank", "refused"}


@pytest.mark.parametrize("text", ["128x64x64@8", "128×64×64@8", " 128x64x64@8.0 "])
def test_a_target_is_frames_height_width_and_rate(text: str) -> None:
    assert Target.parse(text) == TARGET
    assert str(TARGET) == "128x64x64@8"


@pytest.mark.parametrize("text", ["", "128x64x64", "64x64@8", "0x64x64@8", "1x1x1@0", "axbxc@8", "-1x64x64@8"])
def test_any_other_target_is_an_error_that_says_how(text: str) -> None:
    with pytest.raises(ValueError, match=r"FRAMESxHEIGHTxWIDTH@FPS|must be positive"):
        Target.parse(text)


def test_what_is_hidden_in_another_shot_leaves_a_shot_full() -> None:
    assert line(16, hidden={"5a": [Hidden(16.5, 40)], "5b": [Hidden(0, 40)]}).view == "full"

"""What each shot can teach: into which view of the target video its seconds go, and why the rest is not used.

Every second of the folder goes into exactly one class. Nothing here reads a file or a clock.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from vidboot.data.geometry import detail
from vidboot.data.hidden import Hidden
from vidboot.data.records import FileRecord, Shot
from vidboot.data.times import nearest_frames

Use = Literal["full", "low_res", "short_clip", "masked", "unused"]
"""What seconds are used for: a view of the target video, or nothing."""
USES: tuple[Use, ...] = ("full", "low_res", "short_clip", "masked", "unused")

WHY_UNUSED: dict[str, str] = {
    "too_short": "fewer frames at the target's rate than the shortest clip",
    "too_small": "smaller than 1.5 times the low-res view",
    "too_slow": "under 3/4 of the target's frame rate",
    "blank": "nothing but one brightness",
    "damaged": "fewer sound frames than the shortest clip",
    "duplicate": "the same bytes as another file",
    "refused": "the file cannot be used, see its reason",
}

LEAST_CLIP_FRAMES = 2
"""Shortest clip a net learns from, in frames at the target's rate (at most the target's own length)."""
SAFELY_SMALLER = 1.5
LEAST_RATE = 0.75


@dataclass(frozen=True, slots=True)
class Target:
    """The video we want."""

    frames: int
    height: int
    width: int
    fps: float
    low_res_factor: int = 4
    """The low-res view is this many times smaller."""

    def __post_init__(self) -> None:
        if min(self.frames, self.height, self.width) < 1 or not self.fps > 0:
            raise ValueError(f"target {self}: frames, height, width and frame rate must be positive")

    def __str__(self) -> str:
        return f"{self.frames}x{self.height}x{self.width}@{self.fps:g}"

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Return the target written as FRAMESxHEIGHTxWIDTH@FPS.

        Raises:
            ValueError: it is written in another way, or a number is zero.
        """
        match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})[x×](\d{1,6})@(\d{1,6}(?:\.\d+)?)", text.strip())
        if match is None:
            raise ValueError(f"target {text!r} must be FRAMESxHEIGHTxWIDTH@FPS, for example 128x64x64@8")
        frames, height, width, fps = match.groups()
        return cls(int(frames), int(height), int(width), float(fps))


@dataclass(frozen=True, slots=True)
class Line:
    """Where some seconds of a file go: those of one shot, or those outside its shots (shot None)."""

    path: str
    shot: int | None
    view: Use
    reason: str  # why unused; "damaged" or "marked" for masked; else empty
    seconds: float
    frames_at_target: int


def ledger(
    files: Sequence[FileRecord],
    shots: Sequence[Shot],
    target: Target,
    *,
    hidden: Mapping[str, Sequence[Hidden]] = MappingProxyType({}),
) -> list[Line]:
    """Return where every second of the folder goes, file by file.

    Args:
        files: all files of the scan.
        shots: all their shots.
        target: the video we want.
        hidden: what marks, subtitles or bars hide, by SHA-256 of the video.
    """
    of_file: dict[str, list[Shot]] = {file.path: [] for file in files}
    for shot in shots:
        of_file[shot.path].append(shot)
    first_with: dict[str, str] = {}
    lines: list[Line] = []
    for file in files:
        duplicate = bool(file.sha256) and first_with.setdefault(file.sha256, file.path) != file.path
        lines += _lines_of(file, of_file[file.path], target, hidden.get(file.sha256, ()), duplicate=duplicate)
    return lines


def kept_by_filtering(files: Sequence[FileRecord], lines: Sequence[Line]) -> float:
    """Return the seconds a trainer keeps that filters first."""
    return sum((line.seconds for line in filtered(files, lines)), 0.0)


def filtered(files: Sequence[FileRecord], lines: Sequence[Line]) -> list[Line]:
    """Return the lines a trainer keeps that filters first: full shots without any mark in sight, of sound files."""
    clean = {file.path for file in files if not file.damaged}
    return [line for line in lines if line.view == "full" and line.path in clean]


def _lines_of(
    file: FileRecord, shots: list[Shot], target: Target, hidden: Sequence[Hidden], *, duplicate: bool
) -> Iterator[Line]:
    if file.status == "refused" or duplicate:
        if file.seconds:
            yield Line(file.path, None, "unused", "duplicate" if duplicate else "refused", file.seconds, 0)
        return
    for shot in shots:
        marked = any(one.in_sight(shot, target.height, target.width) for one in hidden)
        yield _line(shot, target, marked=marked)
    blank_seconds = file.seconds - sum(shot.seconds for shot in shots)
    if blank_seconds > 1e-3:
        yield Line(file.path, None, "unused", "blank", blank_seconds, 0)


def _line(shot: Shot, target: Target, *, marked: bool) -> Line:
    indices = nearest_frames(np.array(shot.pts_seconds), target.fps)
    sound = int(shot.sound[indices].sum())
    view, reason = _view(shot, target, len(indices))
    if view != "unused" and sound < min(LEAST_CLIP_FRAMES, target.frames):
        view, reason = "unused", "damaged"
    elif view != "unused" and (marked or shot.damaged):
        view, reason = "masked", "marked" if marked else "damaged"
    return Line(shot.path, shot.shot, view, reason, shot.seconds, len(indices))


def _view(shot: Shot, target: Target, frames: int) -> tuple[Use, str]:
    """The view of a shot by its size and length alone."""
    if frames < min(LEAST_CLIP_FRAMES, target.frames):
        return "unused", "too_short"
    if shot.fps < LEAST_RATE * target.fps:
        return "unused", "too_slow"
    sharpness = detail(shot.width, shot.height, shot.stretch, target.height, target.width)
    if sharpness >= 1:
        return ("full" if frames >= target.frames else "short_clip"), ""
    if sharpness * target.low_res_factor >= SAFELY_SMALLER:
        return "low_res", ""
    return "unused", "too_small"

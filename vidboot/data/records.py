"""What the scan knows of a folder: one record per file (files.jsonl) and one per shot (shots.jsonl).

Frame indices count the decoded frames of a file from 0; spans [first, last] include both ends; sizes are those of the
picture as displayed (turned upright, square pixels); times are seconds on the file's own, repaired clock.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vidboot.files import replacing

SCHEMA = 1
FILES = "files.jsonl"
SHOTS = "shots.jsonl"

Span = tuple[int, int]


class Reason(StrEnum):
    """Why a file teaches nothing; the closed set of codes in files.jsonl."""

    UNREADABLE = "unreadable"
    EMPTY = "empty"
    NOT_VIDEO = "not_video"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_FRAMES = "no_frames"
    STILL_IMAGE = "still_image"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"


MEANING: dict[Reason, str] = {
    Reason.UNREADABLE: "the system does not let us read it: dangling link, no permission, not a regular file",
    Reason.EMPTY: "it has no bytes",
    Reason.NOT_VIDEO: "its content is no video format we know",
    Reason.NO_VIDEO_STREAM: "a media file without a video track, or with a cover picture only",
    Reason.NO_FRAMES: "a video track without any picture data",
    Reason.STILL_IMAGE: "a single picture",
    Reason.DAMAGED: "a video format, but nothing in it can be decoded",
    Reason.ENCRYPTED: "encrypted, and nothing in it can be decoded",
    Reason.TOO_LARGE: "its pictures have more pixels than we decode",
    Reason.TIMEOUT: "decoding it did not end in time",
    Reason.MEMORY: "decoding it took more memory than allowed",
    Reason.CRASHED: "decoding it ended the decoder's process",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file of the folder: a line of files.jsonl."""

    path: str  # relative to the folder
    status: Literal["usable", "refused"]
    reason: Reason | None = None
    message: str = ""
    frames: int = 0
    seconds: float = 0.0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    codec: str = ""
    stream: int = 0
    reader: Literal["pyav", "decord"] = "pyav"
    damaged: tuple[Span, ...] = ()
    blank: tuple[Span, ...] = ()
    cuts: tuple[float, ...] = ()
    sha256: str = ""
    size: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """Frames between two cuts, blank frames left out: a line of shots.jsonl."""

    path: str
    sha256: str
    shot: int
    first: int
    last: int
    width: int
    height: int
    stretch: float  # displayed pixels per stored pixel where the display stretches, at least 1
    fps: float
    seconds: float
    pts_seconds: tuple[float, ...]
    damaged: tuple[Span, ...] = ()  # frame indices of the file, within [first, last]

    @property
    def sound(self) -> np.ndarray:
        """Which of its frames are not damaged, bool [T]."""
        sound = np.ones(len(self.pts_seconds), dtype=bool)
        for first, last in self.damaged:
            sound[first - self.first : last - self.first + 1] = False
        return sound


@dataclass(frozen=True, slots=True)
class Scanned:
    """A file and its shots, as they are found and remembered together."""

    file: FileRecord
    shots: tuple[Shot, ...] = ()


def file_from_json(row: dict[str, Any]) -> FileRecord:
    """Return the record of a line of files.jsonl."""
    _check_schema(row)
    reason = Reason(row["reason"]) if row["reason"] else None
    spans = {name: _spans(row[name]) for name in ("damaged", "blank")}
    return FileRecord(**{**row, **spans, "reason": reason, "cuts": tuple(row["cuts"])})


def shot_from_json(row: dict[str, Any]) -> Shot:
    """Return the record of a line of shots.jsonl."""
    _check_schema(row)
    return Shot(**{**row, "damaged": _spans(row["damaged"]), "pts_seconds": tuple(row["pts_seconds"])})


def to_json(record: FileRecord | Shot) -> dict[str, Any]:
    """Return the line of files.jsonl or shots.jsonl as a dictionary."""
    return {"schema": SCHEMA, **asdict(record)}


def root_of(videos: Path) -> Path:
    """Return what paths in records are relative to: the folder that was scanned, or the folder of the one file."""
    return videos.parent if videos.is_file() else videos


def read_files(work: Path) -> list[FileRecord]:
    """Return the lines of files.jsonl in the working folder; none if there was no scan.

    Raises:
        ValueError: another version of vidboot wrote them.
    """
    return [file_from_json(row) for row in read_jsonl(work / FILES)]


def read_shots(work: Path) -> list[Shot]:
    """Return the lines of shots.jsonl in the working folder; none if there was no scan."""
    return [shot_from_json(row) for row in read_jsonl(work / SHOTS)]


def read_jsonl(path: Path) -> Iterable[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; a missing file has none, a last line cut short is left out.

    Raises:
        ValueError: another line is no JSON.
    """
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} of {path} is not JSON ({error.msg}): delete the file") from error


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write JSON lines: whole or not at all."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def _check_schema(row: dict[str, Any]) -> None:
    found = row.pop("schema", None)
    if found != SCHEMA:
        raise ValueError(f"the working folder has schema {found!r}, this vidboot has {SCHEMA}: use a new --work folder")


def _spans(pairs: Iterable[Iterable[int]]) -> tuple[Span, ...]:
    return tuple((first, last) for first, last in pairs)

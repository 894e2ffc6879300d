"""What is known of files from an earlier scan, or from one that was interrupted.

Each file is appended as it is done, so that a scan that is killed goes on where it stopped.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Self

from vidboot.data.records import (
    FILES,
    SHOTS,
    FileRecord,
    Scanned,
    Shot,
    file_from_json,
    read_files,
    read_jsonl,
    read_shots,
    shot_from_json,
    to_json,
    write_jsonl,
)

NAME = "scan.journal.jsonl"


class Journal:
    """The memory of scans in a working folder; use it in a ``with`` block.

    Raises:
        ValueError: another version of vidboot wrote the folder.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._known: dict[str, Scanned] = {}
        self._paths_of_size: dict[int, dict[str, str]] = {}
        self._appended: BinaryIO | None = None
        # Files are known together with their shots or not at all.
        self._written = read_files(work) if (work / SHOTS).exists() else []
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._appended is not None:
            self._appended.close()

    def find(self, path: str, size: int, mtime_ns: int) -> Scanned | None:
        """Return what is known of a file with this path, size and time of change."""
        scanned = self._known.get(path)
        unchanged = scanned is not None and (scanned.file.size, scanned.file.mtime_ns) == (size, mtime_ns)
        return scanned if unchanged else None

    def paths_of_size(self, size: int) -> dict[str, str]:
        """Return SHA-256 -> path for the known files of this size."""
        return self._paths_of_size.get(size, {})

    def moved(self, known_path: str, path: str, size: int, mtime_ns: int) -> Scanned:
        """Return what is known of ``known_path`` for a file with the same bytes."""
        scanned = self._known[known_path]
        return Scanned(
            replace(scanned.file, path=path, size=size, mtime_ns=mtime_ns),
            tuple(replace(shot, path=path) for shot in scanned.shots),
        )

    def append(self, scanned: Scanned) -> None:
        """Remember a file, on disk at once."""
        if self._appended is None:
            self._appended = self._open()
        row = {"file": to_json(scanned.file), "shots": [to_json(shot) for shot in scanned.shots]}
        self._appended.write(json.dumps(row).encode() + b"\n")
        self._appended.flush()

    def finish(self, files: Sequence[FileRecord], shots: Sequence[Shot]) -> None:
        """Write files.jsonl and shots.jsonl, unless they say so already, and forget the journal."""
        if list(files) != self._written:
            write_jsonl(self._work / SHOTS, map(to_json, shots))
            write_jsonl(self._work / FILES, map(to_json, files))
        if self._appended is not None:
            self._appended.close()
        (self._work / NAME).unlink(missing_ok=True)

    def _load(self) -> None:
        shots: dict[str, list[Shot]] = {}
        for shot in read_shots(self._work):
            shots.setdefault(shot.path, []).append(shot)
        for file in self._written:
            self._remember(Scanned(file, tuple(shots.get(file.path, ()))))
        for row in read_jsonl(self._work / NAME):
            self._remember(Scanned(file_from_json(row["file"]), tuple(map(shot_from_json, row["shots"]))))

    def _remember(self, scanned: Scanned) -> None:
        file = scanned.file
        before = self._known.get(file.path)
        if before is not None and self.paths_of_size(before.file.size).get(before.file.sha256) == file.path:
            del self._paths_of_size[before.file.size][before.file.sha256]  # what has those bytes is elsewhere now
        self._known[file.path] = scanned
        if file.status == "usable" and file.sha256:  # a refusal is only the path's own: touched, it is tried again
            self._paths_of_size.setdefault(file.size, {})[file.sha256] = file.path

    def _open(self) -> BinaryIO:
        journal = (self._work / NAME).open("a+b")
        journal.seek(0)
        # A scan that was killed while writing leaves part of a line.
        journal.truncate(journal.read().rfind(b"\n") + 1)
        return journal

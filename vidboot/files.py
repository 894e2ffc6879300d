"""Files that are written as a whole or not at all, whatever ends the process or the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


def part_path(path: Path) -> Path:
    """Where a file lives until it is whole; hidden, for a download's NAME.part is not ours."""
    # One name for all attempts: what a kill leaves is written over by the next, not kept for ever.
    return path.with_name(f".{path.name}.partial")


def check_writable(path: Path) -> None:
    """Raise ValueError unless a file can be created at ``path``; leaves nothing behind."""
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: the folder {path.parent} does not exist")
    try:
        # A name of its own: the part may be another process's work.
        NamedTemporaryFile(dir=path.parent, prefix=".").close()
        with suppress(FileNotFoundError):
            part_path(path).lstat()  # its name may be too long
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it is synced and takes its place."""
    temporary = part_path(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all; what UTF-8 cannot hold, as in odd file names, becomes a question mark."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")

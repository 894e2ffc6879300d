"""How cached frames are made: one linear pass over a video writes all its shots at all sizes and rates."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import av.error
import numpy as np
from numpy.lib import format as npy

from vidboot.data.decode import Decoded, Resizer, Video
from vidboot.data.records import Shot
from vidboot.data.times import nearest_frames
from vidboot.errors import DISK_FULL

PARTIAL = ".partial"
NO_SPACE = "the disk is full"


@dataclass(frozen=True, slots=True)
class Order:
    """One file of frames to write: a shot at one size and rate."""

    shot: Shot
    height: int
    width: int
    fps: float
    frames_path: Path
    times_path: Path
    enlarge: bool = False


def write_videos(root: str, orders_of_video: dict[str, list[Order]]) -> Iterator[dict[str, str]]:
    """Write the orders of each video; a task for a worker.

    Yields:
        After each video all that are done: path -> why it failed, empty if it did not.
    """
    done: dict[str, str] = {}
    for path, orders in orders_of_video.items():
        done[path] = _write_video(Path(root, path), orders)
        yield done


def _write_video(path: Path, orders: list[Order]) -> str:
    try:
        with path.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != orders[0].shot.sha256:
                return "it changed since the scan"
        with Video(path) as video:
            return _write_all(video, orders)
    except MemoryError:
        raise
    except (OSError, LookupError, ValueError, av.error.FFmpegError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return NO_SPACE
        return f"{type(error).__name__}: {error}"


def _write_all(video: Video, orders: list[Order]) -> str:
    sizes = {(order.height, order.width, order.enlarge) for order in orders}
    resizers = {size: Resizer(size[0], size[1], enlarge=size[2]) for size in sizes}
    writers = [_Writer(order, resizers[order.height, order.width, order.enlarge]) for order in orders]
    last = max(order.shot.last for order in orders)
    try:
        waiting = sorted(writers, key=lambda writer: writer.first, reverse=True)
        writing: list[_Writer] = []
        for decoded in video.frames():
            while waiting and waiting[-1].first <= decoded.index:
                writing.append(waiting.pop())
            # A film has thousands of shots: only those under way hold a file open.
            writing = [writer for writer in writing if not writer.write(decoded, video)]
            if decoded.index >= last:
                break
        unfinished = [*waiting, *writing]
    finally:
        for writer in writers:
            writer.discard()
    return "it decodes to fewer frames than in the scan" if unfinished else ""


class _Writer:
    """Frames of one order, written one after another; the file gets its name when all are there."""

    def __init__(self, order: Order, resize: Resizer) -> None:
        shot = order.shot
        indices = nearest_frames(np.array(shot.pts_seconds), order.fps)
        self._order = order
        self._resize = resize
        self._wanted: Sequence[int] = (indices + shot.first).tolist()
        self._times = np.stack([np.array(shot.pts_seconds)[indices], shot.sound[indices]], axis=1)
        self._written = 0
        # Its own: a worker outlives for a moment a caller that was killed.
        self._partial = order.frames_path.with_name(f"{order.frames_path.name}.{os.getpid()}{PARTIAL}")
        self._partial_times = self._partial.with_suffix(f".times{PARTIAL}")
        self._file: IO[bytes] | None = None

    @property
    def first(self) -> int:
        """The first frame that is wanted."""
        return self._wanted[0]

    def write(self, decoded: Decoded, video: Video) -> bool:
        """Write the frame as often as it is wanted; once all are, give the files their names and return True."""
        wanted = self._wanted
        if wanted[self._written] != decoded.index:
            return False
        pixels = self._resize(decoded.picture, video.geometry(decoded.picture)).tobytes()
        file = self._file or self._begin()
        while self._written < len(wanted) and wanted[self._written] == decoded.index:
            file.write(pixels)
            self._written += 1
        if self._written < len(wanted):
            return False
        file.close()
        with self._partial_times.open("wb") as times:
            np.save(times, self._times)
        self._partial_times.replace(self._order.times_path)
        self._partial.replace(self._order.frames_path)
        return True

    def discard(self) -> None:
        """Leave nothing unfinished behind."""
        if self._file is not None:
            self._file.close()
        self._partial.unlink(missing_ok=True)

    def _begin(self) -> IO[bytes]:
        self._file = self._partial.open("wb")
        shape = (len(self._wanted), self._order.height, self._order.width, 3)
        npy.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return self._file

"""Shots as memory-mapped frames of the sizes the views need, decoded once.

A shot and spec is one uint8 .npy [t, H, W, 3] beside one float64 .npy [t, 2] of times and validity, both named by
what they are made of: the video's bytes, the frames, the size and rate, the filter. Files appear whole or not at all,
so building again goes on where it stopped.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from vidboot.boxes import Box
from vidboot.data import workers
from vidboot.data.cache_writer import NO_SPACE, PARTIAL, Order
from vidboot.data.decode import FILTER
from vidboot.data.geometry import center_crop_box, detail
from vidboot.data.locks import one_at_a_time
from vidboot.data.progress import Progress, printable, silent
from vidboot.data.records import Shot, root_of
from vidboot.data.times import nearest_frames
from vidboot.errors import WorkFailed

FOLDER = "cache"
MOST_OPEN = 512
BATCH_FRAMES = 4096  # source frames a worker is sent at a time, at least
LIMIT_SECONDS_PER_FRAME = 0.5
LEAST_LIMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Spec:
    """The frames a view needs: size in pixels and frames per second."""

    height: int
    width: int
    fps: float
    enlarge: bool = False
    """Whether smaller pictures are enlarged to this size; else they are left out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached shot."""

    path: str
    """File of the frames, uint8 .npy [frames, height, width, 3]."""
    source: str
    """Video it was made of, relative to the folder."""
    sha256: str
    """Of that video."""
    shot: int
    """Number of the shot in it."""
    frames: int
    height: int
    width: int
    fps: float
    shown: tuple[int, int]
    """Width and height of the pictures it was cut out of, as displayed."""

    def crop(self, width: int, height: int) -> Box:
        """Return what of those pictures is cached, in pixels of a mask: all pictures of a file fill its one size."""
        x0, y0, x1, y1 = center_crop_box(*self.shown, self.height, self.width)
        across, down = width / self.shown[0], height / self.shown[1]
        # Rounding must not lead out of the mask.
        return x0 * across, y0 * down, min(x1 * across, width), min(y1 * down, height)

    @property
    def times_path(self) -> str:
        """File of the times and validity of the frames, float64 .npy [frames, 2]."""
        return self.path.removesuffix(".npy") + ".times.npy"

    @property
    def bytes(self) -> int:
        """Size of the frames on disk."""
        return self.frames * self.height * self.width * 3

    @property
    def cached(self) -> bool:
        """Whether the frames are there, all of them: a machine that loses its power leaves files empty."""
        try:
            return os.path.getsize(self.path) > self.bytes and os.path.getsize(self.times_path) > 16 * self.frames
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Built:
    """What ``build`` made or found, and the videos it could not decode, with the cause."""

    entries: list[Entry]
    failed: dict[str, str]


def plan(shots: Sequence[Shot], work: Path, specs: Sequence[Spec]) -> Iterator[tuple[Shot, Entry]]:
    """Yield an entry, cached or not, for each shot and each spec that its pictures are large enough for."""
    for shot in shots:
        for spec in specs:
            if spec.enlarge or detail(shot.width, shot.height, shot.stretch, spec.height, spec.width) >= 1:
                yield shot, _entry(shot, work, spec)


def missing_bytes(entries: Sequence[Entry]) -> int:
    """Return the disk space that the entries not cached yet need."""
    return sum(entry.bytes for entry in entries if not entry.cached)


def build(
    shots: Sequence[Shot],
    videos: Path,
    work: Path,
    specs: Sequence[Spec],
    *,
    workers: int = 2,
    progress: Progress = silent,
) -> Built:
    """Cache the frames of shots at each spec they are large enough for; decode each video once, if at all.

    Args:
        shots: of a scan; duplicates of a video are cached once.
        videos: the folder, or the one file, that was scanned.
        work: the working folder; frames go to its ``cache``.
        specs: sizes and rates.
        workers: processes that decode.
        progress: told the videos that are done.

    Raises:
        OSError: the disk has too little space, or cannot be written.
        WorkFailed: not one of the shots can be cached.
    """
    planned = _without_duplicates(plan(shots, work, specs))
    (work / FOLDER).mkdir(parents=True, exist_ok=True)
    with one_at_a_time(work / FOLDER):
        for left in (work / FOLDER).glob(f"*{PARTIAL}"):
            left.unlink(missing_ok=True)
        missing = [(shot, entry) for shot, entry in planned if not entry.cached]
        failed = _write_all(missing, root_of(videos), work, workers, progress)
    for path, cause in failed.items():
        logging.getLogger("vidboot").warning("%s is left out: %s", printable(path), cause)
    if planned and not any(entry.cached for _, entry in planned):
        raise WorkFailed(f"no video of {videos} can be cached: {next(iter(failed.values()))}")
    return Built([entry for _, entry in planned if entry.cached], failed)


def open_clip(entry: Entry, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a clip of a cached shot, without copying. The most recently used shots are kept open.

    Args:
        entry: from ``build``.
        first: index of its first frame in the entry.
        last: index after its last frame.

    Returns:
        Frames, a read-only view of uint8 [t, H, W, 3]; pts_seconds, the file's own times, float64 [t]; valid, False
        for damaged frames, bool [t].
    """
    frames, pts_seconds, valid = opened(entry.path, entry.times_path)
    return frames[first:last], pts_seconds[first:last], valid[first:last]


@lru_cache(MOST_OPEN)
def opened(path: str, times_path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all of a shot, as ``open_clip`` does."""
    times = np.load(times_path)
    # A plain array over the map: slicing a memmap object costs more than the clip itself.
    frames = np.asarray(np.load(path, mmap_mode="r"))
    return frames, np.ascontiguousarray(times[:, 0]), times[:, 1] > 0


def _entry(shot: Shot, work: Path, spec: Spec) -> Entry:
    frames = len(nearest_frames(np.array(shot.pts_seconds), spec.fps))
    path = str(work / FOLDER / f"{_key(shot, spec)}.npy")
    return Entry(
        path, shot.path, shot.sha256, shot.shot, frames, spec.height, spec.width, spec.fps, (shot.width, shot.height)
    )


def _key(shot: Shot, spec: Spec) -> str:
    made_of = [shot.sha256, shot.first, shot.last, spec.height, spec.width, spec.fps, FILTER]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:40]


def _without_duplicates(planned: Iterator[tuple[Shot, Entry]]) -> list[tuple[Shot, Entry]]:
    return list({entry.path: (shot, entry) for shot, entry in planned}.values())


def _write_all(
    missing: Sequence[tuple[Shot, Entry]], root: Path, work: Path, worker_count: int, progress: Progress
) -> dict[str, str]:
    """Write the missing entries; return the videos that failed, with the cause."""
    if not missing:
        return {}
    folder = work / FOLDER
    orders: dict[str, list[Order]] = defaultdict(list)
    for shot, entry in missing:
        enlarge = detail(shot.width, shot.height, shot.stretch, entry.height, entry.width) < 1
        order = Order(shot, entry.height, entry.width, entry.fps, Path(entry.path), Path(entry.times_path), enlarge)
        orders[shot.path].append(order)
    _check_space([entry for _, entry in missing], folder, len(orders), progress)
    done: dict[str, str] = {}
    batches = list(_batches(orders))
    while batches:
        for outcome in workers.run([_task(root, batch) for batch in batches], worker_count):
            done |= outcome.result or {}
            if NO_SPACE in done.values():
                raise OSError(errno.ENOSPC, NO_SPACE, str(folder))
            if outcome.death is not None:
                # The video that was being written ended the worker; those after it never began.
                culprit = next(path for path in outcome.task.arguments[1] if path not in done)
                done[culprit] = outcome.message
            progress(len(done), len(orders), next(reversed(done)))
        batches = [{path: of_video} for path, of_video in orders.items() if path not in done]
    return {path: cause for path, cause in done.items() if cause}


def _check_space(missing: Sequence[Entry], folder: Path, videos: int, progress: Progress) -> None:
    needed, free = missing_bytes(missing), shutil.disk_usage(folder).free
    progress(0, videos, f"{needed / 1e9:.2f} GB to write, {free / 1e9:.0f} GB free")
    if needed > free:
        text = f"the cache needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free"
        raise OSError(errno.ENOSPC, text, str(folder))


def _batches(orders: dict[str, list[Order]]) -> Iterator[dict[str, list[Order]]]:
    """Yield videos together until they have enough frames to be worth a message to a worker."""
    batch: dict[str, list[Order]] = {}
    for path, of_video in orders.items():
        batch[path] = of_video
        if _source_frames(batch) >= BATCH_FRAMES:
            yield batch
            batch = {}
    if batch:
        yield batch


def _source_frames(batch: dict[str, list[Order]]) -> int:
    return sum(max(order.shot.last for order in of_video) + 1 for of_video in batch.values())


def _task(root: Path, batch: dict[str, list[Order]]) -> workers.Task:
    limit_seconds = LEAST_LIMIT_SECONDS + LIMIT_SECONDS_PER_FRAME * _source_frames(batch)
    return workers.Task("vidboot.data.cache_writer:write_videos", (str(root), batch), limit_seconds)

"""Find what is not the scene in a folder of videos: every file decoded once, then marks across the folder.

What is found in one video is kept in ``work/detections``, so a run that is killed goes on where it stopped and files
that did not change are not decoded again. Events that a person decided on stay as they are.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from vidboot import detections, mask_video, masks
from vidboot.corruption.folder import folder_marks, needed, sureness
from vidboot.corruption.kin import moved
from vidboot.corruption.static import StaticSummary
from vidboot.data import workers
from vidboot.data.frame_times import frame_times
from vidboot.data.locks import one_at_a_time
from vidboot.data.progress import Progress, printable, silent
from vidboot.data.records import FileRecord, read_files, read_shots, root_of
from vidboot.data.shots import find_gaps
from vidboot.decisions import FOUND
from vidboot.detections import Detected
from vidboot.errors import WorkFailed
from vidboot.mask_merge import all_found, merged
from vidboot.mask_video import Job
from vidboot.visibility import visible

KINDS = tuple(kind for kind in get_args(masks.Kind) if kind != "other")
LEAST_LIMIT_SECONDS = 300.0
LIMIT_PER_VIDEO_SECOND = 60.0  # at 720p
LARGELY = 0.4  # of its picture, from which on a person is told that a file is hidden: bars of films take a quarter
NAMED = 10  # files that are told of, at most
SHARE_FRAMES, SHARE_SIZE = 16, (90, 160)  # at which it is seen how much is hidden


def mask(
    videos: Path,
    work: Path,
    *,
    kinds: Sequence[str] = KINDS,
    text_model: Path | None = None,
    progress: Progress = silent,
    worker_count: int = 2,
) -> dict[str, Any]:
    """Write the mask of each usable video to ``work/masks``: what ``vidboot mask --json`` prints.

    Args:
        videos: the folder, or the one file, that was scanned.
        work: its working folder, with ``files.jsonl`` and ``shots.jsonl``.
        kinds: of events to write; events of other kinds stay as they were.
        text_model: an .onnx text detector; None: the text detector that needs no model.
        progress: told as files are done.
        worker_count: processes that decode.

    Raises:
        ValueError: there is no such kind or text model, or a mask file that is there cannot be read; nothing is
            written then.
        WorkFailed: not one video could be looked at.
    """
    kinds = check_kinds(kinds)
    if text_model is not None and not text_model.is_file():
        raise ValueError(f"there is no text model {text_model}")
    files, folder = read_files(work), work / "masks"
    by_sha = {file.sha256: file for file in files if file.status == "usable"}
    for sha in by_sha:
        _load_written(folder, sha)  # one that cannot be read is told before the work
    seconds = frame_times(files, read_shots(work))
    results, failed = _detect_all(videos, work, by_sha, seconds, text_model, progress, worker_count)
    if failed and not results:
        raise WorkFailed(f"not one video could be looked at: {next(iter(failed.values()))}")
    across = _folder_pass(results, by_sha) if "mark" in kinds else {}
    saved: dict[str, masks.Mask] = {}
    folder.mkdir(exist_ok=True)
    with one_at_a_time(folder):
        for sha, result in results.items():
            found = all_found(by_sha[sha], seconds[sha], result, across.get(sha, ()), kinds)
            before = _load_written(folder, sha)  # with what was decided meanwhile
            saved[sha] = merged(by_sha[sha], found, before, kinds)
            _save(folder, saved[sha], before)
    shares = {by_sha[sha].path: _share_hidden(mask, seconds[sha]) for sha, mask in saved.items()}
    largely = {path: share for path, share in shares.items() if share > LARGELY}
    return {**_summary(saved, failed, kinds, text_model), "largely_hidden": largely}


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds in their usual order.

    Raises:
        ValueError: one is not known, or there is none.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise ValueError(f"no such kind of event: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in kinds)


def _load_written(folder: Path, sha: str) -> masks.Mask | None:
    path = masks.mask_path(folder, sha)
    return masks.load(path, sha256=sha) if path.exists() else None


def _save(folder: Path, mask: masks.Mask, before: masks.Mask | None) -> None:
    same = before is not None and before == mask and np.array_equal(before.layers, mask.layers)
    if not same:
        masks.save(masks.mask_path(folder, mask.sha256), mask)


def _detect_all(
    videos: Path,
    work: Path,
    by_sha: Mapping[str, FileRecord],
    seconds: Mapping[str, np.ndarray],
    model: Path | None,
    progress: Progress,
    worker_count: int,
) -> tuple[dict[str, Detected], dict[str, str]]:
    """Results by SHA-256 for the files that could be looked at, and what went wrong with the others by path."""
    folder = work / detections.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    key = detection_key(model)
    results: dict[str, Detected] = {}
    tasks = []
    for sha, file in by_sha.items():
        known = detections.read(folder / f"{sha}.npz", key)
        if known is not None:
            results[sha] = known
            progress(len(results), len(by_sha), file.path)
            continue
        job = Job(
            path=str(root_of(videos) / file.path),
            width=file.width,
            height=file.height,
            pts_seconds=seconds[sha],
            cuts=_changes_of_picture(file, seconds[sha]),
            text_model=str(model) if model else None,
        )
        size = max(1.0, file.width * file.height / (1280 * 720))
        limit_seconds = LEAST_LIMIT_SECONDS + LIMIT_PER_VIDEO_SECOND * file.seconds * size
        arguments = (job, str(folder / f"{sha}.npz"), key)
        tasks.append(workers.Task("vidboot.mask_video:detect", arguments, limit_seconds))
    tasks.sort(key=lambda task: -task.limit_seconds)  # the longest first, so that none is waited for alone at the end
    failed: dict[str, str] = {}
    for outcome in workers.run(tasks, worker_count):
        sha = Path(outcome.task.arguments[1]).stem
        known = detections.read(folder / f"{sha}.npz", key)
        if known is None:
            changed = outcome.result is False
            failed[by_sha[sha].path] = (
                "it changed since the scan" if changed else outcome.message or "it could not be read to its end"
            )
        else:
            results[sha] = known
        progress(len(results) + len(failed), len(by_sha), by_sha[sha].path)
    return {sha: results[sha] for sha in by_sha if sha in results}, failed


def _changes_of_picture(file: FileRecord, seconds: np.ndarray) -> tuple[float, ...]:
    """Times of the frames that begin another picture: a gap in time alone proves nothing."""
    gaps = seconds[find_gaps(seconds)]
    first = (float(seconds[np.abs(seconds - cut).argmin()]) for cut in file.cuts)
    return tuple(at for at in first if not np.isclose(at, gaps).any())


def detection_key(model: Path | None) -> str:
    """Name what one file's result depends on: nothing that only the comparison of files uses."""
    text = [mask_video.VERSION, (model.name, model.stat().st_size) if model else None]
    return hashlib.sha256(repr(text).encode()).hexdigest()[:16]


def _folder_pass(
    results: Mapping[str, Detected], by_sha: Mapping[str, FileRecord]
) -> dict[str, list[tuple[np.ndarray, float]]]:
    """Marks that several videos of one picture shape share: (pixels at the source's size, score) by SHA-256."""
    shapes: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for sha, result in results.items():
        if result.static is not None:
            shapes[result.static.gradient.shape].append(sha)
    found: dict[str, list[tuple[np.ndarray, float]]] = defaultdict(list)
    for members in shapes.values():
        clips = [_static(results[sha]) for sha in members]
        for mark in folder_marks(clips):
            for sha, presence, by in zip(members, mark.presence.tolist(), mark.shifts, strict=True):
                if presence >= needed(mark):
                    file = by_sha[sha]
                    score = sureness(mark, presence)
                    found[sha].append((mask_video.enlarged(moved(mark.pixels, by), file.width, file.height), score))
    return found


def _static(result: Detected) -> StaticSummary:
    assert result.static is not None
    return result.static


def _summary(
    saved: Mapping[str, masks.Mask], failed: Mapping[str, str], kinds: Sequence[str], model: Path | None
) -> dict[str, Any]:
    rows = {}
    for kind in kinds:
        of_video = [
            [event for event in mask.events if event.kind == kind and not event.id.endswith(FOUND)]
            for mask in saved.values()
        ]
        rows[kind] = {
            "events": sum(len(events) for events in of_video),
            "to_review": sum(masks.waits(e) for events in of_video for e in events),
            "seconds": round(sum(_seconds_hidden(events) for events in of_video), 3),
        }
    detector = None if "subtitle" not in kinds else model.name if model else "tophat"
    return {"videos": len(saved), "failed": dict(failed), "text_detector": detector, "kinds": rows}


def _seconds_hidden(events: Sequence[masks.Event]) -> float:
    """Time in which at least one of them hides something."""
    total, until = 0.0, -np.inf
    for event in sorted(events, key=lambda event: event.first_seconds):
        if masks.hides(event):
            total += max(0.0, event.last_seconds - max(event.first_seconds, until))
            until = max(until, event.last_seconds)
    return total


def _share_hidden(mask: masks.Mask, seconds: np.ndarray) -> float:
    """About what share of the picture is hidden, over the film."""
    at = seconds[np.linspace(0, len(seconds) - 1, SHARE_FRAMES).round().astype(int)]
    return round(1 - float(visible(mask, at, (0, 0, mask.width, mask.height), *SHARE_SIZE).mean()), 3)


def format_table(result: Mapping[str, Any], width: int = 100) -> str:
    """Return what `mask` returned as a table for a person."""
    from rich.console import Console
    from rich.table import Table

    table = Table("kind", "events", "seconds masked", "to review", title=f"masks of {result['videos']} videos")
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, row in result["kinds"].items():
        table.add_row(kind, str(row["events"]), f"{row['seconds']:.1f}", str(row["to_review"]))
    text = io.StringIO()
    console = Console(file=text, width=width)
    console.print(table)
    if result["text_detector"]:
        console.print(f"text detector: {result['text_detector']}", markup=False)
    for path, share in sorted(result["largely_hidden"].items(), key=lambda item: -item[1])[:NAMED]:
        console.print(f"largely hidden, look at it: {printable(path)}: {share:.0%} of its picture", markup=False)
    for path, message in result["failed"].items():
        console.print(f"not looked at: {printable(path)}: {message}", markup=False)
    return text.getvalue()

"""The audit of a folder of videos: every file decoded once, what each can teach, what is lost and why."""

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vidboot.data import workers
from vidboot.data.hidden import hidden_by_masks
from vidboot.data.journal import Journal
from vidboot.data.ledger import USES, WHY_UNUSED, Line, Target, Use, kept_by_filtering, ledger
from vidboot.data.locks import one_at_a_time
from vidboot.data.owner import check_apart, claim
from vidboot.data.probe import Refusal, check_readable
from vidboot.data.progress import Progress, printable, silent
from vidboot.data.records import (
    FILES,
    MEANING,
    FileRecord,
    Reason,
    Scanned,
    Shot,
    read_files,
    read_shots,
    write_jsonl,
)
from vidboot.errors import WorkFailed

__all__ = ["NoUsableVideo", "Target", "audit", "format_table", "scan", "summary"]

LINES = "views.jsonl"
"""What each shot can teach of the target that was asked for last."""
NAMED = 5
LEAST_LIMIT_SECONDS = 60.0
LIMIT_SECONDS_PER_BYTE = 5e-6


class NoUsableVideo(WorkFailed):
    """Not one file of the folder can teach anything; files.jsonl says why."""


def scan(
    videos: Path,
    work: Path,
    target: Target,
    *,
    progress: Progress = silent,
    workers: int = 2,
) -> dict[str, Any]:
    """Audit a folder and return where its seconds go: what ``vidboot scan --json`` prints.

    Args:
        videos: a folder, searched recursively, or one file; never written to.
        work: the working folder, made if missing.
        target: the video we want.
        progress: told as files are done.
        workers: processes that decode.

    Raises:
        ValueError: there is no file, ``work`` lies inside ``videos``, or another version wrote ``work``.
        OSError: ``work`` cannot be written.
        NoUsableVideo: no file can be used; the records are written all the same.
    """
    files, shots = usable(videos, work, progress=progress, workers=workers)
    lines = ledger(files, shots, target, hidden=hidden_by_masks(work / "masks"))
    write_jsonl(work / LINES, map(asdict, lines))
    return {**summary(files, lines), "work": str(work)}


def audit(
    videos: Path, work: Path, *, progress: Progress = silent, workers: int = 2
) -> tuple[list[FileRecord], list[Shot]]:
    """Decode what is new or changed since the last audit, write files.jsonl and shots.jsonl, and return both.

    Raises:
        ValueError, OSError: as ``scan``.
    """
    root, paths = _list(videos)
    check_apart(videos, work)
    work.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(work), Journal(work) as journal:
        claim(work, videos.resolve())
        done: dict[str, Scanned] = {}
        for scanned in _scan_all(root, paths, journal, workers):
            done[scanned.file.path] = scanned
            progress(len(done), len(paths), scanned.file.path)
        files = [done[path].file for path in paths]
        shots = [shot for path in paths for shot in done[path].shots]
        journal.finish(files, shots)
    return files, shots


def usable(
    videos: Path, work: Path, *, progress: Progress = silent, workers: int = 2
) -> tuple[list[FileRecord], list[Shot]]:
    """Do ``audit``, and insist that something in the folder can be used.

    Raises:
        NoUsableVideo: no file can be used; the records are written all the same.
        ValueError, OSError: as ``scan``.
    """
    files, shots = audit(videos, work, progress=progress, workers=workers)
    if not any(file.status == "usable" for file in files):
        raise NoUsableVideo(f"no usable video among the {len(files)} files of {videos}: see {work / FILES}")
    return files, shots


def summary(files: Sequence[FileRecord], lines: Sequence[Line]) -> dict[str, Any]:
    """Return the counts of files and the seconds by view, as ``vidboot scan --json`` prints them."""
    seconds = {view: round(sum((line.seconds for line in lines if line.view == view), 0.0), 3) for view in USES}
    refused = Counter(file.reason.value for file in files if file.reason is not None)
    return {
        "files": len(files),
        "usable": sum(file.status == "usable" for file in files),
        "refused": dict(sorted(refused.items())),
        "end_early": sum(file.status == "usable" and bool(file.message) for file in files),
        "seconds": {"total": round(sum(seconds.values()), 3), **seconds},
        "kept_by_filtering_seconds": round(kept_by_filtering(files, lines), 3),
    }


def format_table(work: Path, target: Target, *, width: int = 100) -> str:
    """Return the ledger of a scanned working folder for a person to read: seconds by view, what is lost and why."""
    from rich.console import Console

    files = read_files(work)
    lines = ledger(files, read_shots(work), target, hidden=hidden_by_masks(work / "masks"))
    text = io.StringIO()
    console = Console(file=text, width=width)
    console.print(_views_table(files, lines, target))
    refused = [file for file in files if file.status == "refused"]
    if refused:
        console.print(_refused_table(refused))
    short = [f"{printable(file.path)} {file.message}" for file in files if file.status == "usable" and file.message]
    for line in short[:NAMED] + [f"and {len(short) - NAMED} more end early"] * (len(short) > NAMED):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"file by file: {work / LINES}", markup=False, highlight=False, soft_wrap=True)
    return text.getvalue()


def _list(videos: Path) -> tuple[Path, list[str]]:
    if videos.is_file():
        return videos.parent, [videos.name]
    if not videos.is_dir():
        raise ValueError(f"{videos} is neither a folder nor a file")
    paths = sorted(_walk(videos, videos, set()))
    if not paths:
        raise ValueError(f"the folder {videos} is empty")
    return videos, paths


def _walk(folder: Path, root: Path, visited: set[tuple[int, int]]) -> Iterator[str]:
    """Yield the paths below ``root`` of everything that is not a folder, each folder once however links lead to it."""
    try:
        identity = folder.stat()
        if (identity.st_dev, identity.st_ino) in visited:
            return
        visited.add((identity.st_dev, identity.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield str(folder.relative_to(root))  # it is refused as unreadable, like any file
        return
    for entry in entries:
        if _is_folder(entry):
            yield from _walk(Path(entry.path), root, visited)
        else:
            yield str(Path(entry.path).relative_to(root))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _scan_all(root: Path, paths: Sequence[str], journal: Journal, worker_count: int) -> Iterator[Scanned]:
    """Yield every file: first what needs no decoding, then the rest as it is decoded."""
    tasks: list[workers.Task] = []
    status: dict[str, tuple[int, int]] = {}
    for path in paths:
        try:
            size, mtime_ns = check_readable(root / path)
        except Refusal as refusal:
            yield refusal.scanned(FileRecord(path=path, status="refused"))
            continue
        known = journal.find(path, size, mtime_ns)
        if known is not None:
            yield known
            continue
        status[path] = size, mtime_ns
        limit_seconds = LEAST_LIMIT_SECONDS + LIMIT_SECONDS_PER_BYTE * size
        arguments = (str(root), path, journal.paths_of_size(size))
        tasks.append(workers.Task("vidboot.data.probe:probe", arguments, limit_seconds))
    for outcome in workers.run(tasks, worker_count):
        path = outcome.task.arguments[1]
        scanned = _scanned(outcome, journal, path, *status[path])
        journal.append(scanned)
        yield scanned


def _scanned(outcome: workers.Outcome, journal: Journal, path: str, size: int, mtime_ns: int) -> Scanned:
    if isinstance(outcome.result, str):
        return journal.moved(outcome.result, path, size, mtime_ns)
    if outcome.result is not None:
        return outcome.result
    assert outcome.death is not None, f"no result for {path}"
    record = FileRecord(path=path, status="refused", size=size, mtime_ns=mtime_ns)
    return Scanned(replace(record, reason=Reason(outcome.death.value), message=outcome.message))


def _views_table(files: Sequence[FileRecord], lines: Sequence[Line], target: Target) -> Any:
    from rich.table import Table

    usable = sum(file.status == "usable" for file in files)
    table = Table("view", "seconds", "shots", "why", title=f"{usable} of {len(files)} files usable, target {target}")
    for column in table.columns[1:3]:
        column.justify = "right"
    for (view, reason), group in _grouped(lines):
        why = f"{reason}: {WHY_UNUSED[reason]}" if view == "unused" else reason
        shots = sum(line.shot is not None for line in group)
        table.add_row(view, f"{sum(line.seconds for line in group):.1f}", str(shots), why)
    table.add_section()
    table.add_row("total", f"{sum(line.seconds for line in lines):.1f}", "", "")
    table.add_row("filtering keeps", f"{kept_by_filtering(files, lines):.1f}", "", "full, clean shots of sound files")
    return table


def _grouped(lines: Sequence[Line]) -> list[tuple[tuple[Use, str], list[Line]]]:
    groups: dict[tuple[Use, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.view, line.reason), []).append(line)
    return sorted(groups.items(), key=lambda item: (USES.index(item[0][0]), item[0][1]))


def _refused_table(refused: Sequence[FileRecord]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("refused", "files", "meaning", "for example")
    by_reason: dict[Reason, list[str]] = {}
    for file in refused:
        if file.reason is not None:
            by_reason.setdefault(file.reason, []).append(file.path)
    for reason, paths in sorted(by_reason.items()):
        table.add_row(reason.value, str(len(paths)), MEANING[reason], escape(printable(paths[0])))
    return table

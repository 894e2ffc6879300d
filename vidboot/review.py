"""The masks of a folder: what a person decided of them, and the page that asks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidboot import decisions, masks
from vidboot.data.locks import one_at_a_time
from vidboot.data.progress import Progress, silent
from vidboot.report.review import write_page
from vidboot.report.strips import cards


def apply_decisions(work: Path, path: Path) -> dict[str, Any]:
    """Merge a decisions file into the mask files of a working folder, all of it or nothing; idempotent.

    Returns:
        Counts: ``decisions``, ``videos``, and ``changed`` mask files.

    Raises:
        ValueError: the file is no decisions file, or decides on a video or an event that the folder has no mask of.
        OSError: a mask file cannot be written.
    """
    by_video = decisions.read(path)
    if not (work / "masks").is_dir():
        raise ValueError(f"{work} has no masks to apply {path} to: vidboot mask makes them")
    with one_at_a_time(work / "masks"):
        changed = _apply(work, path, by_video)
    return {"decisions": sum(map(len, by_video.values())), "videos": len(by_video), "changed": changed}


def _apply(work: Path, path: Path, by_video: Mapping[str, Sequence[decisions.Decision]]) -> int:
    """Write the masks that decisions change, and return how many those are."""
    changed: dict[Path, masks.Mask] = {}
    for sha256, of_video in by_video.items():
        file = masks.mask_path(work / "masks", sha256)
        if not file.is_file():
            raise ValueError(f"{path} decides on the video {sha256[:12]}…, of which {work} has no mask")
        mask = masks.load(file, sha256=sha256)
        try:
            after = decisions.applied(mask, of_video)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if after != mask:
            changed[file] = after
    if changed:
        _replace_all(work / "masks", changed)
    return len(changed)


def _replace_all(folder: Path, changed: dict[Path, masks.Mask]) -> None:
    """Write all events beside the old ones before the first takes its place; decisions leave the layers as they are."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".applying.") as aside:
        for file, mask in changed.items():
            masks.save(Path(aside) / file.name, mask)
        for file in changed:
            os.replace(Path(aside) / file.name, file)


def write_review(
    videos: Path, work: Path, page: Path, *, progress: Progress = silent, workers: int = 2
) -> dict[str, Any]:
    """Write the page on which a person reviews every event of a working folder's masks.

    Args:
        videos: the folder, or the one file, that was scanned.
        work: its working folder, with ``files.jsonl`` and ``masks``.
        page: the HTML file.
        progress: told as videos are read.
        workers: processes that decode.

    Returns:
        Counts: ``events`` on the page, ``videos`` with events, and ``unread``, the videos whose frames could not be
        read, with the cause.

    Raises:
        ValueError: ``page`` cannot be written, or a mask file is broken.
    """
    shown, unread = cards(videos, work, progress=progress, worker_count=workers)
    write_page(page, shown, title=f"Marks in {videos.resolve().name}")
    return {"page": str(page), "events": len(shown), "videos": len({card.sha256 for card in shown}), "unread": unread}

"""Verbs on a folder of which what is new is scanned first.

Imports lie within, as the command line's do: who looks for masks does not wait for torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidboot.data.owner import check_apart
from vidboot.data.progress import on_stderr
from vidboot.terminal import report_line

if TYPE_CHECKING:
    from vidboot.config import Config


def find_masks(videos: Path, work: Path, kinds: str | None, text_model: Path | None) -> tuple[dict[str, Any], str]:
    """Scan what is new, then find; return the numbers, and a table of them."""
    from vidboot import mask as verb
    from vidboot import scan as audit
    from vidboot.corruption.ocr import find_model

    chosen = verb.check_kinds(verb.KINDS if kinds is None else kinds.split(","))
    with on_stderr("scan") as progress:
        audit.usable(videos, work, progress=progress)
    with on_stderr("mask") as progress:
        result = verb.mask(videos, work, kinds=chosen, text_model=text_model or find_model(), progress=progress)
    return result, verb.format_table(result)


def train(videos: Path, out: Path, config: Config, work: Path) -> dict[str, Any]:
    """Scan what is new, then train."""
    from vidboot import scan as audit
    from vidboot import train as verb
    from vidboot.device import device_of

    check_apart(videos, out)
    verb.check_out(out)
    device_of(config)  # one that is not here is told before the work
    with on_stderr("scan") as progress:
        files, shots = audit.usable(videos, work, progress=progress)
    folder = verb.Folder(videos, work, files, shots)
    run = verb.train(folder, out, config, report=report_line, caching=on_stderr("cache"))
    return {
        "run": str(out),
        "stages": list(run.trained()),
        "videos": len(run.record["videos"]),
        "precision": run.record["precision"],
        "lacking": verb.lacking(run),
    }

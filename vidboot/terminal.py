"""How results, progress and errors reach a person at a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from vidboot.errors import DISK_FULL, WorkFailed
from vidboot.plain import plain


@contextmanager
def told() -> Iterator[None]:
    """Turn what a person can mend into one sentence and an exit code: 2 the call was wrong, 1 the work failed."""
    try:
        yield
    except ValueError as error:
        _stop(2, str(error))
    except WorkFailed as error:
        _stop(1, str(error))
    except OSError as error:
        _stop(1, _os_sentence(error))
    except KeyboardInterrupt:
        _stop(130, "interrupted; run the same command again to go on")


def _os_sentence(error: OSError) -> str:
    if error.errno in DISK_FULL:
        return "the disk or your share of it is full: make room and run this again; what was finished is kept"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _stop(code: int, sentence: str) -> None:
    print(f"vidboot: {sentence}", file=sys.stderr)
    raise typer.Exit(code)


def show(result: dict[str, Any], as_json: bool, text: Callable[[], str]) -> None:
    """Print what a verb returns, as one JSON object or as text."""
    print(json.dumps(plain(result)) if as_json else text())


def report_line(row: dict[str, Any]) -> None:
    """Print a row of metrics.jsonl on stderr."""
    held_out = f"held-out {row['held_out_loss']:.4f}  " if "held_out_loss" in row else ""
    leak = f"leak {row['leak_score']:.3f}  " if "leak_score" in row else ""
    on_gpu = f", {row['peak_gpu_memory_mb']:.0f} MB of the GPU" if "peak_gpu_memory_mb" in row else ""
    # In one piece: two stages train at once.
    sys.stderr.write(
        f"{row['stage']:<18} {row['step']:>6}/{row['steps']}  loss {row['train_loss']:.4f}  {held_out}{leak}"
        f"{row['ms_per_step']:.0f} ms/step  data wait {row['data_wait_percent']:.0f} %  "
        f"eta {row['eta_seconds']:.0f} s  peak {row['peak_memory_mb']:.0f} MB{on_gpu}\n"
    )

"""The run directory: what a training leaves behind, written so that a kill at any moment loses at most a few steps.

run.json            schema version, the resolved settings, the data's mean
STAGE/checkpoint.safetensors   net, average and optimizer at one step, while the stage runs
STAGE/weights.safetensors      the averaged weights, once the stage is done
metrics.jsonl       a line per report
samples/            pictures made on the way
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidboot.errors import DISK_FULL, WorkFailed
from vidboot.files import replacing, write_text

SCHEMA = 5


class Run:
    """A run directory.

    Raises:
        ValueError: the directory holds something else, or a run of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._metrics_lock = threading.Lock()
        if not (path / "run.json").is_file():
            raise ValueError(f"{path} is not a run directory: it holds no run.json (vidboot train makes one)")
        try:
            self.record: dict[str, Any] = json.loads((path / "run.json").read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path / 'run.json'} is not valid JSON: {error}") from None
        schema = self.record.get("schema") if isinstance(self.record, dict) else None
        if schema != SCHEMA:
            raise ValueError(f"{path} is a run of schema {schema}; this vidboot reads schema {SCHEMA}")

    @classmethod
    def create(cls, path: Path, record: Mapping[str, Any]) -> Run:
        """Make the directory and its ``run.json``.

        Raises:
            ValueError: the path exists and is neither empty nor a run, or cannot be written.
        """
        make(path)
        check_empty(path)
        write_text(path / "run.json", json.dumps({"schema": SCHEMA, **record}, indent=1))
        return cls(path)

    @property
    def work(self) -> Path:
        """The working folder of the videos it was trained on.

        Raises:
            ValueError: ``run.json`` does not tell.
        """
        if "cache" not in self.record:
            raise ValueError(f"{self.path / 'run.json'} lacks cache")
        return Path(self.record["cache"]).parent

    def weights(self, stage: str) -> Path:
        return self.path / stage / "weights.safetensors"

    def checkpoint(self, stage: str) -> Path:
        return self.path / stage / "checkpoint.safetensors"

    def done(self, stage: str) -> bool:
        return self.weights(stage).is_file()

    def trained(self) -> dict[str, int]:
        """Name each trained stage, and when its weights were written, ns: others are another model."""
        weights = sorted(self.path.glob("*/weights.safetensors"))
        return {path.parent.name: path.stat().st_mtime_ns for path in weights}

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``."""
        with self._metrics_lock, open(self.path / "metrics.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of ``metrics.jsonl``; a half-written last line is left out."""
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text().split("\n")[:-1]]

    def forget(self, stage: str, after_step: int) -> None:
        """Drop the stage's lines of ``metrics.jsonl`` after a step: they will be written again."""
        with self._metrics_lock:
            rows = [row for row in self.metrics() if row["stage"] != stage or row["step"] <= after_step]
            write_text(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def begun(path: Path) -> bool:
    """Whether a run was begun in a directory."""
    return (path / "run.json").is_file()


def make(path: Path) -> Path:
    """Make a run's directory, if it is not there.

    Raises:
        ValueError: it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        NamedTemporaryFile(dir=path, prefix=".").close()
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise ValueError(f"cannot write the folder {path}: {error.strerror}") from error
    return path


def check_empty(path: Path, lacks: str = "run") -> None:
    """Raise ValueError if anything lies in a folder but hidden files: a lock, half-written ones, a desktop's notes."""
    if any(entry.name[0] != "." for entry in path.iterdir()):
        raise ValueError(f"{path} is not empty and holds no {lacks}")


def make_for(work: str, path: Path) -> Path:
    """Make the folder of a ``work`` of many parts, or know it again.

    Raises:
        ValueError: it cannot be written, or holds something else, which would be written over.
    """
    sign = make(path) / f".{work}"
    if not sign.exists():
        check_empty(path, work)
        sign.touch()
    return path


def save_tensors(path: Path, tensors: Mapping[str, Tensor], **facts: Any) -> None:
    """Write tensors and a few facts (JSON) as one safetensors file, as a whole or not at all.

    Raises:
        OSError: it cannot be written, as when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        try:
            save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary, {"facts": json.dumps(facts)})
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_tensors`` wrote: the tensors, on the CPU, and the facts.

    Raises:
        WorkFailed: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise WorkFailed(f"{path} is damaged: delete it, and vidboot train makes it anew") from error

"""Sampled video lives on disk: any length fits in memory, and what was broken off goes on where it was."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from vidboot.data.locks import alone
from vidboot.files import write_text


class Disk:
    """A store in a file: float32 frames of one video, [1, T, C, H, W], zero at first unless those there are kept."""

    def __init__(
        self, path: Path, frames: int, shape: tuple[int, int, int], device: torch.device, *, keep: bool = False
    ) -> None:
        self.frames = frames
        self._shape = shape
        self._bytes = 4 * shape[0] * shape[1] * shape[2]
        self._device = device
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | (0 if keep else os.O_TRUNC), 0o600)
        os.posix_fallocate(self._file, 0, frames * self._bytes)

    def read(self, first: int, last: int) -> Tensor:
        content = bytearray((last - first) * self._bytes)
        read = os.preadv(self._file, [content], first * self._bytes)
        assert read == len(content), f"frames [{first}, {last}) of {self.frames} are not all there"
        video = torch.frombuffer(content, dtype=torch.float32).view(1, last - first, *self._shape)
        return video.to(self._device)

    def write(self, first: int, part: Tensor) -> None:
        content = part.float().cpu().contiguous().numpy().tobytes()
        written = os.pwrite(self._file, content, first * self._bytes)
        assert written == len(content), f"frames from {first} of {self.frames} were not all written"

    def close(self) -> None:
        os.close(self._file)


class Unfinished:
    """The folder of a video that is being sampled, and how many parts of the work are done.

    A kill costs the part it interrupts. What stopped before the first was done is begun anew.

    Raises:
        ValueError: another video is under way there.
    """

    def __init__(self, folder: Path, video: Mapping[str, object]) -> None:
        self.folder = folder
        self._video = video
        self._state = folder / "state.json"
        state = json.loads(self._state.read_text()) if self._state.is_file() else {}
        self.begun = state.get("video") == video  # and there is something to go on with
        if state and not self.begun and state["done"]:
            other = ", ".join(sorted(key for key in video if state["video"].get(key) != video[key]))
            raise ValueError(
                f"{folder} holds {state['done']} parts, done, of another video (another {other}): the call that began "
                "it ends it; delete that folder to give it up, or use another --out"
            )
        self.done: int = state["done"] if self.begun else 0
        if not self.begun:
            for left in folder.glob("[!.]*"):  # all but the lock
                left.unlink()

    @classmethod
    @contextmanager
    def beside(cls, out: Path, video: Mapping[str, object], *, does: str) -> Iterator[Unfinished]:
        """Open the folder that belongs to a file; it stays only if there is something to go on with.

        Args:
            out: the file.
            video: what tells it from others, as JSON.
            does: what no other process may do meanwhile, e.g. "generates".

        Raises:
            ValueError: another process does.
        """
        folder = out.resolve().parent / f".{out.name}.sampling"
        folder.mkdir(exist_ok=True)
        with alone(folder, f"{does} {out}"):
            unfinished = cls(folder, video)
            try:
                yield unfinished
                unfinished.begun = False
            finally:
                if not unfinished.begun:
                    shutil.rmtree(folder)

    def went(self, done: int) -> None:
        """Note that so many parts are done."""
        write_text(self._state, json.dumps({"video": self._video, "done": done}))
        self.begun, self.done = True, done

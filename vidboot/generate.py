"""From a run to a video file: any number of frames, encoded as they come.

The noisy video lives on disk while it is sampled, so neither the accelerator's memory nor the resident set grows with
its length, and a run that was broken off goes on where it was.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from vidboot.build import Model, Policy, device_of
from vidboot.data.encode import VideoWriter, check_writable, to_uint8
from vidboot.noise import normal_like_frames
from vidboot.run import Run, alone, write_text
from vidboot.sampler import Memory, heun_stream

WRITE_FRAMES = 16
"""Frames of noise drawn at a time."""

Progress = Callable[[int, int, str], None]
"""(done, total, what)"""


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


class _Unfinished:
    """The folder of a video that is being sampled, and how many sweeps over it are done.

    A kill costs the sweep it interrupts. What stopped before the first sweep, or makes another video, is begun anew.
    """

    def __init__(self, folder: Path, video: Mapping[str, object]) -> None:
        self.folder = folder
        self._video = video
        self._state = folder / "state.json"
        state = json.loads(self._state.read_text()) if self._state.is_file() else {}
        self.begun = state.get("video") == video  # and there is something to go on with
        self.done: int = state["done"] if self.begun else 0
        if not self.begun:
            self._state.unlink(missing_ok=True)

    @classmethod
    @contextmanager
    def beside(cls, out: Path, video: Mapping[str, object]) -> Iterator[_Unfinished]:
        """Open the folder that belongs to a file; it stays only if there is something to go on with."""
        folder = out.resolve().parent / f".{out.name}.sampling"
        folder.mkdir(exist_ok=True)
        with alone(folder, f"generates {out}"):
            unfinished = cls(folder, video)
            try:
                yield unfinished
                unfinished.begun = False
            finally:
                if not unfinished.begun:
                    shutil.rmtree(folder)

    def stores(self, frames: int, shape: tuple[int, int, int], device: torch.device) -> tuple[Disk, Disk, Disk]:
        y, ahead, after = (
            Disk(self.folder / name, frames, shape, device, keep=self.begun) for name in ("y", "ahead", "after")
        )
        return y, ahead, after

    def went(self, done: int) -> None:
        """Note that so many sweeps are done."""
        write_text(self._state, json.dumps({"video": self._video, "done": done}))
        self.begun, self.done = True, done


def generate(
    run_path: Path,
    out: Path,
    *,
    frames: int,
    policy: Policy = "full",
    seed: int = 0,
    progress: Progress = lambda done, total, what: None,
) -> dict[str, object]:
    """Sample a video of any length and write it as an mp4; broken off, the same call goes on.

    Args:
        run_path: a trained run.
        out: the file; its folder also holds the noisy video meanwhile, 12 bytes a value.
        frames: length of the video.
        policy: which of the run's nets make it.
        seed: the same seed gives the same video.
        progress: told after each sweep over the video.

    Returns:
        What ``vidboot generate --json`` prints.

    Raises:
        ValueError: ``frames`` is not positive, the run is not trained for the policy, ``out`` cannot be written, or
            another process makes it.
    """
    if frames < 1:
        raise ValueError(f"{frames = } must be at least 1")
    check_writable(out)
    run = Run(run_path)
    model = Model(run)
    video = model.config.video
    sigmas = model.config.sampler.sigmas()
    length = model.length(policy, frames)
    stream = model.stream(policy, length)
    sweeps, shape = 2 * len(sigmas) - 3, (3, video.height, video.width)
    identity = {"weights": run.trained(), "sigmas": sigmas.tolist(), "length": length, "policy": policy, "seed": seed}

    with _Unfinished.beside(out, identity) as unfinished, torch.no_grad():
        stores = unfinished.stores(length, shape, device_of(model.config))
        for first in () if unfinished.begun else range(0, length, WRITE_FRAMES):
            last = min(first + WRITE_FRAMES, length)
            noise = normal_like_frames((1, *shape), seed=seed, first=first, last=last)
            stores[0].write(first, model.parts.mean.view(3, 1, 1) + sigmas[0].item() * noise)
        unfinished.went(unfinished.done)

        def on_sweep() -> None:
            unfinished.went(unfinished.done + 1)
            progress(unfinished.done, sweeps, "sweeps over the video")

        with VideoWriter(out, video.width, video.height, video.fps) as writer:
            written = 0
            for part in heun_stream(stream, stores, sigmas, on_sweep, done=unfinished.done):
                kept = part[0, : frames - written].cpu()
                if len(kept):
                    writer.write(to_uint8(kept))
                written += len(kept)
        for store in stores:
            store.close()
    return {"video": str(out), "frames": frames, "fps": video.fps, "policy": policy, "seed": seed}


@torch.no_grad()
def sample(model: Model, policy: Policy, *, videos: int, frames: int, seed: int, batch: int = 8) -> Iterator[Tensor]:
    """Sample videos in memory, ``batch`` at a time: parts [batch, frames, 3, H, W], clipped to [-1, 1]."""
    video, sigmas = model.config.video, model.config.sampler.sigmas()
    length = model.length(policy, frames)
    stream = model.stream(policy, length)
    device = device_of(model.config)
    for first in range(0, videos, batch):
        B = min(batch, videos - first)
        noise = [
            normal_like_frames((1, 3, video.height, video.width), seed=seed + first + i, first=0, last=length)
            for i in range(B)
        ]
        y = model.parts.mean.view(3, 1, 1) + sigmas[0].float() * torch.cat(noise)
        noisy, ahead = Memory(y.to(device)), Memory(torch.empty_like(y, device=device))
        parts = heun_stream(stream, (noisy, ahead, noisy), sigmas)
        yield torch.cat(list(parts), 1)[:, :frames].clamp(-1, 1).cpu()

"""From a run to a video file: any number of frames, encoded as they come.

The noisy video lives on disk while it is sampled, so neither the accelerator's memory nor the resident set grows with
its length.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from vidboot.build import Model, Policy, device_of
from vidboot.data.encode import VideoWriter, check_writable, to_uint8
from vidboot.noise import normal_like_frames
from vidboot.run import Run
from vidboot.sampler import Memory, heun_stream

WRITE_FRAMES = 16
"""Frames of noise drawn at a time."""

Progress = Callable[[int, int, str], None]
"""(done, total, what)"""


class Disk:
    """A store in a file: float32 frames of one video, [1, T, C, H, W]."""

    def __init__(self, path: Path, frames: int, shape: tuple[int, int, int], device: torch.device) -> None:
        self.frames = frames
        self._shape = shape
        self._bytes = 4 * shape[0] * shape[1] * shape[2]
        self._device = device
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
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


def generate(
    run_path: Path,
    out: Path,
    *,
    frames: int,
    policy: Policy = "full",
    seed: int = 0,
    progress: Progress = lambda done, total, what: None,
) -> dict[str, object]:
    """Sample a video of any length and write it as an mp4.

    Args:
        run_path: a trained run.
        out: the file; its folder also holds the noisy video meanwhile, 8 bytes a value.
        frames: length of the video.
        policy: which of the run's nets make it.
        seed: the same seed gives the same video.
        progress: told after each sweep over the video.

    Returns:
        What ``vidboot generate --json`` prints.

    Raises:
        ValueError: ``frames`` is not positive, the run is not trained for the policy, or ``out`` cannot be written.
    """
    if frames < 1:
        raise ValueError(f"{frames = } must be at least 1")
    check_writable(out)
    model = Model(Run(run_path))
    video = model.config.video
    sigmas = model.config.sampler.sigmas()
    length = model.length(policy, frames)
    stream = model.stream(policy, length)
    device = device_of(model.config)
    sweeps, done = 2 * len(sigmas) - 3, 0

    def on_sweep() -> None:
        nonlocal done
        done += 1
        progress(done, sweeps, "sweeps over the video")

    with tempfile.TemporaryDirectory(dir=out.resolve().parent, prefix=f".{out.name}.") as folder, torch.no_grad():
        stores = [Disk(Path(folder) / name, length, (3, video.height, video.width), device) for name in ("y", "ahead")]
        for first in range(0, length, WRITE_FRAMES):
            last = min(first + WRITE_FRAMES, length)
            noise = normal_like_frames((1, 3, video.height, video.width), seed=seed, first=first, last=last)
            stores[0].write(first, model.parts.mean.view(3, 1, 1) + sigmas[0].item() * noise)
        with VideoWriter(out, video.width, video.height, video.fps) as writer:
            written = 0
            for part in heun_stream(stream, (stores[0], stores[1]), sigmas, on_sweep):
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
        y = y.to(device)
        parts = heun_stream(stream, (Memory(y), Memory(torch.empty_like(y))), sigmas)
        yield torch.cat(list(parts), 1)[:, :frames].clamp(-1, 1).cpu()

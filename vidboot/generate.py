"""From a run to a video file: any number of frames, encoded as they come.

The noisy video lives on disk while it is sampled, so neither the accelerator's memory nor the resident set grows with
its length, and a run that was broken off goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from vidboot.build import Model, Policy
from vidboot.data.encode import VideoWriter, check_mp4, to_uint8
from vidboot.disk import Disk, Unfinished
from vidboot.memory import give_back
from vidboot.noise import normal_like_frames
from vidboot.run import Run
from vidboot.sampler import Memory, heun_stream

WRITE_FRAMES = 16
"""Frames of noise drawn at a time."""

Progress = Callable[[int, int, str], None]
"""(done, total, what)"""


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
    check_mp4(out)
    run = Run(run_path)
    model = Model(run)
    video = model.config.video
    sigmas = model.config.sampler.sigmas()
    length = model.length(policy, frames)
    stream = model.stream(policy, length)
    sweeps, shape = 2 * len(sigmas) - 3, (3, video.height, video.width)
    identity = {"weights": run.trained(), "sigmas": sigmas.tolist(), "length": length, "policy": policy, "seed": seed}

    with Unfinished.beside(out, identity, does="generates") as unfinished, torch.no_grad():
        device, begun = model.device, unfinished.begun
        y, ahead, after = (
            Disk(unfinished.folder / name, length, shape, device, keep=begun) for name in ("y", "ahead", "after")
        )
        for first in () if begun else range(0, length, WRITE_FRAMES):
            last = min(first + WRITE_FRAMES, length)
            noise = normal_like_frames((1, *shape), seed=seed, first=first, last=last)
            y.write(first, model.parts.mean.view(3, 1, 1) + sigmas[0].item() * noise)
        unfinished.went(unfinished.done)

        def on_sweep() -> None:
            unfinished.went(unfinished.done + 1)
            give_back()  # pieces of the heap that lie idle would add up over a long video
            progress(unfinished.done, sweeps, "sweeps over the video")

        with VideoWriter(out, video.width, video.height, video.fps) as writer:
            written = 0
            for part in heun_stream(stream, (y, ahead, after), sigmas, on_sweep, done=unfinished.done):
                kept = part[0, : frames - written].cpu()
                if len(kept):
                    writer.write(to_uint8(kept))
                written += len(kept)
        for store in (y, ahead, after):
            store.close()
    return {"video": str(out), "frames": frames, "fps": video.fps, "policy": policy, "seed": seed}


@torch.no_grad()
def sample(model: Model, policy: Policy, *, videos: int, frames: int, seed: int, batch: int = 8) -> Iterator[Tensor]:
    """Sample videos in memory, ``batch`` at a time: parts [batch, frames, 3, H, W], clipped to [-1, 1]."""
    video, sigmas = model.config.video, model.config.sampler.sigmas()
    length = model.length(policy, frames)
    stream = model.stream(policy, length)
    device = model.device
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

"""From a run to a video file: any number of frames, encoded as they come.

The noisy video lives on disk while it is sampled, so neither the accelerator's memory nor the resident set grows with
its length, and a run that was broken off goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from vidboot.build import Model
from vidboot.data.encode import VideoWriter, check_mp4, to_uint8
from vidboot.data.progress import Progress, silent
from vidboot.disk import Disk, Unfinished
from vidboot.memory import give_back
from vidboot.noise import level_noise
from vidboot.policy import Policy
from vidboot.run import Run
from vidboot.sampler import memory_stores, sde_stream

WRITE_FRAMES = 16
"""Frames of noise drawn at a time."""


def generate(
    run_path: Path,
    out: Path,
    *,
    frames: int,
    policy: Policy = Policy.full,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, object]:
    """Sample a video of any length and write it as an mp4; broken off, the same call goes on.

    Args:
        run_path: a trained run.
        out: the file; its folder also holds the noisy video meanwhile, 16 bytes a value.
        frames: length of the video.
        policy: which of the run's nets make it; ``full``: all there are.
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
    video, sampler, policy = model.config.video, model.config.sampler, model.made_by(policy)
    sigmas, length = sampler.sigmas(), model.length(policy, frames)
    stream = model.stream(policy, length)
    sweeps, shape = len(sigmas) - 1, (3, video.height, video.width)
    noise = level_noise((1, *shape), seed)
    identity = {"weights": [*map(list, run.trained().items())], "sampler": sampler.model_dump()}
    identity |= {"length": length, "policy": policy, "seed": seed}
    with Unfinished.beside(out, identity, does="generates") as unfinished, torch.no_grad():
        device, begun = model.device, unfinished.begun
        y, after, D_before, D_now = (
            Disk(unfinished.folder / name, length, shape, device, keep=begun)
            for name in ("y", "after", "D_before", "D_now")
        )
        stores = y, after, D_before, D_now
        for first in () if begun else range(0, length, WRITE_FRAMES):
            last = min(first + WRITE_FRAMES, length)
            y.write(first, model.parts.mean.view(3, 1, 1) + sigmas[0].item() * noise(0, first, last))
        unfinished.went(unfinished.done)
        swept = unfinished.done

        def on_sweep() -> None:
            nonlocal swept
            swept += 1
            unfinished.went(min(swept, sweeps - 1))  # the last goes into the file, and not into a store
            give_back()  # pieces of the heap that lie idle would add up over a long video
            progress(swept, sweeps, "sweeps over the video")

        with VideoWriter(out, video.width, video.height, video.fps) as writer:
            written = 0
            for part in sde_stream(stream, stores, sigmas, noise, on_sweep, fresh=sampler.fresh, done=swept):
                kept = part[0, : frames - written].cpu()
                if len(kept):
                    writer.write(to_uint8(kept))
                written += len(kept)
        for store in stores:
            store.close()
    return {"video": str(out), "frames": frames, "fps": video.fps, "policy": policy, "seed": seed}


@torch.no_grad()
def sample(model: Model, policy: Policy, *, videos: int, frames: int, seed: int, batch: int = 8) -> Iterator[Tensor]:
    """Sample videos in memory, ``batch`` at a time: parts [batch, frames, 3, H, W], clipped to [-1, 1].

    Number i is what ``generate`` makes with ``seed + i``, so near seeds share videos.
    """
    video, sampler = model.config.video, model.config.sampler
    sigmas, length = sampler.sigmas(), model.length(policy, frames)
    stream = model.stream(policy, length)
    for start in range(0, videos, batch):
        seeds = range(seed + start, seed + min(start + batch, videos))
        noise = level_noise((1, 3, video.height, video.width), *seeds)
        y = model.parts.mean.view(3, 1, 1) + sigmas[0].float() * noise(0, 0, length)
        parts = sde_stream(stream, memory_stores(y.to(model.device)), sigmas, noise, fresh=sampler.fresh)
        yield torch.cat(list(parts), 1)[:, :frames].clamp(-1, 1).cpu()

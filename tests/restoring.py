"""A clip with a mark, its mask, and a run that fills it."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from command import vidboot

from vidboot import config as settings
from vidboot import masks
from vidboot.build import Model, Parts, low_res_stage
from vidboot.data.encode import save_video
from vidboot.inpaint import Filler, schedule
from vidboot.masks import Event, Mask
from vidboot.policy import Policy
from vidboot.run import Run, save_tensors

RED, FPS = (200, 30, 30), 8


def untrained(path: Path) -> Path:
    """Make a run whose nets were never trained, but answer with more than nothing."""
    config = settings.read(preset="smoke")
    record = {
        "config": config.model_dump(mode="json"),
        "precision": "float32",
        "mean": [0.1, 0.0, -0.1],
        "spread": 0.15,
        "clip_frames": config.clip.window,
    }
    run = Run.create(path, {**record, "data": "", "cache": "", "sharp": []})
    parts = Parts.of(run)
    for stage, module in {low_res_stage(0): parts.low_res(0), "clip": parts.clip()}.items():
        generator = torch.Generator().manual_seed(0)
        for parameter in module.parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
        save_tensors(run.weights(stage), module.state_dict())
    return path


def filler(run: Path, **how: Any) -> Filler:
    return Filler(Model(Run(run)), Policy.full, schedule(3).sigmas(), **how)


def decoded(path: Path) -> tuple[np.ndarray, list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return pixels, [float(frame.time or 0) for frame in frames]


def clip(folder: Path, *, frames: int = 30, width: int = 40, height: int = 24, fps: float = FPS) -> tuple[Path, Mask]:
    """Write noise with a red box over frames 10 to 19, and its mask, and return both."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 190, (1, height // 4, width // 4, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    shown = np.repeat(pixels, frames, 0)
    box = (width // 4, height // 3, 3 * width // 4, 5 * height // 6)
    shown[10:20, box[1] : box[3], box[0] : box[2]] = RED
    path = folder / "clip.mp4"
    save_video(path, shown, fps, crf=1, pix_fmt="yuv444p")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    event = Event(id="m", kind="mark", first_seconds=10 / fps, last_seconds=19 / fps, box=box)
    mask = Mask(sha256, width, height, (event,))
    masks.save(folder / "masks" / f"{sha256}.json", mask)
    return path, mask


def call(run: Path, folder: Path, *more: object) -> Any:
    where = ("--video", folder / "clip.mp4", "--out", folder / "out.mp4", "--masks", folder / "masks")
    return vidboot("restore", run, *where, "--steps", 3, "--json", *more)


def move(mask: Mask, path: Path) -> None:
    """Make it the mask of a clip that was changed."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    masks.save(path.parent / "masks" / f"{sha256}.json", replace(mask, sha256=sha256))

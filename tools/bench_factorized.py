"""Attention factorized in space and time, or joint over all tokens: which net is better after the same time?

The tiny preset's clip net (blocks that attend in space and in time by turns) and the same net with every block joint
are trained on procedural clips (8 frames of 32x32, drawn afresh from one set of scenes, in memory) with the preset's
optimizer, noise levels, batch and average of weights, each for ``--seconds`` of its own training time: wall time, or
CPU time of the process with ``--cpu-time``, which other programs disturb less. The nets of one seed take turns step by
step, the one that has used less time going next, so that a busy machine slows both alike. Learning rates follow the
share of time that has gone. At the end the averaged weights are measured on unseen scenes: weighted denoising loss,
mean over noise levels. Reading data and measuring are not counted.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from vidboot import config as configs
from vidboot import synthetic
from vidboot.config import Config
from vidboot.denoiser import NetDenoiser
from vidboot.device import faster_precision
from vidboot.losses import HELD_OUT_SIGMAS, Batch, held_out_losses, view_loss
from vidboot.nets.factorized import FactorizedNet, NetConfig
from vidboot.optim import Optimizer

PRECISION = getattr(torch, faster_precision(torch.device("cpu")))
SCENE_FRAMES = 16
HELD_OUT_CLIPS = 64
FIRST_HELD_OUT = 1_000_000
COURSE = 1_000_000
"""Steps into which the course of the learning rates is divided, whatever the number of real ones."""


def clips(first: int, count: int, frames: int) -> Tensor:
    """Render scenes as uint8 video, [count, frames, 3, 32, 32]."""
    videos = [synthetic.video(0, first + i, frames=frames)[0] for i in range(count)]
    return torch.stack([torch.from_numpy(video) for video in videos]).permute(0, 1, 4, 2, 3)


def batch_of(video: Tensor, fps: float) -> Batch:
    """Make a batch of uint8 video, [B, T, C, H, W]."""
    B, T = video.shape[:2]
    return Batch(video.float() / 127.5 - 1, (torch.arange(T) / fps).expand(B, T))


class Learner:
    """One net in training, and the time it has used."""

    def __init__(self, net: NetConfig, config: Config, data: Tensor, *, seed: int, clock: Callable[[], float]) -> None:
        self.config, self.data, self.clock = config, data, clock
        torch.manual_seed(seed)
        colour = data.float().mean((0, 1, 3, 4)) / 127.5 - 1
        self.model = NetDenoiser(FactorizedNet(net), colour, precision=PRECISION)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimizer = Optimizer(self.model, config.clip.train.optim, precision=PRECISION)
        self.generator = torch.Generator().manual_seed(seed)
        self.steps, self.used = 0, 0.0

    def step(self, seconds: float) -> None:
        """Do one step of a training that ends once ``seconds`` are used."""
        train, batch = self.config.clip.train, self._draw()
        sigma = train.sigma.draw(train.batch, self.generator)
        noise = torch.randn(batch.video.shape, generator=self.generator)
        began = self.clock()
        view_loss(self.model, batch, sigma, noise).backward()
        # The rise is counted in steps, the fall in time.
        gone = min(int(COURSE * self.used / seconds), COURSE - 1)
        self.optimizer.step(self.steps if self.steps < train.optim.warmup else max(gone, train.optim.warmup), COURSE)
        memory = min(train.ema, (self.steps + 1) / (self.steps + 10))
        with torch.no_grad():
            for a, p in zip(self.average.parameters(), self.model.parameters(), strict=True):
                a.lerp_(p, 1 - memory)
        self.used += self.clock() - began
        self.steps += 1

    def _draw(self) -> Batch:
        window, B = self.config.clip.window, self.config.clip.train.batch
        which = torch.randint(len(self.data), (B,), generator=self.generator)
        first = torch.randint(SCENE_FRAMES - window + 1, (B,), generator=self.generator)
        video = [self.data[i, f : f + window] for i, f in zip(which.tolist(), first.tolist(), strict=True)]
        return batch_of(torch.stack(video), self.config.video.fps)


def compare(config: Config, data: Tensor, held_out: Batch, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train both nets from one seed and measure them."""
    net = config.clip.net
    kinds = {"factorized": net, "joint": net.model_copy(update={"blocks": ("joint",) * len(net.blocks)})}
    clock = time.process_time if args.cpu_time else time.perf_counter
    learners = {name: Learner(kind, config, data, seed=seed, clock=clock) for name, kind in kinds.items()}
    while (least := min(learners.values(), key=lambda learner: learner.used)).used < args.seconds:
        least.step(args.seconds)
    row: dict[str, Any] = {"seed": seed}
    for name, learner in learners.items():
        losses = held_out_losses(learner.average, [held_out], HELD_OUT_SIGMAS, seed=0)  # type: ignore[arg-type] - a Denoiser
        ms_per_step = 1e3 * learner.used / learner.steps
        row[name] = {"held_out_loss": mean(losses), "steps": learner.steps, "ms_per_step": ms_per_step}
    row["ratio"] = row["factorized"]["held_out_loss"] / row["joint"]["held_out_loss"]
    return row


def line(row: dict[str, Any]) -> str:
    cells = [f"{row[name][key]:>10.4g}" for name in ("factorized", "joint") for key in ("held_out_loss", "steps")]
    return f"{row['seed']:>4} {' '.join(cells)} {row['ratio']:>8.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many pairs of trainings")
    parser.add_argument("--seconds", type=float, default=120.0, help="time of each training")
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time of the process instead of wall time")
    parser.add_argument("--clips", type=int, default=1000, help="scenes to train on")
    parser.add_argument("--batch", type=int, help="clips per step instead of the preset's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = configs.read(preset="tiny", settings=[f"clip.train.batch={args.batch}"] if args.batch else ())
    data = clips(0, args.clips, SCENE_FRAMES)
    held_out = batch_of(clips(FIRST_HELD_OUT, HELD_OUT_CLIPS, config.clip.window), config.video.fps)
    if not args.json:
        print(f"{'seed':>4} {'factorized':>10} {'steps':>10} {'joint':>10} {'steps':>10} {'ratio':>8}")
    rows = []
    for seed in range(args.seeds):
        rows.append(compare(config, data, held_out, args, seed))
        if not args.json:
            print(line(rows[-1]), flush=True)
    means = {name: mean(row[name]["held_out_loss"] for row in rows) for name in ("factorized", "joint")}
    result = {"seconds": args.seconds, "cpu_time": args.cpu_time, "seeds": rows, "mean": means}
    result["ratio_of_means"] = means["factorized"] / means["joint"]
    if args.json:
        print(json.dumps(result))
    else:
        clock = "CPU" if args.cpu_time else "wall"
        print(
            f"held-out loss after {args.seconds:g} s of {clock} time: factorized {means['factorized']:.4f}, "
            f"joint {means['joint']:.4f}, ratio {result['ratio_of_means']:.3f} (below 1: factorized is better)"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

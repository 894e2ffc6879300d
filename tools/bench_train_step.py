"""One training step of the tiny preset's clip net, beside two public video nets, in one run.

A step is forward, backward and optimizer on a fixed random batch of ``--batch`` clips of 8 frames of 32x32 pixels.

ours    the net of configs/tiny.toml, NetDenoiser and view_loss in bfloat16, Muon and AdamW with gradient clipping
latte   LatteTransformer3DModel of diffusers, the same patch, width, heads and blocks (3 in space, 3 in time) on pixels,
        without cross-attention; mean squared error, fused AdamW without clipping
unet3d  Unet3D of video-diffusion-pytorch, dim 32; likewise

Each peer comes in several settings (float32 or bfloat16 autocast; attention by SDPA, as it comes, or by plain products,
which are faster on a CPU). All contenders take turns, one step each per round, the order turning from round to round,
so that a busy machine slows all alike. Shown are medians of wall time and of the CPU time of the whole process (threads
that wait by spinning count as busy). Ratios are medians over rounds of ours / peer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidboot import config as configs
from vidboot.config import Config
from vidboot.denoiser import NetDenoiser
from vidboot.losses import Batch, view_loss
from vidboot.memory import keep
from vidboot.nets.factorized import FactorizedNet
from vidboot.optim import Optimizer

FRAMES, SIDE = 8, 32
STEPS = 1000  # of the run whose learning rates are taken


@dataclass
class Contender:
    """A net in one setting, and what its steps took."""

    name: str
    setting: str
    net: nn.Module
    step: Callable[[], object]
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.net.parameters())

    def take(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.step()
        self.wall_ms.append(1e3 * (time.perf_counter() - wall))
        self.cpu_ms.append(1e3 * (time.process_time() - cpu))


def ours(config: Config, batch: int) -> Contender:
    torch.manual_seed(0)
    video = torch.rand(batch, FRAMES, 3, SIDE, SIDE) * 2 - 1
    clips = Batch(video, (torch.arange(FRAMES) / config.video.fps).expand(batch, -1))
    model = NetDenoiser(FactorizedNet(config.clip.net), torch.zeros(3), precision=torch.bfloat16)
    optimizer = Optimizer(model, config.clip.train.optim, precision=torch.bfloat16)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        sigma = config.clip.train.sigma.draw(batch, generator)
        view_loss(model, clips, sigma, torch.randn_like(video)).backward()
        optimizer.step(STEPS // 4, STEPS)

    return Contender("ours", "bf16", model, step)


def peer(name: str, setting: str, net: nn.Module, answer: Callable[[Tensor, Tensor], Tensor], batch: int) -> Contender:
    """A peer in one setting; ``answer`` maps video [B, C, T, H, W] and a time [B] to video."""
    torch.manual_seed(0)
    video = torch.rand(batch, 3, FRAMES, SIDE, SIDE) * 2 - 1
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    precision = torch.autocast("cpu", torch.bfloat16) if "bf16" in setting else contextlib.nullcontext()

    def step() -> None:
        noisy = video + torch.randn_like(video)
        with precision:
            answered = answer(noisy, torch.randint(STEPS, (batch,)))
        F.mse_loss(answered.float(), video).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return Contender(name, setting, net, step)


def latte(config: Config, batch: int) -> list[Contender]:
    from diffusers import LatteTransformer3DModel  # pyright: ignore[reportMissingImports]
    from diffusers.models import attention_processor as attention  # pyright: ignore[reportMissingImports]

    net, made = config.clip.net, []
    shape = dict(num_attention_heads=net.heads, attention_head_dim=net.width // net.heads, patch_size=net.patch)
    shape |= dict(num_layers=len(net.blocks) // 2, sample_size=SIDE, video_length=FRAMES)
    shape |= dict(in_channels=3, out_channels=3, caption_channels=1)
    norm = dict(norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6)
    sdpa, plain = attention.AttnProcessor2_0, attention.AttnProcessor
    for setting, processor in (("bf16 sdpa", sdpa), ("bf16 plain", plain), ("fp32 sdpa", sdpa)):
        model = LatteTransformer3DModel(**shape, **norm, activation_fn="gelu-approximate")
        for module in model.modules():
            if isinstance(module, attention.Attention):
                module.set_processor(processor())
        # It wants a caption even where no block attends to one.
        caption = torch.zeros(batch, 1, 1)

        def answer(y: Tensor, level: Tensor, model: Any = model, caption: Tensor = caption) -> Tensor:
            return model(y, timestep=level, encoder_hidden_states=caption, return_dict=False)[0]

        made.append(peer("latte", setting, model, answer, batch))
    return made


def unet3d(config: Config, batch: int) -> list[Contender]:
    from video_diffusion_pytorch import Unet3D  # pyright: ignore[reportMissingImports]

    return [peer("unet3d", setting, net := Unet3D(dim=32), net, batch) for setting in ("bf16", "fp32")]


PEERS = {"latte": (latte, "diffusers"), "unet3d": (unet3d, "video-diffusion-pytorch")}


def contenders(config: Config, batch: int, peers: list[str]) -> list[Contender]:
    """Build all; a peer that is not installed is left out, with a sentence on stderr."""
    made = [ours(config, batch)]
    for name in peers:
        make, package = PEERS[name]
        try:
            made += make(config, batch)
        except ImportError as error:
            print(f"{name} is left out: {package} cannot be imported here ({error})", file=sys.stderr)
    off = [one.parameters / made[0].parameters - 1 for one in made if one.name == "latte"]
    if off and abs(off[0]) > 0.05:
        raise ValueError(f"latte has {100 * off[0]:+.0f} % more parameters than ours: the comparison would not be fair")
    return made


def summary(made: list[Contender]) -> list[dict[str, Any]]:
    """What each contender took, and how many times as long ours did, turn by turn."""
    rows = []
    for one in made:
        row: dict[str, Any] = {"name": one.name, "setting": one.setting, "parameters": one.parameters}
        for clock in ("wall_ms", "cpu_ms"):
            pairs = zip(getattr(made[0], clock), getattr(one, clock), strict=True)
            row[clock] = median(getattr(one, clock))
            row[f"ours_over_{clock}"] = median(mine / theirs for mine, theirs in pairs)
        rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="measured steps of each contender")
    parser.add_argument("--warmup", type=int, default=3, help="steps of each before that")
    parser.add_argument("--batch", type=int, default=8, help="clips per step")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="whom to compare with")
    parser.add_argument("--profile", action="store_true", help="only show where our step spends its time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep()  # as training does
    config = configs.read(preset="tiny")
    if args.profile:
        (one := ours(config, args.batch)).step()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as record:
            one.step()
        print(record.key_averages().table(sort_by="self_cpu_time_total", row_limit=40))
        return 0
    made = contenders(config, args.batch, args.peers)
    for one in made * args.warmup:
        one.step()
    for turn in range(args.rounds):
        for i in range(len(made)):
            made[(turn + i) % len(made)].take()
    result = {**vars(args), "contenders": summary(made)}
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{'':<20} {'parameters':>10} {'wall ms':>9} {'cpu ms':>9} {'ours / it, wall':>16} {'cpu':>6}")
    for row in result["contenders"]:
        name = f"{row['name']} {row['setting']}"
        times = f"{row['wall_ms']:>9.1f} {row['cpu_ms']:>9.1f}"
        ratios = f"{row['ours_over_wall_ms']:>16.2f} {row['ours_over_cpu_ms']:>6.2f}"
        print(f"{name:<20} {row['parameters']:>10} {times} {ratios}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

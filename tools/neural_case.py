"""The neural case of bench_data_efficiency: its videos, what may be spent on them, and the loss it is judged by."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vidboot import synthetic
from vidboot.data.clips import FULL_LENGTH
from vidboot.denoiser import SIGMA_DATA, Denoise
from vidboot.losses import Batch

SIGMAS = torch.linspace(np.log(0.05), np.log(8), 12).exp()
FPS = 8.0
MANY = 2048
"""From so many full videos on no training is cut short: it sees each too seldom to overfit."""


class Budget(NamedTuple):
    """Steps of training."""

    views: int
    """Of each view."""
    tuning: int
    """On the n full videos, once the views are there."""


@dataclass(frozen=True)
class Case:
    """What is wanted, what there is of it, and what may be spent."""

    frames: int = 12
    side: int = 16
    window: int = 4
    factor: int = 2
    partial: int = 4096
    """Partial videos: half of them short clips, half low-res."""
    test: int = 96
    """Full videos to measure on."""
    budgets: Mapping[int, Budget] = field(
        default_factory=lambda: {
            0: Budget(views=1000, tuning=300),
            MANY: Budget(views=300, tuning=1500),
        }
    )
    """From which n on what is spent on what: the more full videos, the more on them."""
    batch: int = 16
    """Full videos per step; as many low-res ones, twice as many clips."""
    width: int = 96

    def budget(self, n: int) -> Budget:
        return self.budgets[max(least for least in self.budgets if least <= n)]

    @property
    def direct_steps(self) -> int:
        """Steps of direct training for the tokens of the dearer budget."""
        return max(self.view_steps_as_direct(budget) + budget.tuning for budget in self.budgets.values())

    def view_steps_as_direct(self, budget: Budget) -> int:
        """Steps of direct training that cost as many tokens as both views of a budget."""
        return round(budget.views * (1 + 2 * self.window / self.frames))


def videos(world: int, first: int, count: int, case: Case) -> Tensor:
    """Scenes ``first .. first + count`` of a world as uint8 [count, T, 3, H, W]."""
    made = [
        synthetic.video(world, first + i, frames=case.frames, height=case.side, width=case.side)[0]
        for i in range(count)
    ]
    return torch.from_numpy(np.stack(made)).permute(0, 1, 4, 2, 3).contiguous()


def as_float(frames: Tensor) -> Tensor:
    return frames.float() / 127.5 - 1


def batches(frames: Tensor, size: int, *, name: str, seed: int, any_length: bool = False) -> Callable[[int], Batch]:
    """Draw batches of videos, for a view also shorter ones: a pure function of the step."""

    def batch(step: int) -> Batch:
        rng = np.random.default_rng((seed, zlib.crc32(name.encode()), step))
        T = frames.shape[1]
        length = int(rng.integers(1, T + 1)) if any_length and rng.random() >= FULL_LENGTH else T
        first = int(rng.integers(T - length + 1))
        chosen = as_float(frames[torch.from_numpy(rng.integers(len(frames), size=size)), first : first + length])
        return Batch(chosen, torch.arange(length).expand(size, length) / FPS)

    return batch


def losses(denoise: Denoise, test: Tensor, *, seed: int) -> Tensor:
    """(sigma² + sigma_d²) / (sigma sigma_d)² times the squared error of each video at each level: [videos, S]."""
    rows = []
    for level, sigma in enumerate(SIGMAS.tolist()):
        noise = torch.randn(test.shape, generator=torch.Generator().manual_seed(1009 * seed + level))
        D_y = torch.cat([
            denoise(x + sigma * e, torch.full((len(x),), sigma))
            for x, e in zip(test.split(32), noise.split(32), strict=True)
        ])  # fmt: skip
        weight = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
        rows.append(weight * (D_y - test).square().mean((1, 2, 3, 4)))
    return torch.stack(rows, 1)

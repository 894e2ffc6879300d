"""Noise levels: how sigma is drawn in training and stepped down in sampling; y = x + sigma*noise throughout."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from pydantic import Field, model_validator
from torch import Tensor

from vidboot.settings import Settings


class SigmaDensity(Settings):
    """ln sigma is normal (Karras et al. 2022, Table 1); sigma is that of the view, not of the video."""

    P_mean: float = -0.4
    """Mean of ln sigma."""
    P_std: float = Field(default=1.4, gt=0)
    """Standard deviation of ln sigma."""

    def draw(self, B: int, generator: torch.Generator) -> Tensor:
        """Draw B levels, one from each of B equally likely strata, in random order: [B], float32."""
        strata = torch.randperm(B, generator=generator).float()
        u = (strata + torch.rand(B, generator=generator)) / B
        return (self.P_mean + self.P_std * torch.special.ndtri(u.double().clamp(1e-4, 1 - 1e-4))).exp().float()


class Schedule(Settings):
    """The levels a sampler visits, in equal ratios, and how much noise it draws anew at each."""

    levels: int = Field(default=18, ge=2, lt=1009)
    """Noise levels above zero; each has noise of its own (``normal_like_frames``)."""
    sigma_max: float = Field(default=40.0, gt=0)
    """First level; at least ten standard deviations of the widest direction of the video."""
    sigma_min: float = Field(default=0.02, gt=0)
    """Last level above zero."""
    fresh: float = Field(default=1.0, ge=0)
    """Noise drawn anew, over that of the reverse SDE: 0 is the ODE, which forgives a net less."""

    @model_validator(mode="after")
    def _falls(self) -> Schedule:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min = {self.sigma_min} must be below sigma_max = {self.sigma_max}")
        return self

    def sigmas(self) -> Tensor:
        """Return the levels from ``sigma_max`` to 0: [levels + 1], float64."""
        i = torch.arange(self.levels, dtype=torch.float64) / (self.levels - 1)
        return torch.cat([self.sigma_max * (self.sigma_min / self.sigma_max) ** i, i.new_zeros(1)])


def raised(sigma: Tensor, least: float) -> Tensor:
    """Mirror levels below ``least`` to above it, ln sigma about ln least; 0 leaves all as they are."""
    return least * torch.maximum(sigma / least, least / sigma) if least > 0 else sigma


def expand(sigma: Tensor, like: Tensor) -> Tensor:
    """Give sigma [B] the rank of ``like``: [B, 1, 1, ...]."""
    return sigma.to(like.dtype).view(-1, *[1] * (like.ndim - 1))


LARGE = 2**16
"""Numbers from which on frames of noise are drawn side by side."""
LevelNoise = Callable[[int, int, int], Tensor]
"""(number of a noise level, first frame, last) -> unit normal noise of the frames, [B, last - first, C, H, W]."""


def seeded(number: int) -> torch.Generator:
    """Return a generator, on the CPU, seeded with any integer; of one that is too large for that its last 63 bits."""
    return torch.Generator().manual_seed(number % 2**63)


def normal_like_frames(shape: tuple[int, ...], *, seed: int, first: int, last: int, level: int = 0) -> Tensor:
    """Draw unit normal noise of the frames ``first..last`` of an endless video.

    Each frame has its own generator, so the noise of a frame does not depend on how the video is cut or how long it is.

    Args:
        shape: of one frame, [B, C, H, W].
        level: number of the noise level, below 1009; each has noise of its own.

    Returns:
        [B, last - first, C, H, W], float32.
    """
    number = (seed * 1009 + level) * 1_000_003

    def drawn(t: int) -> Tensor:
        return torch.randn(shape, generator=seeded(number + t))

    if math.prod(shape) < LARGE:
        return torch.stack([drawn(t) for t in range(first, last)], 1)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # one frame keeps one core busy, and a GPU waiting
        return torch.stack(list(threads.map(drawn, range(first, last))), 1)


def level_noise(shape: tuple[int, ...], *seeds: int) -> LevelNoise:
    """Noise of the levels of one video, or batch of them, of ``shape`` a frame for each seed, one after the other."""

    def noise(level: int, first: int, last: int) -> Tensor:
        return torch.cat([normal_like_frames(shape, seed=s, first=first, last=last, level=level) for s in seeds])

    return noise

"""Views: what a partial video shows of the video we want.

A view is a linear map A with A Aᵀ A = gain² A. Of a noisy video y = x + sigma*noise it shows A y, whose noise has level
``gain * sigma``; A⁺ = Aᵀ / gain² lifts what was learned there back to the video.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class View(Protocol):
    """A linear map of video, [B, T, C, H, W], and its pseudo-inverse."""

    @property
    def gain(self) -> float:
        """Noise level in the view per noise level in the video."""
        ...

    def restrict(self, x: Tensor) -> Tensor:
        """Return A x."""
        ...

    def lift(self, v: Tensor) -> Tensor:
        """Return A⁺ v."""
        ...


class BandView(View, Protocol):
    """A view that keeps a low band of every frame or group of frames; only these are back-projected."""

    @property
    def group(self) -> int:
        """Frames of the video behind one frame of the view."""
        ...


@dataclass(frozen=True)
class LowRes:
    """Mean over ``factor x factor`` pixels: what a low-resolution video shows."""

    factor: int
    group = 1

    @property
    def gain(self) -> float:
        return 1 / self.factor  # the mean of factor² equal variances

    def restrict(self, x: Tensor) -> Tensor:
        """Return the box mean of each frame.

        Args:
            x: video, [B, T, C, H, W].

        Returns:
            [B, T, C, H // factor, W // factor], same range as ``x``.

        Raises:
            ValueError: H or W is not divisible by ``factor``.
        """
        *_, H, W = x.shape
        if H % self.factor or W % self.factor:
            raise ValueError(f"frame {H}x{W} is not divisible by {self.factor = }")
        v = F.avg_pool2d(x.flatten(0, 1), self.factor)  # [B*T, C, h, w]
        return v.unflatten(0, x.shape[:2])

    def lift(self, v: Tensor) -> Tensor:
        """Repeat each pixel: [B, T, C, h, w] -> [B, T, C, H, W]."""
        return v.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)


@dataclass(frozen=True)
class TimeMean:
    """Mean over ``group`` consecutive frames: a video at a coarser time step."""

    group: int

    @property
    def gain(self) -> float:
        return 1 / sqrt(self.group)

    def restrict(self, x: Tensor) -> Tensor:
        """Return the mean of each group of frames, [B, T // group, C, H, W].

        Raises:
            ValueError: T is not divisible by ``group``.
        """
        T = x.shape[1]
        if T % self.group:
            raise ValueError(f"{T} frames are not divisible by {self.group = }")
        return x.unflatten(1, (T // self.group, self.group)).mean(2)

    def lift(self, v: Tensor) -> Tensor:
        """Repeat each frame: [B, t, C, H, W] -> [B, T, C, H, W]."""
        return v.repeat_interleave(self.group, 1)


@dataclass(frozen=True)
class Window:
    """``length`` frames from ``start`` of a video of ``frames``: what a short clip shows."""

    start: int
    length: int
    frames: int
    gain = 1.0

    def restrict(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.start + self.length]

    def lift(self, v: Tensor) -> Tensor:
        after = self.frames - self.start - self.length
        return F.pad(v, (0, 0) * 3 + (self.start, after))


@dataclass(frozen=True, eq=False)
class Visible:
    """The pixels where ``mask`` [B or 1, T, 1, H, W] is 1: what a marked or damaged video shows.

    A net learns of it by a loss that leaves out what is hidden (``losses.squared_error``), not through this map.
    """

    mask: Tensor
    gain = 1.0

    def restrict(self, x: Tensor) -> Tensor:
        # Not a product: a NaN under the mask must not survive.
        return torch.where(self.mask.bool(), x, 0)

    def lift(self, v: Tensor) -> Tensor:
        return self.restrict(v)


@dataclass(frozen=True)
class Chain:
    """``second`` after ``first``, e.g. ``Chain(LowRes(4), TimeMean(4))``."""

    first: View
    second: View

    @property
    def gain(self) -> float:
        return self.first.gain * self.second.gain

    def restrict(self, x: Tensor) -> Tensor:
        return self.second.restrict(self.first.restrict(x))

    def lift(self, v: Tensor) -> Tensor:
        return self.first.lift(self.second.lift(v))


TRUSTED_SHARE = 0.75
"""A pixel of a view is trusted if so much of what it is the mean of is visible: its mean stands for all of it."""


def restrict_seen(view: View, x: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a view that takes means shows of a video seen in part, and which of its pixels can be trusted.

    Args:
        view: ``LowRes`` or ``TimeMean``.
        x: video, [B, T, C, H, W], anything where it is hidden.
        visible: [B, T, 1, H, W], 1 = trust this pixel.

    Returns:
        Means of what is visible, and where that is enough, 1 = trust this pixel, of the type of ``visible``.
    """
    share = view.restrict(visible.to(x.dtype))
    v = view.restrict(torch.where(visible.bool(), x, 0)) / torch.where(share > 0, share, 1)
    return v, (share >= TRUSTED_SHARE).to(visible.dtype)


def restrict_visible(view: View, visible: Tensor) -> Tensor:
    """Say which pixels of the view can be trusted: those all of whose sources can be.

    Args:
        visible: [B, T, 1, H, W], 1 = trust this pixel.
    """
    hidden = (visible == 0).float()
    return (view.restrict(hidden) == 0).to(visible.dtype)

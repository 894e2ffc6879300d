"""Denoisers: what a net becomes once it knows its noise level, its data's colours and the time of its frames.

Throughout, ``Denoise = (y, sigma) -> D_y`` with y [B, T, C, H, W] and sigma [B].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from vidboot.holes import bridged
from vidboot.innovation import error_of
from vidboot.noise import expand

Denoise = Callable[[Tensor, Tensor], Tensor]

SIGMA_DATA = 0.5
"""Standard deviation that the preconditioning assumes of videos in [-1, 1] (Karras et al. 2022)."""

COLOUR_SPREAD = 0.15
"""Standard deviation between videos of their mean colour, unless it was measured."""

SIGMA_SKIP = 0.05
"""Noise below which a net's own error exceeds the noise: there the noisy video itself is the better answer."""


class Denoiser(Protocol):
    """Maps a noisy video, of which only ``shown`` is given, to the clean video."""

    def __call__(self, y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor: ...


class NetDenoiser(nn.Module):
    """D = x + W (y - x), where x = m + F((y - mean) / sqrt(sigma² + SIGMA_DATA²), sigma) and W is ``error_of``.

    The net predicts x itself: with patches wider than the net, EDM's noise-like target does not fit through it. What
    it then cannot do is copy y when there is hardly any noise, nor average y where nothing moves. W does, as far as the
    video at hand shows that the net is off. In training c = 1 / (1 + (sigma / SIGMA_SKIP)²) stands for W, the best
    blend of y and a prediction whose error is SIGMA_SKIP: W takes most where the net errs most, and its gradient there.

    Nor does it add up well what is drowned in noise and spread over thousands of pixels: a video's mean colour, known
    when nothing else is yet. It is too timid there, and rare colours die out in sampling. So m, what the prediction
    starts from, is the best linear guess of the mean colour of this video, not only ``mean``.

    Args:
        net: maps [B, T, C, H, W], sigma [B], shown and pts_seconds to [B, T, C, H, W].
        mean: of the data, per channel, [C].
        spread: standard deviation between videos of their mean colour.
        precision: in which the net computes; D_y is always in that of ``y``.
    """

    mean: Tensor

    def __init__(
        self, net: nn.Module, mean: Tensor, *, spread: float = COLOUR_SPREAD, precision: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.net = net
        self.spread = spread
        self.precision = precision
        self.register_buffer("mean", mean.float().view(-1, 1, 1))

    def forward(self, y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        given = centred = y - self.mean
        if shown is not None:
            centred = torch.where(shown.bool(), centred, 0)
            given = bridged(centred.flatten(0, 1), shown.flatten(0, 1).bool()).view_as(centred)
        scaled = given * expand((sigma**2 + SIGMA_DATA**2).rsqrt(), y)
        F_y = self.net(scaled.to(self.precision), sigma, shown=shown, pts_seconds=pts_seconds)
        x = self.mean + self._colour(centred, sigma, shown) + F_y.to(y.dtype)
        innovation = y - x if shown is None else torch.where(shown.bool(), y - x, 0)
        if self.training:
            return x + innovation * expand(1 / (1 + (sigma / SIGMA_SKIP) ** 2), y)
        return x + error_of(innovation, sigma, shown)

    def _colour(self, centred: Tensor, sigma: Tensor, shown: Tensor | None) -> Tensor:
        """Guess how a video's mean colour differs from that of the data, as if both were normal: [B, 1, C, 1, 1].

        Args:
            centred: y - mean, 0 where hidden.
        """
        pixels = (
            centred[:, :, :1].numel() // len(centred) if shown is None else expand(shown.flatten(1).sum(1), centred)
        )
        total = centred.sum((1, 3, 4), keepdim=True)
        # Of the mean over the pixels, the noise has variance sigma² / pixels.
        return total * self.spread**2 / (pixels * self.spread**2 + expand(sigma, centred) ** 2)


def at_frame_rate(denoiser: Denoiser, fps: float) -> Denoise:
    """Bind a denoiser to evenly spaced frames, all of them shown."""

    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        B, T = y.shape[:2]
        pts_seconds = (torch.arange(T, device=y.device) / fps).expand(B, T)
        return denoiser(y, sigma, pts_seconds=pts_seconds)

    return denoise


def evenly_timed(denoise: Denoise) -> Denoiser:
    """Give a denoiser of evenly spaced frames, all of them shown, the signature of one that is told both."""
    return lambda y, sigma, *, shown=None, pts_seconds: denoise(y, sigma)

"""What a noisy video still says once a net has had its say: the part of y - x that noise does not explain.

The innovation y - x is the net's error and the noise. Noise is white and its level known, so where the innovation has
more than that, at some place and in some band of temporal frequencies, the rest is error, and a Wiener filter with the
spectrum that is measured there takes it back (empirical Bayes, after James & Stein 1961). Where the net is right, that
is nothing; where it cannot average a still background over all frames, or smears an edge, y itself does it better.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vidboot.noise import expand

BANDS = 9
"""The fastest octave, the next, ..., all that is slower than those, and what does not change at all."""
BOX = 5
"""Pixels on a side of what counts as one place."""
GUARD = 2.0
"""Standard deviations of its power by which noise is overrated: what noise alone might be is left alone."""
MOST_ERROR = 0.15
"""No net is taken to be farther off than this: at high noise little can be measured, and it is little to be had."""


def error_of(innovation: Tensor, sigma: Tensor, shown: Tensor | None = None) -> Tensor:
    """Estimate x0 - x, the error of a prediction, of y - x.

    Args:
        innovation: y - x, [B, T, C, H, W]; 0 where y is hidden.
        sigma: noise level of y, [B].
        shown: 1 where it is not hidden, [B, T, 1, H, W]; None: everywhere.

    Returns:
        Like ``innovation``, of which it is a linear filter; how much of each band passes is not differentiated.
    """
    T, C = innovation.shape[1:3]
    basis, bands = waves(T).to(innovation), band_of(T).to(innovation.device)
    members = F.one_hot(bands, BANDS).to(innovation)  # [waves, bands]
    count = members.sum(0).clamp(min=1)
    components = torch.einsum("kt,btchw->bkchw", basis, innovation)
    with torch.no_grad():
        power = _around(torch.einsum("bkhw,kn->bnhw", components.square().mean(2), members / count))
        level = expand(sigma**2, innovation)[:, 0]  # [B, 1, 1, 1]
        noise = level if shown is None else level * _around(shown.to(power).mean((1, 2))[:, None])
        scatter = (2 / (C * count * BOX**2)).sqrt().view(-1, 1, 1)
        passed = 1 - (1 + GUARD * scatter) * noise / power.clamp(min=1e-20)
        most = (MOST_ERROR**2 * T / count).view(-1, 1, 1)  # all of the error in one band
        passed = passed.clamp(min=0).minimum(most / (most + level))[:, bands, None]
    return torch.einsum("kt,bkchw->btchw", basis, passed * components)


def _around(power: Tensor) -> Tensor:
    return F.avg_pool2d(power, BOX, 1, BOX // 2, count_include_pad=False)


@lru_cache(maxsize=512)
def waves(T: int) -> Tensor:
    """Return the orthonormal cosine transform of T frames (DCT-II): [waves, T]; the first wave is √T times the mean."""
    wave, frame = torch.arange(T)[:, None], torch.arange(T)[None]
    basis = torch.cos(math.pi * (frame + 0.5) * wave / T) * math.sqrt(2 / T)
    basis[0] = T**-0.5
    return basis


@lru_cache(maxsize=512)
def band_of(T: int) -> Tensor:
    """Return the band of each wave of T frames, 0 the fastest octave: [waves]. The band of a frequency is the same
    whatever the length."""
    octaves = [min(BANDS - 2, int(math.log2(T / wave))) for wave in range(1, T)]
    return torch.tensor([BANDS - 1, *octaves])

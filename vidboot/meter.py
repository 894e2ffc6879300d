"""The captured-correlation meter: what a denoiser misses of real videos, in nats per dimension.

How far a denoiser's score is from the true one, over all noise levels, is what a sampler that follows it may miss of
the video's law: for views that share nothing, the correlation between them that they cannot see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vidboot.denoiser import SIGMA_DATA

LEAST_COUNTED = 0.1 * SIGMA_DATA
"""Below, a net's own error hides what it knows: what is missed there is not counted."""


def nats_per_dimension(excess: Tensor, sigmas: Sequence[float] | Tensor) -> Tensor:
    """∫ sigma^-3 excess dsigma, by the trapezoidal rule in ln sigma.

    With the excess of a denoiser's mean squared error over that of the exact one this is J = ∫ sigma ‖score - its
    estimate‖² dsigma / d, the divergence of the law that the denoiser believes in from the true one (Guo et al. 2005).

    Args:
        excess: mean squared error over that of the best denoiser, per value of a video, [levels, videos].
        sigmas: increasing, [levels].

    Returns:
        [videos]
    """
    levels = torch.as_tensor(sigmas, dtype=torch.float64)
    return torch.trapezoid(excess.double() / levels[:, None] ** 2, levels.log(), dim=0)


def missed_nats(errors: Mapping[str, Tensor], sigmas: Sequence[float]) -> dict[str, Tensor]:
    """Return what each denoiser misses of each held-out video, at ``LEAST_COUNTED`` and above.

    The truth is not known: at each noise level the best of the denoisers stands in for it, so each number is a lower
    bound in the mean. Which is the best is judged, for each video, by the other videos: chosen by its own it would seem
    better than it is.

    Args:
        errors: of each denoiser, its mean squared error with the same noise for all, [levels, videos].
        sigmas: increasing, [levels].

    Returns:
        Nats per dimension of each denoiser, [videos].

    Raises:
        ValueError: there are fewer than two videos.
    """
    counted = [level for level, sigma in enumerate(sigmas) if sigma >= LEAST_COUNTED]
    stacked = torch.stack([error[counted] for error in errors.values()])  # [denoisers, levels, videos]
    if stacked.shape[-1] < 2:
        raise ValueError("what is missed is measured on at least two videos")
    of_others = stacked.sum(-1, keepdim=True) - stacked
    least = stacked.gather(0, of_others.argmin(0, keepdim=True))[0]
    levels = [sigmas[level] for level in counted]
    return {name: nats_per_dimension(error - least, levels) for name, error in zip(errors, stacked, strict=True)}

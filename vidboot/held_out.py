"""What a run's nets make of whole held-out videos under noise: their loss, what they miss, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vidboot import metrics
from vidboot.build import Model
from vidboot.composition import whole
from vidboot.denoiser import evenly_timed
from vidboot.losses import HELD_OUT_SIGMAS, Batch, held_out_errors, weighted
from vidboot.meter import LEAST_COUNTED, missed_nats
from vidboot.policy import Policy
from vidboot.report import Measured

VIDEOS = 8
"""Held-out videos whose denoising loss is measured, unless more are asked for, and how many are denoised at a time."""
INTERVAL = 0.9
"""Share of bootstrap draws within an interval."""
MISSED = (
    f"correlation missed, nats per dimension, from noise level {LEAST_COUNTED:g} up: a lower bound, "
    "for the best net of each noise level stands in for the truth"
)


def errors(model: Model, policies: Sequence[Policy], real: Tensor, seed: int) -> dict[str, Tensor]:
    """Return the squared error of whole videos at each of ``HELD_OUT_SIGMAS``, [levels, videos], by policy.

    Args:
        model: the trained run.
        policies: whose denoisers are measured, with the same noise for all.
        real: held-out videos, [B, T, 3, H, W].
        seed: of the noise.
    """
    # The composition needs whole groups of frames; what is left over is not measured.
    group = model.config.low_res.group**model.config.low_res.levels
    T = real.shape[1] // group * group
    pts_seconds = torch.arange(T) / model.config.video.fps
    batches = [Batch(x, pts_seconds.expand(len(x), T)).to(model.device) for x in real[:, :T].split(VIDEOS)]
    found = {}
    for policy in policies:
        denoise = whole(model.stream(policy, model.length(policy, T)))
        found[policy] = held_out_errors(evenly_timed(denoise), batches, HELD_OUT_SIGMAS, seed=seed)
    return found


def numbers(errors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the weighted loss per noise level and in the mean, and what is missed, with its 90 % interval, as JSON."""
    if not errors:
        return {}
    levels = [str(sigma) for sigma in HELD_OUT_SIGMAS]
    losses = {policy: weighted(of, HELD_OUT_SIGMAS).mean(1).tolist() for policy, of in errors.items()}
    missed = missed_nats(errors, HELD_OUT_SIGMAS)
    return {
        "held_out_loss": {policy: sum(of) / len(of) for policy, of in losses.items()},
        "held_out_bands": {policy: dict(zip(levels, of, strict=True)) for policy, of in losses.items()},
        "missed_nats_per_dimension": {
            "meaning": MISSED,
            "videos": next(iter(errors.values())).shape[1],
            "by_policy": {policy: vars(with_interval(mean, of)) for policy, of in missed.items()},
        },
    }


def mean(x: Tensor) -> float:
    return float(x.mean())


def with_interval(statistic: Callable[..., float], *samples: Tensor, paired: bool = True) -> Measured:
    """Return a statistic of samples, a row a video, and its 90 % interval; see ``metrics.bootstrap_interval``."""
    interval = metrics.bootstrap_interval(statistic, *samples, paired=paired, level=INTERVAL)
    return Measured(statistic(*samples), *interval)

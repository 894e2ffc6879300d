"""The specification of every op, in plain PyTorch: slow, exact, shipped."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-6
"""Added to the mean square in the norm of q and k."""


def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root mean square over the last dimension."""
    precise = x if x.dtype == torch.float64 else x.float()
    return x * torch.rsqrt(precise.square().mean(-1, keepdim=True) + EPS).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x[i], x[i + E/2]) of the last dimension.

    Args:
        x: [..., E].
        cos, sin: broadcast against [..., E / 2].
    """
    # (a cos - b sin, b cos + a sin), in three passes over x instead of seven.
    return x * torch.cat([cos, cos], -1) + x.roll(x.shape[-1] // 2, -1) * torch.cat([-sin, sin], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None) -> Tensor:
    """Softmax attention over the last but one dimension, scaled by E**-0.5.

    Args:
        q, k, v: [..., L, E].
        key_mask: [..., L], True = attend to this key; a query that may attend to nothing gives exactly 0.
    """
    scale = q.shape[-1] ** -0.5
    if key_mask is None:
        return torch.softmax((q * scale) @ k.mT, -1) @ v
    # NaN times 0 is NaN: what is hidden must leak neither forward nor backward.
    k, v = (torch.where(key_mask[..., None], x, 0) for x in (k, v))
    logits = (q * scale) @ k.mT
    allowed = key_mask[..., None, :]
    logits = torch.where(allowed, logits, torch.finfo(logits.dtype).min)
    return torch.where(allowed, torch.softmax(logits, -1), 0) @ v

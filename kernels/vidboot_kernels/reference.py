"""The specification of every op, in plain PyTorch: slow, exact, shipped."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Rotary = tuple[Tensor, Tensor]
"""cos and sin of the angles, each broadcastable to q and k with E / 2 in place of E."""

EPS = 1e-6
"""Added to the mean square in the norm of q and k."""
LAYER_EPS = 1e-5
"""Added to the variance in the norm of a residual stream."""


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


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    key_mask: Tensor | None = None,
    rotary: Rotary | None = None,
    window: int | None = None,
    causal: bool = False,
) -> Tensor:
    """Norm q and k, rotate them, attend along dim 2: what every backend computes, in space (G = T) and in time (G = N).

    Args:
        q, k, v: [B, G, L, heads, E].
        key_mask: [B, G, L], True = attend to this key; a query that may attend to nothing gives exactly 0.
        rotary: cos and sin, each broadcastable to [B, G, L, heads, E / 2].
        window: attend where |i - j| <= window.
        causal: attend where j <= i.
    """
    q, k = normed_and_rotated(q, k, rotary)
    mask = None if key_mask is None else key_mask[:, :, None]  # [B, G, 1, L]
    near = band(q.shape[2], window=window, causal=causal, device=q.device)
    return attend(q.transpose(2, 3), k.transpose(2, 3), v.transpose(2, 3), mask, near).transpose(2, 3)


def normed_and_rotated(q: Tensor, k: Tensor, rotary: Rotary | None) -> tuple[Tensor, Tensor]:
    """Norm q and k and, if there are angles, rotate them."""
    q, k = rms_norm(q), rms_norm(k)
    if rotary is None:
        return q, k
    cos, sin = (angle.to(q.dtype) for angle in rotary)
    return rotate(q, cos, sin), rotate(k, cos, sin)


def band(L: int, *, window: int | None, causal: bool, device: torch.device) -> Tensor | None:
    """Return [L, L], True where query i may look at key j: |i - j| <= window, j <= i if causal; None = everywhere."""
    if window is None and not causal:
        return None
    place = torch.arange(L, device=device)
    back = place[:, None] - place  # how far the key lies behind the query
    near = back.abs() <= (L if window is None else window)
    return near & (back >= 0) if causal else near


def attend(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, near: Tensor | None = None) -> Tensor:
    """Softmax attention over the last but one dimension, scaled by E**-0.5.

    Args:
        q, k, v: [..., L, E].
        key_mask: [..., L], True = attend to this key; a query that may attend to nothing gives exactly 0.
        near: [L, L], True = this query may look at this key.
    """
    scale = q.shape[-1] ** -0.5
    if key_mask is not None:
        # NaN times 0 is NaN: what is hidden must leak neither forward nor backward.
        k, v = (torch.where(key_mask[..., None], x, 0) for x in (k, v))
    logits = (q * scale) @ k.mT
    allowed = both(key_mask, near)
    if allowed is None:
        return torch.softmax(logits, -1) @ v
    logits = torch.where(allowed, logits, torch.finfo(logits.dtype).min)
    return torch.where(allowed, torch.softmax(logits, -1), 0) @ v


def both(key_mask: Tensor | None, near: Tensor | None) -> Tensor | None:
    """Return which query may attend to which key, [..., L or 1, L]; None = every one to all."""
    if key_mask is None or near is None:
        return near if key_mask is None else key_mask[..., None, :]
    return key_mask[..., None, :] & near


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Norm over the width (no mean, unit variance), then scale and shift: shift + (1 + scale) x̂.

    Args:
        x: [B, ..., D].
        shift, scale: of each video, [B, 1, ..., D].
    """
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=LAYER_EPS), 1 + scale)


def gated_modulated(x: Tensor, y: Tensor, gate: Tensor, shift: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Add a branch to a residual stream, x + (1 + gate) y; return that and what the next branch takes of it.

    Args:
        x, y: stream and branch, [B, ..., D].
        gate, shift, scale: of each video, [B, 1, ..., D].
    """
    stream = torch.addcmul(x, 1 + gate, y)
    return stream, modulated(stream, shift, scale)

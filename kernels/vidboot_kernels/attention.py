"""Attention of factorized video nets: the public ops, which choose their backend.

q, k, v are [B, T, N, heads, E] with any strides: B videos, T frames, N places in a frame. Both ops norm q and k (root
mean square over E) and rotate them when rotary angles are given; the specification is ``reference``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from vidboot_kernels import reference

Backend = Literal["auto", "reference", "sdpa"]
Rotary = tuple[Tensor, Tensor]
"""cos and sin of the angles, each broadcastable to [B, T, N, heads, E / 2]."""

_Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def spatial_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    key_mask: Tensor | None = None,
    rotary: Rotary | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Attend within each frame: a place to the places of its frame.

    Args:
        q, k, v: [B, T, N, heads, E].
        key_mask: [B, T, N], True where a place may be attended to.
        rotary: angles of each place.
        backend: ``auto`` picks by device and precision; ``VIDBOOT_ATTENTION`` overrides it.

    Returns:
        [B, T, N, heads, E]; exactly 0 where every key is masked.
    """
    q, k = _normed_and_rotated(q, k, rotary)
    mask = None if key_mask is None else key_mask[:, :, None]  # [B, T, 1, N]
    out = _attend(backend, q)(q.transpose(2, 3), k.transpose(2, 3), v.transpose(2, 3), mask)
    return out.transpose(2, 3)


def temporal_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    key_mask: Tensor | None = None,
    rotary: Rotary | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Attend along each place: a frame to the frames of its video at the same place.

    Arguments and result as in ``spatial_attention``; ``rotary`` holds the angles of each frame.
    """
    q, k = _normed_and_rotated(q, k, rotary)
    mask = None if key_mask is None else key_mask.permute(0, 2, 1)[:, :, None]  # [B, N, 1, T]
    order = (0, 2, 3, 1, 4)  # [B, N, heads, T, E]
    out = _attend(backend, q)(q.permute(order), k.permute(order), v.permute(order), mask)
    return out.permute(0, 3, 1, 2, 4)


def _normed_and_rotated(q: Tensor, k: Tensor, rotary: Rotary | None) -> tuple[Tensor, Tensor]:
    q, k = reference.rms_norm(q), reference.rms_norm(k)
    if rotary is None:
        return q, k
    cos, sin = (angle.to(q.dtype) for angle in rotary)
    return reference.rotate(q, cos, sin), reference.rotate(k, cos, sin)


def _attend(backend: Backend, q: Tensor) -> _Attend:
    name = os.environ.get("VIDBOOT_ATTENTION", backend)
    if name not in get_args(Backend):
        raise ValueError(f"attention backend {name!r} is not one of {', '.join(get_args(Backend))}")
    if name == "auto":
        # On a CPU the backward of SDPA in bfloat16 costs many times that of plain products.
        name = "reference" if q.device.type == "cpu" and q.dtype == torch.bfloat16 else "sdpa"
    return reference.attend if name == "reference" else _sdpa


def _sdpa(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None) -> Tensor:
    if key_mask is None:
        return F.scaled_dot_product_attention(q, k, v)
    k, v = (torch.where(key_mask[..., None], x, 0) for x in (k, v))
    # A row without keys would be NaN: let it attend to all of them, whose values are 0.
    no_key = ~key_mask.any(-1, keepdim=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=(key_mask | no_key)[..., None, :])

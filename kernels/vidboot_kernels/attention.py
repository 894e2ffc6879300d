"""Attention of factorized video nets: the public ops, which choose their backend.

q, k, v are [B, T, N, heads, E] with any strides: B videos, T frames, N places in a frame. Both ops norm q and k (root
mean square over E) and rotate them when rotary angles are given; the specification is ``reference.attention``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vidboot_kernels import plain, reference, xformers_backend
from vidboot_kernels.choice import Backend, Call, Op, chosen, device_of
from vidboot_kernels.reference import Rotary


def spatial_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    key_mask: Tensor | None = None,
    rotary: Rotary | None = None,
    window: int | None = None,
    causal: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    """Attend within each frame: a place to the places of its frame.

    Args:
        q, k, v: [B, T, N, heads, E].
        key_mask: [B, T, N], True where a place may be attended to.
        rotary: cos and sin of the angles of each place, each broadcastable to [B, T, N, heads, E / 2]; they get no
            gradient from ``triton``.
        window: attend where the places are at most so many apart.
        causal: attend to no later place.
        backend: ``auto`` picks by ``choice.TABLE``; ``VIDBOOT_ATTENTION`` overrides it.

    Returns:
        [B, T, N, heads, E]; exactly 0 where every key is masked.

    Raises:
        ValueError: no such backend, it cannot run on these tensors, or the window is negative.
    """
    return _attention("space", q, k, v, key_mask, rotary, window, causal, backend)


def temporal_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    key_mask: Tensor | None = None,
    rotary: Rotary | None = None,
    window: int | None = None,
    causal: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    """Attend along each place: a frame to the frames of its video at the same place.

    Arguments and result as in ``spatial_attention``, with frames in place of places.
    """
    return _attention("time", q, k, v, key_mask, rotary, window, causal, backend)


def _attention(
    op: Op,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor | None,
    rotary: Rotary | None,
    window: int | None,
    causal: bool,
    backend: Backend,
) -> Tensor:
    if window is not None and window < 0:
        raise ValueError(f"{window = } is negative: it counts how far a query may look")
    turn = _TURN[op]
    *_, L, _, E = turn(q).shape
    call = Call(op, device_of(q), q.dtype, L, E, masked=key_mask is not None or window is not None)
    name = chosen(backend, call)
    mask = None if key_mask is None else turn(key_mask)  # [B, G, L]
    if name in _WHOLE:
        angles = rotary and (turn(rotary[0]), turn(rotary[1]))
        out = _WHOLE[name](turn(q), turn(k), turn(v), key_mask=mask, rotary=angles, window=window, causal=causal)
        return turn(out)
    # Before the turn, as the passes over memory are fastest in the order in which it lies.
    q, k = reference.normed_and_rotated(q, k, rotary)
    B, G, *_ = turn(q).shape
    # Of four dimensions, not five: else PyTorch computes SDPA without its fused kernels.
    q, k, v = (turn(x).transpose(2, 3).flatten(0, 1) for x in (q, k, v))  # [B * G, heads, L, E]
    mask = None if mask is None else mask.flatten(0, 1)[:, None]  # [B * G, 1, L]
    out = _sdpa(q, k, v, mask, window, causal)
    return turn(out.unflatten(0, (B, G)).transpose(2, 3))


def _in_place(x: Tensor) -> Tensor:
    return x


def _time_and_place_exchanged(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


# Each is its own inverse.
_TURN: dict[Op, Callable[[Tensor], Tensor]] = {"space": _in_place, "time": _time_and_place_exchanged}


def _sdpa(
    q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, window: int | None = None, causal: bool = False
) -> Tensor:
    if key_mask is None and window is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    near = reference.band(q.shape[-2], window=window, causal=causal, device=q.device)
    allowed = reference.both(key_mask, near)
    assert allowed is not None
    if key_mask is None:  # each query is near itself
        return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    k, v = (torch.where(key_mask[..., None], x, 0) for x in (k, v))
    # A row without keys would be NaN: let it attend to all of them.
    no_key = ~allowed.any(-1, keepdim=True)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed | no_key)
    # Without a band such a row saw values that are all 0.
    return out if near is None else torch.where(no_key, 0, out)


def _triton(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    key_mask: Tensor | None,
    rotary: Rotary | None,
    window: int | None,
    causal: bool,
) -> Tensor:
    from vidboot_kernels import flash_triton, packed_triton

    packed = q.shape[2] <= packed_triton.longest(q.shape[4])
    attend = packed_triton.attention if packed else flash_triton.attention
    return attend(q, k, v, key_mask=key_mask, rotary=rotary, window=window, causal=causal)


# Backends that norm, rotate and attend along dim 2 by themselves.
_WHOLE = {
    "reference": reference.attention,
    "triton": _triton,
    "plain": plain.attention,
    "xformers": xformers_backend.attention,
}

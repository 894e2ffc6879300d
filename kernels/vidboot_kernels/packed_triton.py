"""Attention along short sequences, several in one tile.

Forward reads q, k, v and writes the result: 4 tensors moved. Backward reads q, k, v and the gradient of the result and
writes three gradients: 7 tensors, and nothing is saved but q, k, v.

NaN or infinity in keys and values under the mask is never read. In what is not masked it may reach the other sequences
of its tile.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
import triton
from torch import Tensor

from vidboot_kernels.packed_kernels_triton import backward_kernel, forward_kernel
from vidboot_kernels.reference import Rotary
from vidboot_kernels.tiles_triton import (
    Launch,
    aligned,
    angles_unit,
    empty_like_caller,
    in_units,
    operand,
    prepared_angles,
    require,
    sight,
)


def longest(E: int) -> int:
    """Return how long a sequence of heads of width E may be: the tile of a longer one does not fit into registers."""
    return 128 if E <= 64 else 64


class Tile(NamedTuple):
    """How a kernel is launched."""

    rows: int
    warps: int


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
    """Compute ``reference.attention`` along at most ``longest(E)``; cos and sin get no gradient.

    Raises:
        ValueError: the tensors are not on a CUDA device, or of a shape or precision that the kernel does not compute.
    """
    require(q, k, v)
    L, E = q.shape[2], q.shape[4]
    if longest(E) < L:
        raise ValueError(f"packed attention goes along at most {longest(E)} where {E = }, not {L}")
    cos, sin = rotary or (None, None)
    return packed_attention(q, k, v, key_mask, cos, sin, *sight(L, window=window, causal=causal))


def bytes_moved(q: Tensor, *, backward: bool = False) -> int:
    """Return what must go between memory and GPU: q, k, v and the result, or those, its gradient and three gradients.

    Key mask and angles, smaller by E and by the number of heads, are not counted.
    """
    return (7 if backward else 4) * q.numel() * q.element_size()


TILES = {
    ("forward", 64, 64): Tile(64, 4),
    ("forward", 64, 128): Tile(64, 4),
    ("forward", 128, 64): Tile(128, 8),
    ("backward", 64, 64): Tile(64, 4),
    ("backward", 64, 128): Tile(64, 8),
    ("backward", 128, 64): Tile(128, 8),
}
"""By kernel, longest L and widest E, on every GPU. Chosen by registers, not yet by time."""


def tile_of(kernel: Literal["forward", "backward"], L: int, E: int) -> Tile:
    """Return the tile of a kernel for sequences of L and heads of E."""
    return TILES[kernel, 64 if L <= 64 else 128, 64 if E <= 64 else 128]


def forward_launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor | None,
    rotary: Rotary | None,
    behind: int,
    ahead: int,
    out: Tensor,
    *,
    tile: Tile,
) -> Launch:
    """All tensors aligned, angles expanded."""
    BE = max(16, triton.next_power_of_2(q.shape[4]))
    arguments = {"out_ptr": out, "out_strides": in_units(out), "BE": BE}
    return _launch(forward_kernel, q, k, v, key_mask, rotary, behind, ahead, arguments, tile)


def backward_launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor | None,
    rotary: Rotary | None,
    behind: int,
    ahead: int,
    dout: Tensor,
    dqkv: tuple[Tensor, Tensor, Tensor],
    *,
    tile: Tile,
) -> Launch:
    """All tensors aligned, angles expanded; the gradients share their strides."""
    arguments = dict(zip(("dq_ptr", "dk_ptr", "dv_ptr"), dqkv, strict=True))
    arguments |= {"dout_ptr": dout, "dout_strides": in_units(dout), "dx_strides": in_units(dqkv[0])}
    return _launch(backward_kernel, q, k, v, key_mask, rotary, behind, ahead, arguments, tile)


def _launch(
    kernel: Any,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor | None,
    rotary: Rotary | None,
    behind: int,
    ahead: int,
    arguments: dict[str, Any],
    tile: Tile,
) -> Launch:
    B, G, L, heads, E = q.shape
    sequences = B * G * heads
    assert sequences + tile.rows < 2**31, f"{sequences = }"
    cos, sin = rotary or (None, None)
    arguments |= {
        "q_ptr": q,
        "k_ptr": k,
        "v_ptr": v,
        "mask_ptr": None if key_mask is None else key_mask.view(torch.uint8),
        "cos_ptr": cos,
        "sin_ptr": sin,
        "q_strides": in_units(q),
        "k_strides": in_units(k),
        "v_strides": in_units(v),
        "mask_strides": (0,) * 4 if key_mask is None else (*key_mask.stride(), 0),
        "angle_strides": (0,) * 4 if cos is None else in_units(cos, angles_unit(E)),
        "G": G,
        "heads": heads,
        "sequences": sequences,
        "behind": behind,
        "ahead": ahead,
        "L": L,
        "E": E,
        "BH": max(16, triton.next_power_of_2(E // 2)),
        "R": tile.rows,
        "ANGLES_UNIT": angles_unit(E),
        "OPERAND": operand(q.dtype),
    }
    return Launch(kernel, -(-sequences // (tile.rows // L)), arguments, tile.warps)


@torch.library.custom_op("vidboot::packed_attention", mutates_args=())
def packed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor | None,
    cos: Tensor | None,
    sin: Tensor | None,
    behind: int,
    ahead: int,
) -> Tensor:
    """Attend to the keys from ``behind`` back to ``ahead`` on; see ``attention``."""
    out = empty_like_caller(q)
    if not q.numel():
        return out
    rotary = None if cos is None or sin is None else prepared_angles((cos, sin), q)
    tile = tile_of("forward", q.shape[2], q.shape[4])
    q, k, v = aligned(q), aligned(k), aligned(v)
    forward_launch(q, k, v, key_mask, rotary, behind, ahead, out, tile=tile).run()
    return out


@torch.library.custom_op("vidboot::packed_attention_backward", mutates_args=())
def packed_attention_backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor | None,
    cos: Tensor | None,
    sin: Tensor | None,
    behind: int,
    ahead: int,
    dout: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v, given that of the result."""
    dqkv = empty_like_caller(q), empty_like_caller(q), empty_like_caller(q)
    if not q.numel():
        return dqkv
    rotary = None if cos is None or sin is None else prepared_angles((cos, sin), q)
    tile = tile_of("backward", q.shape[2], q.shape[4])
    q, k, v, dout = aligned(q), aligned(k), aligned(v), aligned(dout)
    backward_launch(q, k, v, key_mask, rotary, behind, ahead, dout, dqkv, tile=tile).run()
    return dqkv


@packed_attention.register_fake
def _(q: Tensor, *_: object) -> Tensor:
    return empty_like_caller(q)


@packed_attention_backward.register_fake
def _(q: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return empty_like_caller(q), empty_like_caller(q), empty_like_caller(q)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.behind, ctx.ahead = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
    dqkv = packed_attention_backward(*ctx.saved_tensors, ctx.behind, ctx.ahead, dout)
    return (*dqkv, None, None, None, None, None)


packed_attention.register_autograd(_backward, setup_context=_save)

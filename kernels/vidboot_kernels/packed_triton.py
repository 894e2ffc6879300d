"""Attention along at most 128: several short sequences in one tile, norm and rotation in registers.

Forward reads q, k, v and writes the result: 4 tensors moved. Backward reads q, k, v and the gradient of the result and
writes three gradients: 7 tensors, and nothing is saved but q, k, v. A row of a tile is a place l of a sequence; the
sequence is a head at (b, g), and heads lie next to each other in memory.

NaN or infinity in keys and values under the mask is never read. In what is not masked it may reach the other sequences
of its tile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidboot_kernels.reference import Rotary
from vidboot_kernels.tiles_triton import (
    LOG2_E,
    UNIT,
    Launch,
    aligned,
    angles_unit,
    arch_of,
    empty_like_caller,
    in_units,
    inverse_rms,
    jit,
    load_half,
    load_rows,
    norm_backward,
    offsets,
    operand,
    prepared_angles,
    require_device,
    require_shape,
    rotated,
    store_half,
    store_rows,
)

LONGEST = 128
# Compiled once, whatever their value.
NUMBERS = ["mask_ptr", "G", "heads", "sequences", "behind", "ahead"]
NUMBERS += [f"{name}_strides" for name in ("q", "k", "v", "mask", "angle", "out", "dout", "dx")]


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
    """Compute ``reference.attention`` along at most ``LONGEST``; cos and sin get no gradient.

    Raises:
        ValueError: the tensors are not on a CUDA device, or of a shape or precision that the kernel does not compute.
    """
    require_device(q)
    require_shape(q, k, v)
    L = q.shape[2]
    if L > LONGEST:
        raise ValueError(f"packed attention goes along at most {LONGEST}, not {L}")
    cos, sin = rotary or (None, None)
    # A query sees from `behind` back to `ahead` on.
    behind = L if window is None else min(window, L)
    return packed_attention(q, k, v, key_mask, cos, sin, behind, 0 if causal else behind)


@jit
def _tile(mask_ptr, mask_strides, G, heads, sequences, behind, ahead, L: tl.constexpr, R: tl.constexpr):
    """What this program computes.

    Returns:
        (b, g, place, head) of each row, which rows exist, which of them are valid keys, and [R, R], True where a row
        may look at a column: a valid key of its sequence, within the window.
    """
    row = tl.arange(0, R)
    slot, place = row // L, row % L
    sequence = tl.program_id(0) * (R // L) + slot
    inside = (slot < R // L) & (sequence < sequences)
    at = (sequence // heads // G, sequence // heads % G, place, sequence % heads)
    first = row - tl.minimum(place, behind)
    last = row + tl.minimum(L - 1 - place, ahead)
    near = (row[None, :] >= first[:, None]) & (row[None, :] <= last[:, None])
    valid = inside
    if mask_ptr is not None:
        valid = tl.load(mask_ptr + offsets(mask_strides, at, 1), mask=inside, other=0) != 0  # [R]
        near = near & valid[None, :]
    return at, inside, valid, near


@jit
def _angles(cos_ptr, sin_ptr, begin, inside, E: tl.constexpr, BH: tl.constexpr):
    return load_half(cos_ptr, begin, inside, E, BH), load_half(sin_ptr, begin, inside, E, BH)


@jit
def _normed(
    x_ptr, begin, inside, cos_ptr, sin_ptr, angle_begin, scale, OPERAND: tl.constexpr, E: tl.constexpr, BH: tl.constexpr
):
    """Both halves of rows, normed, rotated, times scale; and what they were divided by, inverted."""
    x1 = load_half(x_ptr, begin, inside, E, BH)
    x2 = load_half(x_ptr + E // 2, begin, inside, E, BH)
    r = inverse_rms(x1, x2, E)
    x1, x2 = x1 * (r * scale)[:, None], x2 * (r * scale)[:, None]
    if cos_ptr is not None:
        cos, sin = _angles(cos_ptr, sin_ptr, angle_begin, inside, E, BH)
        x1, x2 = rotated(x1, x2, cos, sin)
    return x1.to(OPERAND), x2.to(OPERAND), r


@jit
def _logits(q1, q2, k1, k2):
    logits = tl.dot(q1, tl.trans(k1), input_precision="ieee")
    return tl.dot(q2, tl.trans(k2), logits, input_precision="ieee")  # [R, R]


@jit
def _softmax(logits, near):
    """P of logits in base 2; 0 in a row that may look at nothing."""
    logits = tl.where(near, logits, float("-inf"))
    highest = tl.max(logits, 1)
    highest = tl.where(highest == float("-inf"), 0.0, highest)
    weights = tl.exp2(logits - highest[:, None])
    total = tl.sum(weights, 1)
    return weights / tl.where(total == 0, 1.0, total)[:, None]


@jit(do_not_specialize=NUMBERS)
def _forward_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    mask_ptr,
    cos_ptr,
    sin_ptr,
    out_ptr,
    q_strides,
    k_strides,
    v_strides,
    mask_strides,
    angle_strides,
    out_strides,
    G,
    heads,
    sequences,
    behind,
    ahead,
    L: tl.constexpr,
    E: tl.constexpr,
    BH: tl.constexpr,
    BE: tl.constexpr,
    R: tl.constexpr,
    ANGLES_UNIT: tl.constexpr,
    OPERAND: tl.constexpr,
):
    """out_i = sum_j softmax_j(q'_i . k'_j / sqrt(E)) v_j over the keys j of the same sequence that i may look at.

    x' = rotation of x / rms(x). One tile of R rows holds R // L sequences.
    """
    at, inside, valid, near = _tile(mask_ptr, mask_strides, G, heads, sequences, behind, ahead, L, R)
    turn = offsets(angle_strides, at, ANGLES_UNIT)
    # The logits are in base 2.
    scale: tl.constexpr = LOG2_E * E**-0.5
    q1, q2, _ = _normed(q_ptr, offsets(q_strides, at, UNIT), inside, cos_ptr, sin_ptr, turn, scale, OPERAND, E, BH)
    k1, k2, _ = _normed(k_ptr, offsets(k_strides, at, UNIT), valid, cos_ptr, sin_ptr, turn, 1.0, OPERAND, E, BH)
    v = load_rows(v_ptr, offsets(v_strides, at, UNIT), valid, E, BE).to(OPERAND)
    weights = _softmax(_logits(q1, q2, k1, k2), near)
    out = tl.dot(weights.to(OPERAND), v, input_precision="ieee")  # [R, BE]
    store_rows(out_ptr, offsets(out_strides, at, UNIT), inside, out, E, BE)


@jit
def _store_dx(
    d1,
    d2,
    x_ptr,
    begin,
    r,
    mean,
    cos_ptr,
    sin_ptr,
    angle_begin,
    dx_ptr,
    dx_begin,
    inside,
    valid,
    E: tl.constexpr,
    BH: tl.constexpr,
):
    """Take the gradient of normed and rotated rows back to the rows, which are read again, and store it."""
    if cos_ptr is not None:
        cos, sin = _angles(cos_ptr, sin_ptr, angle_begin, inside, E, BH)
        d1, d2 = rotated(d1, d2, cos, -sin)
    x1 = load_half(x_ptr, begin, valid, E, BH)
    store_half(dx_ptr, dx_begin, inside, norm_backward(d1, x1, r, mean), E, BH)
    x2 = load_half(x_ptr + E // 2, begin, valid, E, BH)
    store_half(dx_ptr + E // 2, dx_begin, inside, norm_backward(d2, x2, r, mean), E, BH)


@jit(do_not_specialize=NUMBERS)
def _backward_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    mask_ptr,
    cos_ptr,
    sin_ptr,
    dout_ptr,
    dq_ptr,
    dk_ptr,
    dv_ptr,
    q_strides,
    k_strides,
    v_strides,
    mask_strides,
    angle_strides,
    dout_strides,
    dx_strides,
    G,
    heads,
    sequences,
    behind,
    ahead,
    L: tl.constexpr,
    E: tl.constexpr,
    BH: tl.constexpr,
    BE: tl.constexpr,
    R: tl.constexpr,
    ANGLES_UNIT: tl.constexpr,
    OPERAND: tl.constexpr,
):
    """dv = P^T dout, dP = dout v^T, dS = P (dP - rowsum(P dP)), dq' = dS k' / sqrt(E), dk' = dS^T q' / sqrt(E).

    P is computed again, q and k are read again (they are in the cache). The way back through the norm needs the mean
    over E of dq' q' and of dk' k': the sums of dS S over a row and over a column, divided by E.
    """
    at, inside, valid, near = _tile(mask_ptr, mask_strides, G, heads, sequences, behind, ahead, L, R)
    turn = offsets(angle_strides, at, ANGLES_UNIT)
    q_begin, k_begin = offsets(q_strides, at, UNIT), offsets(k_strides, at, UNIT)
    dx_begin = offsets(dx_strides, at, UNIT)
    scale: tl.constexpr = LOG2_E * E**-0.5
    q1, q2, q_r = _normed(q_ptr, q_begin, inside, cos_ptr, sin_ptr, turn, scale, OPERAND, E, BH)
    k1, k2, k_r = _normed(k_ptr, k_begin, valid, cos_ptr, sin_ptr, turn, 1.0, OPERAND, E, BH)
    logits = _logits(q1, q2, k1, k2)
    weights = _softmax(logits, near)
    dout = load_rows(dout_ptr, offsets(dout_strides, at, UNIT), inside, E, BE).to(OPERAND)
    dv = tl.dot(tl.trans(weights.to(OPERAND)), dout, input_precision="ieee")  # [R, BE]
    store_rows(dv_ptr, dx_begin, inside, dv, E, BE)
    v = load_rows(v_ptr, offsets(v_strides, at, UNIT), valid, E, BE).to(OPERAND)
    dweights = tl.dot(dout, tl.trans(v), input_precision="ieee")  # [R, R]
    dlogits = weights * (dweights - tl.sum(weights * dweights, 1)[:, None])
    # The logits are in base 2, and so is q'.
    product = tl.where(near, dlogits * logits, 0.0)
    q_mean, k_mean = tl.sum(product, 1) / (E * LOG2_E), tl.sum(product, 0) / (E * LOG2_E)
    dlogits = dlogits.to(OPERAND)
    dq1 = tl.dot(dlogits, k1, input_precision="ieee") * E**-0.5
    dq2 = tl.dot(dlogits, k2, input_precision="ieee") * E**-0.5
    _store_dx(dq1, dq2, q_ptr, q_begin, q_r, q_mean, cos_ptr, sin_ptr, turn, dq_ptr, dx_begin, inside, inside, E, BH)
    dk1 = tl.dot(tl.trans(dlogits), q1, input_precision="ieee") / LOG2_E
    dk2 = tl.dot(tl.trans(dlogits), q2, input_precision="ieee") / LOG2_E
    _store_dx(dk1, dk2, k_ptr, k_begin, k_r, k_mean, cos_ptr, sin_ptr, turn, dk_ptr, dx_begin, inside, valid, E, BH)


def forward_tile(arch: int, E: int, L: int) -> Tile:
    return Tile(64, 4) if L <= 64 else Tile(128, 8)


def backward_tile(arch: int, E: int, L: int) -> Tile:
    return Tile(64, 8 if E > 64 else 4) if L <= 64 else Tile(128, 8)


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
    arguments = {"out_ptr": out, "out_strides": in_units(out)}
    return _launch(_forward_kernel, q, k, v, key_mask, rotary, behind, ahead, arguments, tile)


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
    return _launch(_backward_kernel, q, k, v, key_mask, rotary, behind, ahead, arguments, tile)


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
    assert sequences < 2**31, f"{sequences = }"
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
        "BE": max(16, triton.next_power_of_2(E)),
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
    tile = forward_tile(arch_of(q), q.shape[4], q.shape[2])
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
    tile = backward_tile(arch_of(q), q.shape[4], q.shape[2])
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

"""The kernels of packed attention: several short sequences in one tile, norm and rotation in registers.

A row of a tile is a place l of a sequence; a sequence is a head at (b, g), and heads lie next to each other in memory.
"""

from __future__ import annotations

import triton.language as tl

from vidboot_kernels.tiles_triton import (
    LOG2_E,
    UNIT,
    inverse_rms,
    jit,
    load_half,
    load_rows,
    norm_backward,
    offsets,
    rotated,
    store_half,
    store_rows,
)

# Compiled once, whatever their value; of strides, anew where one becomes or stops being 1 or a multiple of 16.
NUMBERS = ["mask_ptr", "G", "heads", "sequences", "behind", "ahead"]
NUMBERS += [f"{name}_strides" for name in ("q", "k", "v", "mask", "angle", "out", "dout", "dx")]


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
def _product(a1, a2, b1, b2):
    """a b^T of rows given as halves."""
    product = tl.dot(a1, tl.trans(b1), input_precision="ieee")
    return tl.dot(a2, tl.trans(b2), product, input_precision="ieee")  # [R, R]


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
def forward_kernel(
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
    weights = _softmax(_product(q1, q2, k1, k2), near)
    out = tl.dot(weights.to(OPERAND), v, input_precision="ieee")  # [R, BE]
    store_rows(out_ptr, offsets(out_strides, at, UNIT), inside, out, E, BE)


@jit
def _store_dx(
    d1,
    d2,
    x_ptr,
    begin,
    r,
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
    x2 = load_half(x_ptr + E // 2, begin, valid, E, BH)
    mean = (tl.sum(d1 * x1, 1) + tl.sum(d2 * x2, 1)) * r / E
    store_half(dx_ptr, dx_begin, inside, norm_backward(d1, x1, r, mean), E, BH)
    store_half(dx_ptr + E // 2, dx_begin, inside, norm_backward(d2, x2, r, mean), E, BH)


@jit(do_not_specialize=NUMBERS)
def backward_kernel(
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
    R: tl.constexpr,
    ANGLES_UNIT: tl.constexpr,
    OPERAND: tl.constexpr,
):
    """dv = P^T dout, dP = dout v^T, dS = P (dP - rowsum(P dP)), dq' = dS k' / sqrt(E), dk' = dS^T q' / sqrt(E).

    P is computed again, q and k are read again (they are in the cache).
    """
    at, inside, valid, near = _tile(mask_ptr, mask_strides, G, heads, sequences, behind, ahead, L, R)
    turn = offsets(angle_strides, at, ANGLES_UNIT)
    q_begin, k_begin = offsets(q_strides, at, UNIT), offsets(k_strides, at, UNIT)
    dx_begin = offsets(dx_strides, at, UNIT)
    scale: tl.constexpr = LOG2_E * E**-0.5
    q1, q2, q_r = _normed(q_ptr, q_begin, inside, cos_ptr, sin_ptr, turn, scale, OPERAND, E, BH)
    k1, k2, k_r = _normed(k_ptr, k_begin, valid, cos_ptr, sin_ptr, turn, 1.0, OPERAND, E, BH)
    weights = _softmax(_product(q1, q2, k1, k2), near)
    dout_begin, v_begin = offsets(dout_strides, at, UNIT), offsets(v_strides, at, UNIT)
    dout1 = load_half(dout_ptr, dout_begin, inside, E, BH).to(OPERAND)
    dout2 = load_half(dout_ptr + E // 2, dout_begin, inside, E, BH).to(OPERAND)
    v1 = load_half(v_ptr, v_begin, valid, E, BH).to(OPERAND)
    v2 = load_half(v_ptr + E // 2, v_begin, valid, E, BH).to(OPERAND)
    dv1 = tl.dot(tl.trans(weights.to(OPERAND)), dout1, input_precision="ieee")
    store_half(dv_ptr, dx_begin, inside, dv1, E, BH)
    dv2 = tl.dot(tl.trans(weights.to(OPERAND)), dout2, input_precision="ieee")
    store_half(dv_ptr + E // 2, dx_begin, inside, dv2, E, BH)
    dweights = _product(dout1, dout2, v1, v2)
    dlogits = weights * (dweights - tl.sum(weights * dweights, 1)[:, None])
    dlogits = dlogits.to(OPERAND)
    dq1 = tl.dot(dlogits, k1, input_precision="ieee") * E**-0.5
    dq2 = tl.dot(dlogits, k2, input_precision="ieee") * E**-0.5
    _store_dx(dq1, dq2, q_ptr, q_begin, q_r, cos_ptr, sin_ptr, turn, dq_ptr, dx_begin, inside, inside, E, BH)
    # q' holds the scale already, in base 2.
    dk1 = tl.dot(tl.trans(dlogits), q1, input_precision="ieee") / LOG2_E
    dk2 = tl.dot(tl.trans(dlogits), q2, input_precision="ieee") / LOG2_E
    _store_dx(dk1, dk2, k_ptr, k_begin, k_r, cos_ptr, sin_ptr, turn, dk_ptr, dx_begin, inside, valid, E, BH)

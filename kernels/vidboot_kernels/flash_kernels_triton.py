"""Attention along dim 2 of [B, G, L, heads, E]: one program per head and block of queries (or of keys).

The norm bounds every logit by sqrt(E), so no running maximum is needed: exp neither overflows nor vanishes in float32.
Hidden keys lie behind those that may be seen (``Order``) and are never read. A query sees from ``behind`` positions
before its own to ``ahead`` after it.
"""

from __future__ import annotations

import triton.language as tl

from vidboot_kernels.tiles_triton import LOG2_E, UNIT, jit, load_rows, offsets, store_rows

NUMBERS = ["G", "L", "heads", "behind", "ahead"]
NUMBERS += [f"{name}_strides" for name in ("q", "k", "v", "out", "dout", "dq", "dk", "dv")]


@jit(do_not_specialize=NUMBERS)
def forward_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lse_ptr,
    place_ptr,
    visible_ptr,
    position_ptr,
    q_strides,
    k_strides,
    v_strides,
    out_strides,
    G,
    L,
    heads,
    behind,
    ahead,
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    BAND: tl.constexpr,
    OPERAND: tl.constexpr,
    E: tl.constexpr,
    BE: tl.constexpr,
    BQ: tl.constexpr,
    BK: tl.constexpr,
):
    """out_i = sum_j p_ij v_j / sum_j p_ij, p_ij = 2^(SCALE q_i . k_j - SHIFT); lse_i = SHIFT + log2 sum_j p_ij."""
    i0, b, g, head = _program(G, L, heads, BQ)
    i = i0 + tl.arange(0, BQ)
    keys = _keys(visible_ptr, b, g, G, L)
    index = (b * G + g) * L
    q = load_rows(q_ptr, offsets(q_strides, (b, g, i, head), UNIT), i < L, E, BE).to(OPERAND)  # [BQ, BE]
    out = tl.zeros([BQ, BE], tl.float32)
    total = tl.zeros([BQ], tl.float32)
    if BAND:
        whole = _keys_before(place_ptr, index, i0 - behind, keys, L)
        last = _keys_before(place_ptr, index, i0 + BQ + ahead, keys, L)
    else:
        whole, last = keys // BK * BK, keys
        for j0 in range(0, whole, BK):
            j = j0 + tl.arange(0, BK)
            k = _load_existing(k_ptr, offsets(k_strides, (b, g, j, head), UNIT), E, BE).to(OPERAND)  # [BK, BE]
            v = _load_existing(v_ptr, offsets(v_strides, (b, g, j, head), UNIT), E, BE).to(OPERAND)  # [BK, BE]
            p = tl.exp2(tl.dot(q, k.T, input_precision="ieee") * SCALE - SHIFT)  # [BQ, BK]
            total += tl.sum(p, 1)
            out = tl.dot(p.to(OPERAND), v, out, input_precision="ieee")
    for j0 in range(whole, last, BK):
        j = j0 + tl.arange(0, BK)
        k = load_rows(k_ptr, offsets(k_strides, (b, g, j, head), UNIT), j < keys, E, BE).to(OPERAND)  # [BK, BE]
        v = load_rows(v_ptr, offsets(v_strides, (b, g, j, head), UNIT), j < keys, E, BE).to(OPERAND)  # [BK, BE]
        p = tl.exp2(tl.dot(q, k.T, input_precision="ieee") * SCALE - SHIFT)  # [BQ, BK]
        p = tl.where(_sees(i[:, None], j[None, :], keys, position_ptr, index, behind, ahead, BAND), p, 0.0)
        total += tl.sum(p, 1)
        out = tl.dot(p.to(OPERAND), v, out, input_precision="ieee")
    # A query that sees nothing gives 0, and in the backward pass every p of its row is 2^-inf = 0.
    alive = total > 0
    total = tl.where(alive, total, 1.0)
    store_rows(out_ptr, offsets(out_strides, (b, g, i, head), UNIT), i < L, out / total[:, None], E, BE)
    lse = tl.where(alive, SHIFT + tl.log2(total), float("inf"))
    tl.store(lse_ptr + index * heads + head * L + i, lse, mask=i < L)


@jit(do_not_specialize=NUMBERS)
def dq_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lse_ptr,
    dout_ptr,
    dq_ptr,
    delta_ptr,
    place_ptr,
    visible_ptr,
    position_ptr,
    q_strides,
    k_strides,
    v_strides,
    out_strides,
    dout_strides,
    dq_strides,
    G,
    L,
    heads,
    behind,
    ahead,
    SCALE: tl.constexpr,
    BAND: tl.constexpr,
    OPERAND: tl.constexpr,
    E: tl.constexpr,
    BE: tl.constexpr,
    BQ: tl.constexpr,
    BK: tl.constexpr,
):
    """dq_i = E^-1/2 sum_j ds_ij k_j, ds_ij = p_ij (dout_i . v_j - delta_i), delta_i = dout_i . out_i.

    p_ij = 2^(SCALE q_i . k_j - lse_i). delta is written for the kernel of dk and dv.
    """
    i0, b, g, head = _program(G, L, heads, BQ)
    i = i0 + tl.arange(0, BQ)
    keys = _keys(visible_ptr, b, g, G, L)
    index = (b * G + g) * L
    row = index * heads + head * L + i
    q = load_rows(q_ptr, offsets(q_strides, (b, g, i, head), UNIT), i < L, E, BE).to(OPERAND)  # [BQ, BE]
    dout = load_rows(dout_ptr, offsets(dout_strides, (b, g, i, head), UNIT), i < L, E, BE).to(OPERAND)  # [BQ, BE]
    out = load_rows(out_ptr, offsets(out_strides, (b, g, i, head), UNIT), i < L, E, BE).to(tl.float32)  # [BQ, BE]
    delta = tl.sum(out * dout, 1)
    tl.store(delta_ptr + row, delta, mask=i < L)
    lse = tl.load(lse_ptr + row, mask=i < L, other=0.0)  # [BQ]
    dq = tl.zeros([BQ, BE], tl.float32)
    first, last = 0, keys
    if BAND:
        first = _keys_before(place_ptr, index, i0 - behind, keys, L)
        last = _keys_before(place_ptr, index, i0 + BQ + ahead, keys, L)
    for j0 in range(first, last, BK):
        j = j0 + tl.arange(0, BK)
        k = load_rows(k_ptr, offsets(k_strides, (b, g, j, head), UNIT), j < keys, E, BE).to(OPERAND)  # [BK, BE]
        v = load_rows(v_ptr, offsets(v_strides, (b, g, j, head), UNIT), j < keys, E, BE).to(OPERAND)  # [BK, BE]
        p = tl.exp2(tl.dot(q, k.T, input_precision="ieee") * SCALE - lse[:, None])  # [BQ, BK]
        if BAND:
            p = tl.where(_sees(i[:, None], j[None, :], keys, position_ptr, index, behind, ahead, BAND), p, 0.0)
        ds = p * (tl.dot(dout, v.T, input_precision="ieee") - delta[:, None])
        # Past the last key k is 0, whatever ds is there.
        dq = tl.dot(ds.to(OPERAND), k, dq, input_precision="ieee")
    store_rows(dq_ptr, offsets(dq_strides, (b, g, i, head), UNIT), i < L, dq * (SCALE / LOG2_E), E, BE)


@jit(do_not_specialize=NUMBERS)
def dkdv_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    lse_ptr,
    dout_ptr,
    delta_ptr,
    dk_ptr,
    dv_ptr,
    visible_ptr,
    position_ptr,
    q_strides,
    k_strides,
    v_strides,
    dout_strides,
    dk_strides,
    dv_strides,
    G,
    L,
    heads,
    behind,
    ahead,
    SCALE: tl.constexpr,
    BAND: tl.constexpr,
    OPERAND: tl.constexpr,
    E: tl.constexpr,
    BE: tl.constexpr,
    BQ: tl.constexpr,
    BK: tl.constexpr,
):
    """dv_j = sum_i p_ij dout_i, dk_j = E^-1/2 sum_i ds_ij q_i, p and ds as in ``dq_kernel``; 0 for hidden keys."""
    j0, b, g, head = _program(G, L, heads, BK)
    j = j0 + tl.arange(0, BK)
    keys = _keys(visible_ptr, b, g, G, L)
    index = (b * G + g) * L
    k = load_rows(k_ptr, offsets(k_strides, (b, g, j, head), UNIT), j < keys, E, BE).to(OPERAND)  # [BK, BE]
    v = load_rows(v_ptr, offsets(v_strides, (b, g, j, head), UNIT), j < keys, E, BE).to(OPERAND)  # [BK, BE]
    dk = tl.zeros([BK, BE], tl.float32)
    dv = tl.zeros([BK, BE], tl.float32)
    first, last = 0, tl.where(j0 < keys, L, 0)
    if BAND:
        nearest, farthest = j0, tl.minimum(j0 + BK, keys) - 1
        if position_ptr is not None:
            nearest = tl.load(position_ptr + index + nearest)
            farthest = tl.load(position_ptr + index + tl.maximum(farthest, 0))
        first, last = tl.maximum(nearest - ahead, 0), tl.minimum(last, farthest + behind + 1)
    for i0 in range(first, last, BQ):
        i = i0 + tl.arange(0, BQ)
        row = index * heads + head * L + i
        q = load_rows(q_ptr, offsets(q_strides, (b, g, i, head), UNIT), i < L, E, BE).to(OPERAND)  # [BQ, BE]
        dout = load_rows(dout_ptr, offsets(dout_strides, (b, g, i, head), UNIT), i < L, E, BE).to(OPERAND)  # [BQ, BE]
        lse = tl.load(lse_ptr + row, mask=i < L, other=0.0)  # [BQ]
        delta = tl.load(delta_ptr + row, mask=i < L, other=0.0)  # [BQ]
        # Past the last query q and dout are 0, and so is what they add.
        p = tl.exp2(tl.dot(k, q.T, input_precision="ieee") * SCALE - lse[None, :])  # [BK, BQ]
        if BAND:
            p = tl.where(_sees(i[None, :], j[:, None], keys, position_ptr, index, behind, ahead, BAND), p, 0.0)
        dv = tl.dot(p.to(OPERAND), dout, dv, input_precision="ieee")
        ds = p * (tl.dot(v, dout.T, input_precision="ieee") - delta[None, :])
        dk = tl.dot(ds.to(OPERAND), q, dk, input_precision="ieee")
    dk = tl.where((j < keys)[:, None], dk * (SCALE / LOG2_E), 0.0)
    dv = tl.where((j < keys)[:, None], dv, 0.0)
    store_rows(dk_ptr, offsets(dk_strides, (b, g, j, head), UNIT), j < L, dk, E, BE)
    store_rows(dv_ptr, offsets(dv_strides, (b, g, j, head), UNIT), j < L, dv, E, BE)


@jit
def _program(G, L, heads, BLOCK: tl.constexpr):
    """This program's first row, b, g and head; blocks of one head follow each other, as they read the same."""
    blocks = tl.cdiv(L, BLOCK)
    program = tl.program_id(0)
    bgh = program // blocks
    bg = (bgh // heads).to(tl.int64)
    return program % blocks * BLOCK, bg // G, bg % G, bgh % heads


@jit
def _keys(visible_ptr, b, g, G, L):
    """How many keys may be seen."""
    return L if visible_ptr is None else tl.load(visible_ptr + b * G + g)


@jit
def _keys_before(place_ptr, index, position, keys, L):
    """How many of the keys that may be seen come before a position, which may lie outside."""
    position = tl.minimum(tl.maximum(position, 0), L)
    if place_ptr is not None:
        place = tl.load(place_ptr + index + tl.minimum(position, L - 1))
        before = tl.where(place < keys, place, position - (place - keys))
        position = tl.where(position < L, before, keys)
    return position


@jit
def _sees(i, j, keys, position_ptr, index, behind, ahead, BAND: tl.constexpr):
    """Whether the query at position i sees the key in place j."""
    sees = j < keys
    if BAND:
        position = j
        if position_ptr is not None:
            position = tl.load(position_ptr + index + j, mask=sees, other=0)
        sees = sees & (position >= i - behind) & (position <= i + ahead)
    return sees


@jit
def _load_existing(x_ptr, begin, E: tl.constexpr, BE: tl.constexpr):
    """``load_rows`` where all rows exist: no mask where E needs no padding."""
    column = tl.arange(0, BE)
    pointer = x_ptr + begin[:, None] + column[None, :]
    return tl.load(pointer) if E == BE else tl.load(pointer, mask=(column < E)[None, :], other=0.0)

"""Gate, add, norm and modulate in one pass over memory, and the way back in one.

Forward reads x and y and writes the stream and its modulated norm: 4 tensors moved. Backward reads both gradients, the
stream and y and writes two gradients: 6 tensors. Saved are the stream and y; the norm is computed again.

A row is one place of a video, [B, M, D]; a program takes a run of rows of one video.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidboot_kernels.modulation import WIDEST
from vidboot_kernels.reference import LAYER_EPS
from vidboot_kernels.tiles_triton import (
    ALIGNED,
    UNIT,
    Launch,
    aligned,
    in_units,
    jit,
    load_rows,
    require_tensors,
    store_rows,
)

Kernel = Literal["forward", "backward"]
_EPS = tl.constexpr(LAYER_EPS)
READ: dict[Kernel, tuple[str, ...]] = {
    "forward": ("x", "y", "gate", "shift", "scale"),
    "backward": ("dstream", "dmodulated", "stream", "y", "gate", "scale"),
}
NUMBERS = ["rows", *(f"{name}_strides" for names in READ.values() for name in names)]


class Tile(NamedTuple):
    """How a kernel is cut: so many elements at once, so often one after the other, by so many warps."""

    elements: int
    repeats: int
    warps: int

    def rows(self, D: int) -> int:
        return max(1, self.elements // int(triton.next_power_of_2(D)))

    def runs(self, M: int, D: int) -> int:
        """Programs for a video of M rows."""
        return -(-M // (self.rows(D) * self.repeats))


TILES: dict[Kernel, Tile] = {"forward": Tile(4096, 4, 4), "backward": Tile(2048, 32, 4)}
"""On every GPU. Chosen by registers, not yet by time."""


def gated_modulated(x: Tensor, y: Tensor, gate: Tensor, shift: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Compute ``reference.gated_modulated``.

    Raises:
        ValueError: the tensors are not on a CUDA device, or of a shape or precision that the kernel does not compute.
    """
    _require(x, y, gate, shift, scale)
    rows, vectors = (x.flatten(1, -2) for x in (x, y)), (vector.flatten(0, -2) for vector in (gate, shift, scale))
    stream, modulated = _gated_modulated(*rows, *vectors)
    return stream.view(x.shape), modulated.view(x.shape)


def bytes_moved(x: Tensor, *, backward: bool = False) -> int:
    """Return what must go between memory and GPU; what there is once per video or per program is not counted."""
    return (6 if backward else 4) * x.numel() * x.element_size()


def _require(x: Tensor, y: Tensor, *vectors: Tensor) -> None:
    require_tensors(x, y, *vectors)
    D = x.shape[-1]
    of_video = (len(x), *(1 for _ in x.shape[1:-1]), D)
    if x.ndim < 3 or y.shape != x.shape or any(vector.shape != of_video for vector in vectors):
        shapes = ", ".join(str(tuple(given.shape)) for given in (x, y, *vectors))
        raise ValueError(
            f"backend 'triton' takes x and y [B, ..., D]; gate, shift and scale [B, 1, ..., D]; not {shapes}"
        )
    if D % ALIGNED or not 0 < D <= WIDEST:
        raise ValueError(f"backend 'triton' takes streams whose width is a multiple of 8 up to {WIDEST}, not {D}")


@jit
def _run(rows, R: tl.constexpr, REPEATS: tl.constexpr):
    """The video of this program, and the first of its rows."""
    runs = tl.cdiv(rows, R * REPEATS)
    run = tl.program_id(0)
    return (run // runs).to(tl.int64), run % runs * (R * REPEATS)


@jit
def _of_video(vector_ptr, strides, b, D: tl.constexpr, BD: tl.constexpr):
    """Gate, shift or scale of a video, [1, BD]."""
    column = tl.arange(0, BD)
    row = tl.load(vector_ptr + b * strides[0] * UNIT + column, mask=column < D, other=0.0)
    return row.to(tl.float32)[None, :]


@jit
def _load(x_ptr, strides, b, row, inside, D: tl.constexpr, BD: tl.constexpr):
    begin = (b * strides[0] + row.to(tl.int64) * strides[1]) * UNIT
    return load_rows(x_ptr, begin, inside, D, BD).to(tl.float32)  # [R, BD]


@jit
def _store(x_ptr, rows, b, row, inside, x, D: tl.constexpr, BD: tl.constexpr):
    """Store to a contiguous tensor."""
    store_rows(x_ptr, (b * rows + row) * D, inside, x, D, BD)


@jit
def _normed(x, D: tl.constexpr, BD: tl.constexpr):
    """(x - mean) r and r = (var + EPS)^-1/2, over the width; 0 beyond it."""
    x = tl.where((tl.arange(0, BD) < D)[None, :], x - (tl.sum(x, 1) / D)[:, None], 0.0)
    r = tl.rsqrt(tl.sum(x * x, 1) / D + _EPS)[:, None]
    return x * r, r


@jit(do_not_specialize=NUMBERS)
def _forward_kernel(
    x_ptr,
    y_ptr,
    gate_ptr,
    shift_ptr,
    scale_ptr,
    stream_ptr,
    modulated_ptr,
    x_strides,
    y_strides,
    gate_strides,
    shift_strides,
    scale_strides,
    rows,
    D: tl.constexpr,
    BD: tl.constexpr,
    R: tl.constexpr,
    REPEATS: tl.constexpr,
):
    """stream = x + (1 + gate) y, modulated = shift + (1 + scale) (stream - mean) / sqrt(var + EPS)."""
    b, first = _run(rows, R, REPEATS)
    gate = _of_video(gate_ptr, gate_strides, b, D, BD)
    shift = _of_video(shift_ptr, shift_strides, b, D, BD)
    scale = _of_video(scale_ptr, scale_strides, b, D, BD)
    for i in range(REPEATS):
        row = first + i * R + tl.arange(0, R)
        inside = row < rows
        x = _load(x_ptr, x_strides, b, row, inside, D, BD)
        y = _load(y_ptr, y_strides, b, row, inside, D, BD)
        # As the backward pass will read it.
        stream = (x + (1 + gate) * y).to(stream_ptr.dtype.element_ty)
        _store(stream_ptr, rows, b, row, inside, stream, D, BD)
        h, _ = _normed(stream.to(tl.float32), D, BD)
        _store(modulated_ptr, rows, b, row, inside, shift + (1 + scale) * h, D, BD)


@jit(do_not_specialize=NUMBERS)
def _backward_kernel(
    dstream_ptr,
    dmodulated_ptr,
    stream_ptr,
    y_ptr,
    gate_ptr,
    scale_ptr,
    dx_ptr,
    dy_ptr,
    sums_ptr,
    dstream_strides,
    dmodulated_strides,
    stream_strides,
    y_strides,
    gate_strides,
    scale_strides,
    rows,
    D: tl.constexpr,
    BD: tl.constexpr,
    R: tl.constexpr,
    REPEATS: tl.constexpr,
):
    """dx = dstream + r (d - mean d - h mean(d h)), dy = (1 + gate) dx, and sums over the rows of this program.

    h = (stream - mean) r, r = 1 / sqrt(var + EPS), d = (1 + scale) dmodulated. Summed are what gives the gradients of
    gate, shift and scale: dx y, dmodulated, dmodulated h.
    """
    b, first = _run(rows, R, REPEATS)
    gate = _of_video(gate_ptr, gate_strides, b, D, BD)
    scale = _of_video(scale_ptr, scale_strides, b, D, BD)
    dgate = tl.zeros([BD], tl.float32)
    dshift = tl.zeros([BD], tl.float32)
    dscale = tl.zeros([BD], tl.float32)
    for i in range(REPEATS):
        row = first + i * R + tl.arange(0, R)
        inside = row < rows
        h, r = _normed(_load(stream_ptr, stream_strides, b, row, inside, D, BD), D, BD)
        dmodulated = _load(dmodulated_ptr, dmodulated_strides, b, row, inside, D, BD)
        dshift += tl.sum(dmodulated, 0)
        dscale += tl.sum(dmodulated * h, 0)
        d = (1 + scale) * dmodulated
        d = r * (d - (tl.sum(d, 1) / D)[:, None] - h * (tl.sum(d * h, 1) / D)[:, None])
        dx = d + _load(dstream_ptr, dstream_strides, b, row, inside, D, BD)
        _store(dx_ptr, rows, b, row, inside, dx, D, BD)
        _store(dy_ptr, rows, b, row, inside, (1 + gate) * dx, D, BD)
        dgate += tl.sum(dx * _load(y_ptr, y_strides, b, row, inside, D, BD), 0)
    column = tl.arange(0, BD)
    sums = sums_ptr + tl.program_id(0).to(tl.int64) * 3 * D + column
    tl.store(sums, dgate, mask=column < D)
    tl.store(sums + D, dshift, mask=column < D)
    tl.store(sums + 2 * D, dscale, mask=column < D)


def launch(kernel: Kernel, tensors: dict[str, Tensor]) -> Launch:
    """Prepare a kernel for what it takes, by name, [B, M, D] or [B, D]: aligned; contiguous what it writes."""
    B, M, D = tensors["y"].shape
    tile = TILES[kernel]
    programs = B * tile.runs(M, D)
    assert max(programs, M + tile.repeats * tile.rows(D)) < 2**31, f"{M = }"
    arguments: dict[str, Any] = {f"{name}_ptr": x for name, x in tensors.items()}
    arguments |= {f"{name}_strides": in_units(tensors[name]) for name in READ[kernel]}
    arguments |= dict(rows=M, D=D, BD=triton.next_power_of_2(D), R=tile.rows(D), REPEATS=tile.repeats)
    return Launch(_forward_kernel if kernel == "forward" else _backward_kernel, programs, arguments, tile.warps)


@torch.library.custom_op("vidboot::gated_modulated", mutates_args=())
def _gated_modulated(x: Tensor, y: Tensor, gate: Tensor, shift: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """x, y: [B, M, D]; gate, shift, scale: [B, D]."""
    stream, modulated = x.new_empty(x.shape), x.new_empty(x.shape)
    if x.numel():
        read = {name: aligned(given) for name, given in zip(READ["forward"], (x, y, gate, shift, scale), strict=True)}
        launch("forward", read | dict(stream=stream, modulated=modulated)).run()
    return stream, modulated


@_gated_modulated.register_fake
def _(x: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape)


@torch.library.custom_op("vidboot::gated_modulated_backward", mutates_args=())
def _gated_modulated_backward(
    dstream: Tensor, dmodulated: Tensor, stream: Tensor, y: Tensor, gate: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x and y, and those of gate, shift and scale, [B, 3, D]."""
    B, M, D = y.shape
    dx, dy = y.new_empty(y.shape), y.new_empty(y.shape)
    sums = y.new_empty(B, TILES["backward"].runs(M, D), 3, D, dtype=torch.float32)
    if y.numel():
        given = (dstream, dmodulated, stream, y, gate, scale)
        read = {name: aligned(x) for name, x in zip(READ["backward"], given, strict=True)}
        launch("backward", read | dict(dx=dx, dy=dy, sums=sums)).run()
    return dx, dy, sums.sum(1).to(y.dtype)


@_gated_modulated_backward.register_fake
def _(dstream: Tensor, dmodulated: Tensor, stream: Tensor, y: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    B, _M, D = y.shape
    return y.new_empty(y.shape), y.new_empty(y.shape), y.new_empty(B, 3, D)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    _, y, gate, _, scale = inputs
    ctx.save_for_backward(output[0], y, gate, scale)


def _backward(ctx: Any, dstream: Tensor, dmodulated: Tensor) -> tuple[Tensor, ...]:
    dx, dy, sums = _gated_modulated_backward(dstream, dmodulated, *ctx.saved_tensors)
    return dx, dy, *sums.unbind(1)


_gated_modulated.register_autograd(_backward, setup_context=_save)

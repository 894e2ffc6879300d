"""Attention along dim 2 of [B, G, L, heads, E] for any L, by blocks: q and k are normed and rotated beforehand."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
import triton
from torch import Tensor

from vidboot_kernels.flash_kernels_triton import dkdv_kernel, dq_kernel, forward_kernel
from vidboot_kernels.norm_rotate_triton import Order, move, norm_rotate
from vidboot_kernels.reference import Rotary
from vidboot_kernels.tiles_triton import (
    LOG2_E,
    Launch,
    aligned,
    arch_of,
    empty_like_caller,
    in_units,
    operand,
    require,
    sight,
)

Kernel = Literal["forward", "dq", "dkdv"]
Tensors = dict[str, Any]
"""By name; None = not given."""


class Blocks(NamedTuple):
    """How a kernel is cut and compiled."""

    BQ: int
    BK: int
    warps: int
    stages: int


BLOCKS: dict[tuple[int, Kernel, int], Blocks] = {
    (80, "forward", 64): Blocks(64, 64, 4, 3),
    (80, "forward", 128): Blocks(64, 64, 4, 2),
    (80, "dq", 64): Blocks(64, 64, 4, 3),
    (80, "dq", 128): Blocks(64, 32, 4, 3),
    (80, "dkdv", 64): Blocks(64, 64, 4, 3),
    (80, "dkdv", 128): Blocks(32, 64, 4, 3),
    (90, "forward", 64): Blocks(128, 64, 8, 3),
    (90, "forward", 128): Blocks(128, 64, 8, 3),
    (90, "dq", 64): Blocks(128, 64, 8, 3),
    (90, "dq", 128): Blocks(128, 64, 8, 2),
    (90, "dkdv", 64): Blocks(64, 128, 8, 3),
    (90, "dkdv", 128): Blocks(64, 64, 8, 2),
}
"""By the oldest architecture it is for, kernel, and the widest padded head. Chosen by registers, not yet by time."""


def blocks(kernel: Kernel, E: int, arch: int) -> Blocks:
    """Return how to cut a kernel for heads of E on a GPU of compute capability ``arch`` / 10; 0 = the interpreter."""
    if arch == 0:
        return Blocks(32, 32, 4, 1)
    return BLOCKS[90 if arch in (90, 100, 103) else 80, kernel, 64 if E <= 64 else 128]


def bytes_moved(kernel: Kernel, q: Tensor) -> int:
    """Return what must go between memory and GPU, where no key is hidden: the tensors a kernel takes and gives, once.

    What every block of queries reads of k and v, or every block of keys of q and its gradient, is in the cache.
    """
    tensors, numbers = {"forward": (4, 1), "dq": (6, 2), "dkdv": (6, 2)}[kernel]
    return tensors * q.numel() * q.element_size() + numbers * 4 * (q.numel() // q.shape[-1])


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
    """Compute ``reference.attention`` along any length; cos and sin get no gradient.

    Raises:
        ValueError: the tensors are not on a CUDA device, or of a shape or precision that the kernel does not compute.
    """
    require(q, k, v)
    L = q.shape[2]
    order = None if key_mask is None else Order.of(key_mask)
    q, k = norm_rotate(q, rotary, None), norm_rotate(k, rotary, order)
    behind, ahead = sight(L, window=window, causal=causal)
    position = None
    if order is not None:
        v = move(v, order)
        position = order.place.argsort(-1).int() if min(behind, ahead) < L else None  # [B, G, L]
    return _flash(q, k, v, *(order or (None, None)), position, behind, ahead)[0]


def forward_launch(tensors: Tensors, behind: int, ahead: int, *, cut: Blocks) -> Launch:
    """Prepare the kernel for q, k, v, out, lse, place, visible, position."""
    E = tensors["q"].shape[-1]
    # p stays below e^10, which float16 holds.
    shift = max(0.0, (math.sqrt(E) - 10) * LOG2_E.value)
    return _launch(forward_kernel, tensors, behind, ahead, cut, rows=cut.BQ, SHIFT=shift)


def dq_launch(tensors: Tensors, behind: int, ahead: int, *, cut: Blocks) -> Launch:
    """Prepare the kernel for q, k, v, out, lse, dout, dq, delta, place, visible, position."""
    return _launch(dq_kernel, tensors, behind, ahead, cut, rows=cut.BQ)


def dkdv_launch(tensors: Tensors, behind: int, ahead: int, *, cut: Blocks) -> Launch:
    """Prepare the kernel for q, k, v, lse, dout, delta, dk, dv, visible, position."""
    return _launch(dkdv_kernel, tensors, behind, ahead, cut, rows=cut.BK)


def _launch(kernel: Any, tensors: Tensors, behind: int, ahead: int, cut: Blocks, *, rows: int, **more: float) -> Launch:
    q = tensors["q"]
    B, G, L, heads, E = q.shape
    arguments: dict[str, Any] = {f"{name}_ptr": x for name, x in tensors.items()}
    arguments |= {f"{name}_strides": in_units(x) for name, x in tensors.items() if x is not None and x.ndim == 5}
    arguments |= dict(G=G, L=L, heads=heads, behind=behind, ahead=ahead, BAND=min(behind, ahead) < L)
    arguments |= dict(
        SCALE=E**-0.5 * LOG2_E.value, E=E, BE=max(16, triton.next_power_of_2(E)), OPERAND=operand(q.dtype)
    )
    arguments |= dict(BQ=cut.BQ, BK=cut.BK, **more)
    return Launch(kernel, -(-L // rows) * B * G * heads, arguments, cut.warps, cut.stages)


@torch.library.custom_op("vidboot::flash", mutates_args=())
def _flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    place: Tensor | None,
    visible: Tensor | None,
    position: Tensor | None,
    behind: int,
    ahead: int,
) -> tuple[Tensor, Tensor]:
    out, lse = _empty_results(q)
    if not q.numel():
        return out, lse
    tensors = dict(q=aligned(q), k=aligned(k), v=aligned(v), out=out, lse=lse)
    tensors |= dict(place=place, visible=visible, position=position)
    forward_launch(tensors, behind, ahead, cut=blocks("forward", q.shape[-1], arch_of(q))).run()
    return out, lse


@_flash.register_fake
def _(q: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return _empty_results(q)


def _empty_results(q: Tensor) -> tuple[Tensor, Tensor]:
    """out, and lse [B, G, heads, L]."""
    B, G, L, heads, _ = q.shape
    return empty_like_caller(q), q.new_empty(B, G, heads, L, dtype=torch.float32)


@torch.library.custom_op("vidboot::flash_backward", mutates_args=())
def _flash_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    place: Tensor | None,
    visible: Tensor | None,
    position: Tensor | None,
    out: Tensor,
    lse: Tensor,
    behind: int,
    ahead: int,
) -> tuple[Tensor, Tensor, Tensor]:
    dq, dk, dv = (empty_like_caller(q) for _ in range(3))
    if not q.numel():
        return dq, dk, dv
    E, arch = q.shape[-1], arch_of(q)
    shared = dict(q=aligned(q), k=aligned(k), v=aligned(v), lse=lse, dout=aligned(dout), delta=torch.empty_like(lse))
    shared |= dict(visible=visible, position=position)
    dq_launch(shared | dict(out=out, dq=dq, place=place), behind, ahead, cut=blocks("dq", E, arch)).run()
    dkdv_launch(shared | dict(dk=dk, dv=dv), behind, ahead, cut=blocks("dkdv", E, arch)).run()
    return dq, dk, dv


@_flash_backward.register_fake
def _(dout: Tensor, q: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return empty_like_caller(q), empty_like_caller(q), empty_like_caller(q)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.behind, ctx.ahead = inputs
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx: Any, dout: Tensor, _: object) -> tuple[Tensor | None, ...]:
    gradients = _flash_backward(dout, *ctx.saved_tensors, ctx.behind, ctx.ahead)
    return *gradients, None, None, None, None, None


_flash.register_autograd(_backward, setup_context=_save)

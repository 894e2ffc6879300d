"""Norm and rotation of q or k in one pass over memory, and the way back; moving rows so that hidden keys come last.

A row is one head at one position of [B, G, L, heads, E]; rows are taken with heads innermost, then positions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidboot_kernels.reference import Rotary
from vidboot_kernels.tiles_triton import (
    UNIT,
    Launch,
    aligned,
    angles_unit,
    empty_like_caller,
    in_units,
    inverse_rms,
    jit,
    load_half,
    norm_backward,
    offsets,
    prepared_angles,
    rotated,
    store_half,
)

NUMBERS = ["rows", "G", "L", "heads", *(f"{name}_strides" for name in ("x", "y", "dx", "dy", "angle"))]
TILE, WARPS = 4096, 4
"""Elements and warps of a program."""


class Order(NamedTuple):
    """New places of the positions of each (b, g): those that may be seen come first, each part in its old order."""

    place: Tensor
    """Where a position goes, [B, G, L] int32."""
    visible: Tensor
    """How many may be seen, [B, G] int32."""

    @classmethod
    def of(cls, key_mask: Tensor) -> Order:
        seen = key_mask.cumsum(-1, dtype=torch.int32)  # [B, G, L], this one included
        visible = seen[..., -1]
        position = torch.arange(key_mask.shape[-1], dtype=torch.int32, device=key_mask.device)
        place = torch.where(key_mask, seen - 1, visible[..., None] + position - seen)
        return cls(place.contiguous(), visible.contiguous())


def norm_rotate(x: Tensor, rotary: Rotary | None, order: Order | None) -> Tensor:
    """Norm and rotate q or k; with an order also move its rows, and make those that may not be seen 0.

    Args:
        x: [B, G, L, heads, E], any strides.
        rotary: cos and sin, each broadcastable to [B, G, L, heads, E / 2]; they get no gradient.
        order: None = rows stay where they are.
    """
    return _norm_rotate(x, *(rotary or (None, None)), *(order or (None, None)), True)


def move(x: Tensor, order: Order) -> Tensor:
    """Only move the rows of x [B, G, L, heads, E], and make those that may not be seen 0."""
    return _norm_rotate(x, None, None, *order, False)


def bytes_moved(x: Tensor, *, norm: bool = True, backward: bool = False) -> int:
    """Return what must go between memory and GPU, where nothing is hidden; the gradient of the norm needs x."""
    return (3 if norm and backward else 2) * x.numel() * x.element_size()


@jit(do_not_specialize=NUMBERS)
def _norm_rotate_kernel(
    x_ptr,
    y_ptr,
    cos_ptr,
    sin_ptr,
    place_ptr,
    visible_ptr,
    x_strides,
    y_strides,
    angle_strides,
    rows,
    G,
    L,
    heads,
    NORM: tl.constexpr,
    E: tl.constexpr,
    BH: tl.constexpr,
    R: tl.constexpr,
    ANGLES_UNIT: tl.constexpr,
):
    """y = rotation of x / sqrt(mean x^2 + EPS), written to the row's new place, R rows per program."""
    at, moved, inside, shown = _rows(place_ptr, visible_ptr, rows, G, L, heads, R)
    x1, x2 = _load_halves(x_ptr, offsets(x_strides, at, UNIT), shown, E, BH)
    if NORM:
        r = inverse_rms(x1, x2, E)[:, None]
        x1, x2 = x1 * r, x2 * r
    if cos_ptr is not None:
        turn = offsets(angle_strides, at, ANGLES_UNIT)
        x1, x2 = rotated(x1, x2, load_half(cos_ptr, turn, shown, E, BH), load_half(sin_ptr, turn, shown, E, BH))
    _store_halves(y_ptr, offsets(y_strides, moved, UNIT), inside, x1, x2, E, BH)


@jit(do_not_specialize=NUMBERS)
def _norm_rotate_backward_kernel(
    dy_ptr,
    x_ptr,
    dx_ptr,
    cos_ptr,
    sin_ptr,
    place_ptr,
    visible_ptr,
    dy_strides,
    x_strides,
    dx_strides,
    angle_strides,
    rows,
    G,
    L,
    heads,
    NORM: tl.constexpr,
    E: tl.constexpr,
    BH: tl.constexpr,
    R: tl.constexpr,
    ANGLES_UNIT: tl.constexpr,
):
    """dx = (d - h mean(d h)) r, r = 1 / sqrt(mean x^2 + EPS), h = x r, d = dy rotated back; 0 where x was hidden."""
    at, moved, inside, shown = _rows(place_ptr, visible_ptr, rows, G, L, heads, R)
    d1, d2 = _load_halves(dy_ptr, offsets(dy_strides, moved, UNIT), shown, E, BH)
    if cos_ptr is not None:
        turn = offsets(angle_strides, at, ANGLES_UNIT)
        d1, d2 = rotated(d1, d2, load_half(cos_ptr, turn, shown, E, BH), -load_half(sin_ptr, turn, shown, E, BH))
    if NORM:
        x1, x2 = _load_halves(x_ptr, offsets(x_strides, at, UNIT), shown, E, BH)
        r = inverse_rms(x1, x2, E)
        mean = r * (tl.sum(d1 * x1, 1) + tl.sum(d2 * x2, 1)) / E
        d1, d2 = norm_backward(d1, x1, r, mean), norm_backward(d2, x2, r, mean)
    _store_halves(dx_ptr, offsets(dx_strides, at, UNIT), inside, d1, d2, E, BH)


@jit
def _rows(place_ptr, visible_ptr, rows, G, L, heads, R: tl.constexpr):
    """(b, g, position, head) of each row of this program, the same where it was moved, which exist, which are shown."""
    row = tl.program_id(0) * R + tl.arange(0, R)
    inside = row < rows
    bg, position, head = row // heads // L, row // heads % L, row % heads
    place, shown = position, inside
    if place_ptr is not None:
        place = tl.load(place_ptr + bg.to(tl.int64) * L + position, mask=inside, other=0)  # [R]
        shown = inside & (place < tl.load(visible_ptr + bg, mask=inside, other=0))  # [R]
    return (bg // G, bg % G, position, head), (bg // G, bg % G, place, head), inside, shown


@jit
def _load_halves(x_ptr, begin, inside, E: tl.constexpr, BH: tl.constexpr):
    return load_half(x_ptr, begin, inside, E, BH), load_half(x_ptr + E // 2, begin, inside, E, BH)


@jit
def _store_halves(x_ptr, begin, inside, x1, x2, E: tl.constexpr, BH: tl.constexpr):
    store_half(x_ptr, begin, inside, x1, E, BH)
    store_half(x_ptr + E // 2, begin, inside, x2, E, BH)


def launch(
    tensors: dict[str, Tensor], angles: Rotary | None, place: Tensor | None, visible: Tensor | None, *, norm: bool
) -> Launch:
    """Prepare the kernel for x and y, or that for dy, x and dx.

    Raises:
        ValueError: there are more rows than the kernel can count.
    """
    B, G, L, heads, E = tensors["x"].shape
    half = int(triton.next_power_of_2(E // 2))
    rows, at_once = B * G * L * heads, TILE // (2 * half)
    if rows > 2**31 - TILE:
        raise ValueError(f"{B * G * L} tokens of {heads} heads are more than the 2**31 rows that a kernel can count")
    cos, sin = angles or (None, None)
    arguments = {f"{name}_ptr": x for name, x in tensors.items()}
    arguments |= {f"{name}_strides": in_units(x) for name, x in tensors.items()}
    arguments |= dict(cos_ptr=cos, sin_ptr=sin, place_ptr=place, visible_ptr=visible)
    arguments |= dict(angle_strides=(0, 0, 0, 0) if cos is None else in_units(cos, angles_unit(E)))
    arguments |= dict(rows=rows, G=G, L=L, heads=heads)
    constants = dict(NORM=norm, E=E, BH=half, R=at_once, ANGLES_UNIT=angles_unit(E))
    kernel = _norm_rotate_backward_kernel if "dy" in tensors else _norm_rotate_kernel
    return Launch(kernel, -(-rows // at_once), arguments | constants, WARPS)


@torch.library.custom_op("vidboot::norm_rotate", mutates_args=())
def _norm_rotate(
    x: Tensor, cos: Tensor | None, sin: Tensor | None, place: Tensor | None, visible: Tensor | None, norm: bool
) -> Tensor:
    y = empty_like_caller(x)
    if x.numel():
        launch(dict(x=aligned(x), y=y), _angles(cos, sin, x), place, visible, norm=norm).run()
    return y


@_norm_rotate.register_fake
def _(x: Tensor, *_: object) -> Tensor:
    return empty_like_caller(x)


@torch.library.custom_op("vidboot::norm_rotate_backward", mutates_args=())
def _norm_rotate_backward(
    dy: Tensor,
    x: Tensor,
    cos: Tensor | None,
    sin: Tensor | None,
    place: Tensor | None,
    visible: Tensor | None,
    norm: bool,
) -> Tensor:
    dx = empty_like_caller(x)
    if x.numel():
        tensors = dict(dy=aligned(dy), x=aligned(x), dx=dx)
        launch(tensors, _angles(cos, sin, x), place, visible, norm=norm).run()
    return dx


@_norm_rotate_backward.register_fake
def _(dy: Tensor, x: Tensor, *_: object) -> Tensor:
    return empty_like_caller(x)


def _angles(cos: Tensor | None, sin: Tensor | None, x: Tensor) -> Rotary | None:
    return None if cos is None or sin is None else prepared_angles((cos, sin), x)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.norm = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    dx = _norm_rotate_backward(dy, *ctx.saved_tensors, ctx.norm)
    return dx, None, None, None, None, None


_norm_rotate.register_autograd(_backward, setup_context=_save)

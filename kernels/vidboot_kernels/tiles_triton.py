"""What the kernels share: how a tile is loaded, normed and rotated, on a GPU and in triton's interpreter."""

from __future__ import annotations

import functools
import logging
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

from vidboot_kernels.reference import EPS, Rotary

# A process is interpreter or compiler for good: triton looks when a kernel is decorated.
INTERPRETED: bool = knobs.runtime.interpret

jit: Any = triton.jit
"""Untyped, as a type checker takes a call from kernel to kernel for one that never returns."""

ALIGNED = 8
"""Strides are counted in so many elements, so that the compiler knows that 16-byte loads are aligned."""
UNIT = tl.constexpr(ALIGNED)
LOG2_E = tl.constexpr(1.4426950408889634)
_EPS = tl.constexpr(EPS)


class Launch(NamedTuple):
    """One call of a kernel, to be run or to be compiled for a GPU that is not here."""

    kernel: Any
    programs: int
    arguments: dict[str, Any]
    warps: int
    stages: int = 1

    def run(self) -> None:
        # Triton launches on the current device, which need not be that of the tensors.
        with torch.cuda.device_of(next(x for x in self.arguments.values() if isinstance(x, Tensor))):
            self.kernel[(self.programs,)](**self.arguments, num_warps=self.warps, num_stages=self.stages)


def require_tensors(*tensors: Tensor) -> None:
    """Refuse what no kernel computes.

    Raises:
        ValueError: not on a CUDA device, and this is not the interpreter; precisions differ, or are not one of three.
    """
    x = tensors[0]
    if x.device.type != "cuda" and not INTERPRETED:
        raise ValueError(
            f"backend 'triton' needs tensors on a CUDA device, these are on {x.device.type!r} "
            "(in a process with TRITON_INTERPRET=1 it is interpreted, to be tested)"
        )
    if len(dtypes := {x.dtype for x in tensors}) > 1 or x.dtype not in (torch.bfloat16, torch.float16, torch.float32):
        found = ", ".join(sorted(map(str, dtypes)))
        raise ValueError(f"backend 'triton' takes tensors that are all bfloat16, float16 or float32, not {found}")


def require(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Refuse what the kernels of attention do not compute.

    Raises:
        ValueError: what ``require_tensors`` refuses; shapes differ, or E is no multiple of 8 up to 128.
    """
    require_tensors(q, k, v)
    if not q.shape == k.shape == v.shape:
        raise ValueError(f"q, k and v differ in shape: {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")
    E = q.shape[-1]
    if E % ALIGNED or not 0 < E <= 128:
        raise ValueError(f"attention backend 'triton' takes heads whose width is a multiple of 8 up to 128, not {E}")


def sight(L: int, *, window: int | None, causal: bool) -> tuple[int, int]:
    """Return how many places back and how many ahead a query sees."""
    behind = L if window is None else min(window, L)
    return behind, 0 if causal else behind


def arch_of(x: Tensor) -> int:
    """Return 90 for a GPU of compute capability 9.0; 0 without one."""
    if x.device.type != "cuda":
        return 0
    major, minor = torch.cuda.get_device_capability(x.device)
    return 10 * major + minor


def operand(dtype: torch.dtype) -> tl.dtype:
    """Return the type of the operands of ``tl.dot``: that of the tensors; in the interpreter never bfloat16.

    Its products of bfloat16 are wrong without an error.
    """
    if dtype == torch.float32 or (INTERPRETED and dtype == torch.bfloat16):
        return tl.float32
    return {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}[dtype]


def aligned(x: Tensor, unit: int = ALIGNED) -> Tensor:
    """Return ``x``, or a copy of it where rows do not begin at multiples of ``unit`` elements and of 16 bytes.

    Loads of 2 bytes at a time would cost more than the copy.
    """
    strides = [stride for stride, size in zip(x.stride()[:-1], x.shape[:-1], strict=True) if size > 1]
    fine = x.stride(-1) == 1 and not any(stride % unit for stride in strides)
    # A fake tensor has no address.
    if fine and (torch.compiler.is_compiling() or x.data_ptr() % 16 == 0):
        return x
    _log_copy_once()
    # Not ``contiguous``, which keeps what is contiguous at an odd address.
    return x.clone(memory_format=torch.contiguous_format)


@functools.cache
def _log_copy_once() -> None:
    logging.getLogger("vidboot_kernels").info("attention copies tensors whose rows are not aligned to 16 bytes")


def in_units(x: Tensor, unit: int = ALIGNED) -> tuple[int, ...]:
    """Return the strides of all dimensions but the last, in units; 0 where the size is 1."""
    return tuple(0 if size == 1 else stride // unit for stride, size in zip(x.stride()[:-1], x.shape[:-1], strict=True))


def angles_unit(E: int) -> int:
    """Rows of E / 2 angles are aligned to so many elements: 4 for heads of 8, 24, 40, 72."""
    return 8 if E % 16 == 0 else 4


def prepared_angles(rotary: Rotary, like: Tensor) -> Rotary:
    """Cast, align and expand cos and sin to [B, G, L, heads, E / 2], with the same strides."""
    *places, E = like.shape
    cos, sin = (aligned(angle.to(like.dtype), angles_unit(E)) for angle in rotary)
    if cos.stride() != sin.stride() or cos.shape != sin.shape:
        cos, sin = (angle.expand(*places, E // 2).contiguous() for angle in (cos, sin))
    return cos.expand(*places, E // 2), sin.expand(*places, E // 2)


def empty_like_caller(q: Tensor) -> Tensor:
    """Return new memory like ``q`` [B, G, L, heads, E], contiguous as [B, T, N, heads, E].

    That is dim 1 before dim 2 in space and dim 2 before dim 1 in time, which the strides of ``q`` tell.
    """
    B, G, L, heads, E = q.shape
    if q.stride(1) < q.stride(2):
        return q.new_empty(B, L, G, heads, E).transpose(1, 2)
    return q.new_empty(B, G, L, heads, E)


@jit
def offsets(strides, at, unit: tl.constexpr):
    """Where the rows at (b, g, place, head) begin, as int64, in elements; ``strides`` are in units."""
    begin = at[0].to(tl.int64) * strides[0] + at[1].to(tl.int64) * strides[1]
    return (begin + at[2].to(tl.int64) * strides[2] + at[3].to(tl.int64) * strides[3]) * unit


@jit
def load_half(x_ptr, begin, inside, E: tl.constexpr, BH: tl.constexpr):
    """The first E / 2 of each row, as float32, 0 outside and beyond."""
    column = tl.arange(0, BH)
    keep = inside[:, None] & (column < E // 2)[None, :]
    return tl.load(x_ptr + begin[:, None] + column[None, :], mask=keep, other=0.0).to(tl.float32)  # [R, BH]


@jit
def store_half(x_ptr, begin, inside, x, E: tl.constexpr, BH: tl.constexpr):
    column = tl.arange(0, BH)
    keep = inside[:, None] & (column < E // 2)[None, :]
    tl.store(x_ptr + begin[:, None] + column[None, :], x.to(x_ptr.dtype.element_ty), mask=keep)


@jit
def load_rows(x_ptr, begin, inside, E: tl.constexpr, BE: tl.constexpr):
    """Whole rows of E, 0 outside and beyond E."""
    column = tl.arange(0, BE)
    keep = inside[:, None] & (column < E)[None, :]
    return tl.load(x_ptr + begin[:, None] + column[None, :], mask=keep, other=0.0)  # [R, BE]


@jit
def store_rows(x_ptr, begin, inside, x, E: tl.constexpr, BE: tl.constexpr):
    column = tl.arange(0, BE)
    keep = inside[:, None] & (column < E)[None, :]
    tl.store(x_ptr + begin[:, None] + column[None, :], x.to(x_ptr.dtype.element_ty), mask=keep)


@jit
def inverse_rms(x1, x2, E: tl.constexpr):
    """(mean x^2 + EPS)^-1/2 of each row."""
    return tl.rsqrt((tl.sum(x1 * x1, 1) + tl.sum(x2 * x2, 1)) / E + _EPS)  # [R]


@jit
def rotated(x1, x2, cos, sin):
    """(x1 cos - x2 sin, x2 cos + x1 sin); with -sin, the way back."""
    return x1 * cos - x2 * sin, x2 * cos + x1 * sin


@jit
def norm_backward(d, x, r, mean):
    """The gradient of x, given that of h = x r, r = (mean x^2 + EPS)^-1/2, and mean(d h): (d - h mean(d h)) r."""
    return (d - x * (r * mean)[:, None]) * r[:, None]

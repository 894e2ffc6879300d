"""Which backend computes an op: the caller's, the environment's, or the first row of a published table that fits."""

from __future__ import annotations

import functools
import logging
import os
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Backend = Literal["auto", "triton", "plain", "sdpa", "xformers", "reference"]
Op = Literal["space", "time"]
HALF = (torch.bfloat16, torch.float16)


class Call(NamedTuple):
    """What the choice depends on."""

    op: Op
    device: str
    """As ``device_of`` says."""
    dtype: torch.dtype
    L: int
    """Length attended along."""
    E: int
    masked: bool
    """A key mask or a window is given."""


class Row(NamedTuple):
    """A line of the table: it fits a call if every condition that is not None holds."""

    backend: Backend
    device: str | None = None
    dtypes: tuple[torch.dtype, ...] | None = None
    masked: bool | None = None
    longest: int | None = None
    widest: int | None = None
    divisor: int = 1
    """Of E."""

    def fits(self, call: Call) -> bool:
        return (
            self.device in (None, call.device)
            and (self.dtypes is None or call.dtype in self.dtypes)
            and self.masked in (None, call.masked)
            and (self.longest is None or self.longest >= call.L)
            and (self.widest is None or self.widest >= call.E)
            and call.E % self.divisor == 0
        )


# The rows of the CPU were measured. Nothing has been timed on a GPU: those rows follow the bytes that a kernel must
# move (4 tensors forward and 7 backward along what fits into a tile, against 12 to 36 with the passes that SDPA needs)
# or compute (no block of hidden keys, where SDPA computes all), and leave to SDPA what that does not decide: long
# unmasked attention.
TABLE = (
    # On a CPU the backward of SDPA in bfloat16 costs many times that of plain products.
    Row("plain", device="cpu", dtypes=(torch.bfloat16,)),
    Row("plain", device="cpu", dtypes=(torch.float32,), longest=64),
    Row("triton", device="cuda", dtypes=HALF, longest=128, widest=64, divisor=8),
    Row("triton", device="cuda", dtypes=HALF, longest=64, widest=128, divisor=8),
    Row("triton", device="cuda", dtypes=HALF, masked=True, widest=128, divisor=8),
    Row("sdpa"),
)


def asked(backend: Backend) -> Backend:
    """Return ``VIDBOOT_ATTENTION`` or, where it is not set, ``backend``.

    Raises:
        ValueError: there is no such backend.
    """
    name = os.environ.get("VIDBOOT_ATTENTION", backend)
    if name not in get_args(Backend):
        raise ValueError(f"backend {name!r} is not one of {', '.join(get_args(Backend))}")
    return name  # type: ignore[return-value]  # narrowed by the line above


def chosen(backend: Backend, call: Call) -> Backend:
    """Return the backend of attention to call: the one asked for, the table's where that is ``auto``."""
    name = asked(backend)
    if name != "auto":
        return name
    found = from_table(call)
    log(call, found)
    return found


def device_of(x: Tensor) -> str:
    """Return ``torch.device.type``, or ``hip`` for a torch built for ROCm."""
    return "hip" if x.device.type == "cuda" and torch.version.hip else x.device.type


def from_table(call: Call) -> Backend:
    """Return the backend of the first row that fits."""
    return next(row.backend for row in TABLE if row.fits(call))


def log(call: NamedTuple, found: Backend) -> None:
    """Log a choice, each once."""
    if not torch.compiler.is_compiling():
        _log_once(call, found)


@functools.cache
def _log_once(call: NamedTuple, found: Backend) -> None:
    logging.getLogger("vidboot_kernels").info("backend %s for %s", found, call)

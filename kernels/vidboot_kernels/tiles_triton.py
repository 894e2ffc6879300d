"""What the kernels share: how a tile is computed with, on a GPU and in triton's interpreter."""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor
from triton import knobs

# A process is interpreter or compiler for good: triton looks when a kernel is decorated.
INTERPRETED: bool = knobs.runtime.interpret


def require_device(x: Tensor) -> None:
    """Refuse tensors that no kernel can run on.

    Raises:
        ValueError: ``x`` is not on a CUDA device, and this is not the interpreter.
    """
    if x.device.type != "cuda" and not INTERPRETED:
        raise ValueError(
            f"attention backend 'triton' needs tensors on a CUDA device, these are on {x.device.type!r} "
            "(in a process with TRITON_INTERPRET=1 it is interpreted, to be tested)"
        )


def operand(dtype: torch.dtype) -> tl.dtype:
    """Return the type of the operands of ``tl.dot``: that of the tensors; in the interpreter never bfloat16.

    Its products of bfloat16 are wrong without an error.
    """
    if dtype == torch.float32 or (INTERPRETED and dtype == torch.bfloat16):
        return tl.float32
    return {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}[dtype]

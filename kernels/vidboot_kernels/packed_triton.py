"""Attention along at most 128: several short sequences in one tile."""

from __future__ import annotations

from torch import Tensor

from vidboot_kernels.reference import Rotary
from vidboot_kernels.tiles_triton import require_device

LONGEST = 128


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
    """Compute ``reference.attention``."""
    require_device(q)
    raise NotImplementedError

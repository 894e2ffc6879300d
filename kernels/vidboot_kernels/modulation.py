"""The step between two branches of a residual net: gate and add what one gives, norm and modulate for the next."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vidboot_kernels import reference
from vidboot_kernels.choice import HALF, Backend, asked, device_of, log

WIDEST = 2048
"""Up to this width a row lies in the registers of a program."""


class Step(NamedTuple):
    """What the choice depends on."""

    device: str
    dtype: torch.dtype
    D: int

    @property
    def backend(self) -> Backend:
        """What ``auto`` picks: nothing has been timed on a GPU, so this follows the bytes moved."""
        fits = self.device == "cuda" and self.dtype in HALF and self.D <= WIDEST and self.D % 8 == 0
        return "triton" if fits else "reference"


def gated_modulated(
    x: Tensor, y: Tensor, gate: Tensor, shift: Tensor, scale: Tensor, *, backend: Backend = "auto"
) -> tuple[Tensor, Tensor]:
    """Compute x + (1 + gate) y, and of that the norm over D (no mean, unit variance), times 1 + scale, plus shift.

    Args:
        x: residual stream, [B, ..., D].
        y: what a branch gives, like ``x``.
        gate, shift, scale: of each video, [B, 1, ..., D].
        backend: ``auto`` is ``triton`` on CUDA in half precision where D is a multiple of 8 up to 2048, and else
            ``reference``, which stands for every other name too. ``VIDBOOT_ATTENTION`` overrides it.

    Returns:
        The new stream and what the next branch takes, both like ``x``.

    Raises:
        ValueError: there is no such backend, or it cannot run on these tensors.
    """
    name = asked(backend)
    if name == "auto":
        step = Step(device_of(x), x.dtype, x.shape[-1])
        name = step.backend
        log(step, name)
    if name != "triton":
        return reference.gated_modulated(x, y, gate, shift, scale)
    from vidboot_kernels import gated_modulated_triton

    return gated_modulated_triton.gated_modulated(x, y, gate, shift, scale)

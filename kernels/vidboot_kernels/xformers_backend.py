"""xformers as a backend, to compare with: never chosen by ``auto``, imported when asked for.

It is a kernel of a library, so norm and rotation are passes of their own before it.
"""

from __future__ import annotations

import functools
import logging
from types import ModuleType

import torch
from torch import Tensor

from vidboot_kernels import reference

OLDEST = (0, 0, 35)
"""Older ones pin another torch exactly."""


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    key_mask: Tensor | None = None,
    rotary: reference.Rotary | None = None,
    window: int | None = None,
    causal: bool = False,
) -> Tensor:
    """Compute ``reference.attention`` with ``xformers.ops.memory_efficient_attention``.

    Raises:
        ValueError: the tensors are not on a CUDA device.
        RuntimeError: xformers is missing, too old, or has no operator for this machine.
    """
    if q.device.type != "cuda":
        raise ValueError(f"attention backend 'xformers' needs tensors on a CUDA device, these are on {q.device.type!r}")
    fmha = usable_fmha()
    B, G, L, heads, _ = q.shape
    q, k = reference.normed_and_rotated(q, k, rotary)
    near = reference.band(L, window=window, causal=causal, device=q.device)
    allowed = reference.both(None if key_mask is None else key_mask[:, :, None], near)  # [B, G, 1, L, L] or [L, L]
    if key_mask is not None:
        k, v = (torch.where(key_mask[..., None, None], x, 0) for x in (k, v))
    flat = (x.flatten(0, 1) for x in (q, k, v))  # [B * G, L, heads, E]
    if allowed is None:
        return fmha.memory_efficient_attention(*flat).unflatten(0, (B, G))
    no_key = ~allowed.any(-1, keepdim=True)
    bias = _bias(allowed | no_key, q.dtype).expand(B, G, heads, L, L).flatten(0, 1)
    out = fmha.memory_efficient_attention(*flat, attn_bias=bias).unflatten(0, (B, G))
    dead = no_key.expand(B, G, 1, L, 1).transpose(2, 3)  # [B, G, L, 1, 1]
    return torch.where(dead, 0, out)


def _bias(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 0 where allowed and -inf elsewhere, each row beginning at a multiple of 16 bytes, as its kernels ask."""
    L = allowed.shape[-1]
    padded = torch.zeros(*allowed.shape[:-1], -(-L // 8) * 8, dtype=dtype, device=allowed.device)
    return padded[..., :L].masked_fill_(~allowed, float("-inf"))


@functools.cache
def usable_fmha() -> ModuleType:
    """Return ``xformers.ops.fmha``.

    Raises:
        RuntimeError: xformers is missing, too old, or has no operator for this machine.
    """
    need = f"attention backend 'xformers' needs xformers >= {'.'.join(map(str, OLDEST))}"
    # It warns at length on a machine that it was not built for; we say so in one sentence.
    logger = logging.getLogger("xformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import xformers  # type: ignore[import-not-found]  # an extra
        import xformers.ops.fmha as fmha  # type: ignore[import-not-found]  # an extra
    except ImportError as error:
        raise RuntimeError(f"{need}, which cannot be imported: {error}") from error
    finally:
        logger.setLevel(level)
    version = tuple(int(part) for part in xformers.__version__.split("+")[0].split(".")[:3] if part.isdecimal())
    if version < OLDEST:
        raise RuntimeError(f"{need}, this is {xformers.__version__}")
    if not any(operator.is_available() for operator in fmha.ALL_FW_OPS):
        raise RuntimeError(f"{need} with an operator for this machine, and version {xformers.__version__} has none")
    return fmha

"""Attention in plain batched products, with a backward of its own: what a CPU does best with many short sequences.

There a pass over memory costs more than a product. What the backward of the norm must know of a row, the logits tell,
which are few: so few passes over q and k are left. The softmax and its backward stay in float32: in bfloat16 the
gradients of q and k drown in rounding where attention is sharp.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vidboot_kernels import reference


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
    """Compute ``reference.attention``; the rotary angles get no gradient.

    Raises:
        ValueError: the tensors are float16, in which an exponential may overflow.
    """
    if q.dtype == torch.float16:
        raise ValueError("attention backend 'plain' takes bfloat16, float32 and float64, not float16")
    near = reference.band(q.shape[2], window=window, causal=causal, device=q.device)
    turn = None
    if rotary is not None:
        cos, sin = (angle.to(q.dtype).transpose(2, 3) for angle in rotary)  # [B, G, 1 or heads, L, E / 2]
        turn = torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)
    mask = None if key_mask is None else key_mask[:, :, None]  # [B, G, 1, L]
    return _Attention.apply(q, k, v, mask, near, turn)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``reference.rotate`` by angles that are doubled already; with -sin, back."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class _Attention(torch.autograd.Function):
    """All inside is [B, G, heads, L, E]: y are q and k as they meet, normed, rotated, and q scaled by E**-0.5."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        near: Tensor | None,
        turn: reference.Rotary | None,
    ) -> Tensor:
        if mask is not None:
            # NaN times 0 is NaN: what is hidden must leak neither forward nor backward.
            k, v = (torch.where(mask.transpose(2, 3)[..., None], x, 0) for x in (k, v))
        (B, G, L, heads, E), precise = q.shape, torch.promote_types(q.dtype, torch.float32)
        y, scale = q.new_empty(2, B, G, heads, L, E), q.new_empty(2, B, G, heads, L, 1)
        for x, normed, own, extra in zip((q, k), y, scale, (E**-0.5, 1.0), strict=True):
            size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=precise).transpose(2, 3)
            own.copy_(extra * torch.rsqrt(size.square() / E + reference.EPS))
            torch.mul(x.transpose(2, 3), own, out=normed)
        if turn is not None:
            y = _rotated(y, *turn)
        v = v.transpose(2, 3).contiguous()
        logits = (y[0] @ y[1].mT).to(precise)
        # Both were normed, so a logit is at most E**0.5, and none needs to be taken off before the exponential.
        p = logits.exp()
        allowed = reference.both(mask, near)
        if allowed is not None:
            p = torch.where(allowed, p, 0)
        p /= p.sum(-1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)
        ctx.save_for_backward(y, v, p, logits, scale, mask, *(turn or ()))
        return (p.to(v.dtype) @ v).transpose(2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, v, p, logits, scale, mask, *turn = ctx.saved_tensors
        grad = grad.transpose(2, 3).contiguous()
        grad_v = p.to(v.dtype).mT @ grad
        weighed = p * (grad @ v.mT)
        grad_logits = torch.addcmul(weighed, p, weighed.sum(-1, keepdim=True), value=-1)
        rounded = grad_logits.to(y.dtype)
        g = torch.stack([rounded @ y[1], rounded.mT @ y[0]])
        # The norm takes off what points along y, which the logits know: g . y over y . y, that is 1 of q and E of k.
        along = grad_logits * logits
        along = torch.stack([along.sum(-1), along.sum(-2) / y.shape[-1]])[..., None]
        g.addcmul_(y, along.to(g.dtype), value=-1).mul_(scale)
        if turn:
            g = _rotated(g, turn[0], -turn[1])
        if mask is not None:
            g[1], grad_v = (torch.where(mask[..., None], x, 0) for x in (g[1], grad_v))
        grad_q, grad_k = g.transpose(3, 4)
        return grad_q, grad_k, grad_v.transpose(2, 3), None, None, None

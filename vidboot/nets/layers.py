"""Layers shared by the score nets. Weights are float32; every layer computes in the precision of its input."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class Linear(nn.Linear):
    """A linear map that casts its weights to the input's precision."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, self.weight.to(input.dtype), bias)


def zeroed(layer: Linear) -> Linear:
    """Make a layer start as the zero map, so that what it adds starts as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class SquaredReLU(torch.autograd.Function):
    """max(x, 0)², with one tensor kept for the backward pass and three passes over memory instead of six."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        positive = x.relu()
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return (grad * positive).mul_(2)


def fourier(x: Tensor, frequencies: Tensor) -> Tensor:
    """Sines and cosines: [...] -> [..., 2 * len(frequencies)], float32."""
    angle = x.float()[..., None] * frequencies
    return torch.cat([angle.sin(), angle.cos()], -1)


def octaves(first: float, last: float, count: int) -> Tensor:
    """Frequencies in geometric steps from ``first`` to ``last``: [count]."""
    return torch.exp(torch.linspace(math.log(first), math.log(last), count))


def patchify(x: Tensor, patch: int) -> Tensor:
    """Cut frames into places: [B, T, C, H, W] -> [B, T, N, C * patch * patch].

    Raises:
        ValueError: H or W is not divisible by ``patch``.
    """
    *_, H, W = x.shape
    if H % patch or W % patch:
        raise ValueError(f"frame {H}x{W} is not divisible by {patch = }")
    return rearrange(x, "B T C (h p) (w q) -> B T (h w) (C p q)", p=patch, q=patch)


def unpatchify(x: Tensor, patch: int, height: int, width: int) -> Tensor:
    """Undo ``patchify``: [B, T, N, C * patch * patch] -> [B, T, C, height, width]."""
    return rearrange(x, "B T (h w) (C p q) -> B T C (h p) (w q)", h=height // patch, w=width // patch, p=patch, q=patch)

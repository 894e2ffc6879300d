"""Gaussian videos, whose denoisers are known."""

from math import prod

import torch
from torch import Tensor

from vidboot.denoiser import Denoise


def gaussian(C: Tensor) -> Denoise:
    """The exact denoiser of a Gaussian video, or, as it is stationary in time, of any shorter clip of it."""

    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        n = y[0].numel()
        noisy = C[:n, :n] + sigma[0].double() ** 2 * torch.eye(n, dtype=C.dtype)
        return (y.flatten(1) @ torch.linalg.solve(noisy, C[:n, :n])).view_as(y)

    return denoise


def matrix(denoise: Denoise, sigma: float, shape: tuple[int, ...]) -> Tensor:
    """A linear denoiser of videos of a shape [T, C, H, W] as a matrix, found by denoising every basis vector."""
    n = prod(shape)
    basis = torch.eye(n, dtype=torch.float64).view(n, *shape)
    return denoise(basis, torch.full((n,), sigma, dtype=torch.float64)).flatten(1).T

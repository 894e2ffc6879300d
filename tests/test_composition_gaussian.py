"""Compositions of Gaussian videos, whose denoisers are known: C = sum over k of S_k F_k ⊗ R_k, slow where smooth.

16 frames of 4 x 4, with a part of each direction that never fades: what a video keeps from end to end.
"""

from functools import cache

import pytest
import torch
from gaussian import gaussian, matrix
from torch import Tensor

from vidboot.composition import Stream, counted, joined, plain_sum, tapered, whole, windowed
from vidboot.views import BandView, LowRes

FRAMES, SIDE = 16, 4
SHAPE = (FRAMES, 1, SIDE, SIDE)


@cache
def covariance(*, stationary: bool) -> Tensor:
    """Of pixels ordered [T, H, W]; stationary in time, and in space if asked for: else F_k are random directions."""
    k = torch.fft.fftfreq(SIDE, dtype=torch.float64) * SIDE
    ky, kx = (x.flatten() for x in torch.meshgrid(k, k, indexing="ij"))
    norm = (kx**2 + ky**2).sqrt()
    S = (0.7 + norm) ** -2.4
    S = S / S.sum() * SIDE**2
    rho = torch.where(norm <= 1, 0.4, 0.3).double()[:, None, None]
    t = torch.arange(FRAMES, dtype=torch.float64)
    lag = (t[:, None] - t).abs() / (6 / (0.5 + norm))[:, None, None]
    R = (1 - rho) * torch.exp(-lag) + rho  # [k, T, T]
    at = torch.arange(SIDE, dtype=torch.float64)
    y, x = (z.flatten() for z in torch.meshgrid(at, at, indexing="ij"))
    phase = 2 * torch.pi / SIDE * (ky[:, None] * y + kx[:, None] * x)
    waves = torch.stack([phase.cos(), phase.sin()], 1) / SIDE  # [k, 2, pixels]
    if not stationary:
        generator = torch.Generator().manual_seed(0)
        anything = torch.randn(SIDE**2, SIDE**2, dtype=torch.float64, generator=generator)
        waves = torch.linalg.qr(anything).Q[:, None]
    F = torch.einsum("kip,kiq->kpq", waves, waves)
    return torch.einsum("k,kpq,kst->sptq", S, F, R).reshape(FRAMES * SIDE**2, -1)


def compositions(*, stationary: bool) -> dict[str, Stream]:
    C, view = covariance(stationary=stationary), LowRes(2)
    A = matrix(lambda y, sigma: view.restrict(y), 1.0, SHAPE)
    clips = windowed(gaussian(C), counted(4, 2))
    low = windowed(gaussian(A @ C @ A.T), tapered(FRAMES, 8))
    low_clips = windowed(gaussian(A @ C @ A.T), counted(4, 2))

    def count_regions(view: BandView, y: Tensor, D_inner: Tensor, D_band: Tensor, sigma: Tensor) -> Tensor:
        return D_inner + view.lift(D_band - whole(low_clips)(view.restrict(y), view.gain * sigma))

    return {
        "clips": clips,
        "plain sum": plain_sum(clips, view, low),
        "back-projection": joined(clips, view, low),
        "region graph": joined(
            lambda y, sigma: iter([whole(clips)(y.read(0, FRAMES), sigma)]), view, low, count_regions
        ),
    }


def excess(stream: Stream, sigma: float, *, stationary: bool) -> float:
    """(error - least possible error) / least possible error, exactly."""
    C = covariance(stationary=stationary)
    noisy = C + sigma**2 * torch.eye(len(C), dtype=C.dtype)
    best = torch.linalg.solve(noisy, C).T
    miss = matrix(whole(stream), sigma, SHAPE) - best
    return ((miss @ noisy @ miss.T).trace() / (C - best @ C).trace()).item()


@pytest.mark.parametrize("sigma", [0.1, 0.35, 1.0, 3.0])
def test_back_projection_is_the_region_graph_where_pooling_commutes_with_the_covariance(sigma: float) -> None:
    by_name = compositions(stationary=True)
    W, regions = (matrix(whole(by_name[name]), sigma, SHAPE) for name in ("back-projection", "region graph"))
    assert (W - regions).norm() <= 1e-10 * regions.norm()


def test_back_projection_is_not_the_region_graph_elsewhere() -> None:
    by_name = compositions(stationary=False)
    W, regions = (matrix(whole(by_name[name]), 1.0, SHAPE) for name in ("back-projection", "region graph"))
    assert (W - regions).norm() > 1e-3 * regions.norm()


def test_the_long_low_res_track_helps_and_a_plain_sum_ruins() -> None:
    for sigma in (1.0, 3.0, 10.0):
        error = {name: excess(stream, sigma, stationary=True) for name, stream in compositions(stationary=True).items()}
        assert error["back-projection"] < 0.75 * error["clips"]
        assert error["plain sum"] > 5 * error["clips"]

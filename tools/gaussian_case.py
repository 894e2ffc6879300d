"""Gaussian videos: their views, the compositions of those as matrices, and every error as a formula.

A video is a vector of d = T H W pixels of one channel, ordered [T, H, W], with mean 0 and covariance C. Its denoiser is
linear: D* = C (C + sigma²)^-1. A composition is a stack of matrices W [S, d, d], one per noise level.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidboot.composition import Piece, Plan, counted, tapered


def levels(low: float, high: float, count: int) -> Tensor:
    """Noise levels at equal steps of ln sigma, [count]."""
    return torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64)


def waves(side: int) -> tuple[Tensor, Tensor]:
    """Of a periodic frame: spatial frequencies |k| [H W], and F_k, the projector on the wave of each, of trace 1."""
    k = torch.fft.fftfreq(side, dtype=torch.float64) * side
    ky, kx = (z.flatten() for z in torch.meshgrid(k, k, indexing="ij"))
    at = torch.arange(side, dtype=torch.float64)
    y, x = (z.flatten() for z in torch.meshgrid(at, at, indexing="ij"))
    phase = 2 * math.pi / side * (ky[:, None] * y + kx[:, None] * x)  # [k, pixels]
    return (kx**2 + ky**2).sqrt(), torch.cos(phase[:, :, None] - phase[:, None, :]) / side**2


def scattered(side: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The same frequencies, each given to a random direction of the frame: no pooling commutes with these."""
    draw = torch.randn(side**2, side**2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    directions = torch.linalg.qr(draw).Q
    return waves(side)[0], torch.einsum("kp,kq->kpq", directions, directions)


def covariance(
    frames: int, basis: tuple[Tensor, Tensor], *, rho: float = 0.3, identity: float = 0.4, growth: float = 1.0
) -> Tensor:
    """C = sum over k of S_k F_k ⊗ R_k with unit mean variance: slow where smooth, with a part that never fades.

    Args:
        frames: T.
        basis: frequencies and their projectors, from `waves` or `scattered`.
        rho: share of the variance that stays for ever where |k| > 1.
        identity: the same where |k| <= 1.
        growth: standard deviation of the last frame over that of the first; 1 is stationary in time.
    """
    norm, F = basis
    S = (0.7 + norm) ** -2.4
    S = S / S.sum() * len(norm)
    stays = torch.where(norm <= 1, identity, rho).double()[:, None, None]
    t = torch.arange(frames, dtype=torch.float64)
    tau = (6 / (0.5 + norm))[:, None, None]
    R = (1 - stays) * torch.exp(-(t[:, None] - t).abs() / tau) + stays  # [k, T, T]
    gain = growth ** (t / max(1, frames - 1))
    R = R * gain[:, None] * gain / gain.square().mean()
    return torch.einsum("k,kpq,kst->sptq", S, F, R).reshape(frames * len(norm), -1)


def wiener(C: Tensor, sigmas: Tensor) -> Tensor:
    """The exact denoiser C (C + sigma²)^-1 at each level, [S, d, d]."""
    spectrum, Q = torch.linalg.eigh(C)
    return (Q * (spectrum / (spectrum + sigmas[:, None] ** 2))[:, None]) @ Q.T


def mean(length: int, overlap: int) -> Plan:
    """Overlapping windows that count alike in each frame."""

    def plan(frames: int) -> list[Piece]:
        pieces = tapered(length, overlap)(frames)
        count = torch.stack([torch.eye(frames, dtype=torch.float64)[p.start : p.stop].sum(0) for p in pieces]).sum(0)
        return [Piece(p.start, 1 / count[p.start : p.stop]) for p in pieces]

    return plan


@dataclass(frozen=True)
class Case:
    """A law of video and its views: clips of ``clip`` frames, and long videos pooled by ``factor``."""

    C: Tensor
    frames: int
    side: int
    factor: int = 2
    clip: int = 4
    overlap: int = 2

    @property
    def A(self) -> Tensor:
        """The low-res view as a matrix, [d / factor², d]; its lift is factor² Aᵀ, its gain 1 / factor."""
        small = torch.eye(self.side // self.factor, dtype=torch.float64)
        row = small.repeat_interleave(self.factor, 1) / self.factor  # mean along one axis
        return torch.kron(torch.eye(self.frames, dtype=torch.float64), torch.kron(row, row))

    def in_time(self, C: Tensor, sigmas: Tensor, plan: Plan) -> Tensor:
        """Compose the exact denoisers of the pieces of a plan; each piece has its own, so C need not be stationary."""
        pixels = len(C) // self.frames
        W = torch.zeros(len(sigmas), len(C), len(C), dtype=C.dtype)
        for piece in plan(self.frames):
            part = slice(piece.start * pixels, piece.stop * pixels)
            weight = piece.weight.repeat_interleave(pixels)[:, None]
            W[:, part, part] += weight * wiener(C[part, part], sigmas)
        return W

    def compositions(self, sigmas: Tensor) -> dict[str, Tensor]:
        """Every composition of the exact denoisers of the views, by name."""
        A, lift = self.A, self.factor**2 * self.A.T
        C_low, sigmas_low = A @ self.C @ A.T, sigmas / self.factor
        counts, uniform, taper = (kind(self.clip, self.overlap) for kind in (counted, mean, tapered))
        clips = {plan: self.in_time(self.C, sigmas, plan) for plan in (counts, uniform, taper)}
        low = lift @ wiener(C_low, sigmas_low) @ A

        def back_projected(D_time: Tensor) -> Tensor:
            return D_time + low - lift @ A @ D_time

        return {
            "no information": torch.eye(len(A.T), dtype=A.dtype) / (1 + sigmas[:, None, None] ** 2),
            "low-res only": low,
            "plain sum": clips[counts] + low - lift @ A,
            "windows mean": clips[uniform],
            "windows tapered": clips[taper],
            "DiffCollage": clips[counts],
            "back-projection on windows mean": back_projected(clips[uniform]),
            "back-projection on windows tapered": back_projected(clips[taper]),
            "back-projection on DiffCollage": back_projected(clips[counts]),
            "region graph": clips[counts] + low - lift @ self.in_time(C_low, sigmas_low, counts) @ A,
            "what the views determine": wiener(self.determined(self.overlap), sigmas),
        }

    def determined(self, overlap: int, *, tolerance: float = 1e-9, sweeps: int = 200) -> Tensor:
        """Covariance of largest entropy among those that agree with C in the clips and the low-res video.

        Args:
            overlap: frames that neighbouring clips share; clip - 1 takes in every clip there is.
            tolerance: largest difference from C, within a view, at which iterative proportional fitting stops.
            sweeps: over all views, at most.

        Raises:
            ValueError: they did not suffice.
        """
        pixels = self.side**2
        whole = torch.eye(len(self.C), dtype=self.C.dtype)
        views = [whole[p.start * pixels : p.stop * pixels] for p in tapered(self.clip, overlap)(self.frames)]
        views.append(self.A)
        guess, off = whole, math.inf
        for _ in range(sweeps):
            off = 0.0
            for V in views:
                miss = V @ (self.C - guess) @ V.T
                K = torch.linalg.solve(V @ guess @ V.T, V @ guess).T
                guess = guess + K @ miss @ K.T
                off = max(off, miss.abs().max().item())
            if off < tolerance:
                return (guess + guess.T) / 2
        raise ValueError(f"proportional fitting was off by {off:.1e} after {sweeps = }, {tolerance = }")


def squared_error(W: Tensor, C: Tensor, sigmas: Tensor, best: Tensor | None = None) -> Tensor:
    """E‖W y − D*(y)‖² at each level, [S]."""
    miss = W - (wiener(C, sigmas) if best is None else best)
    M = C + sigmas[:, None, None] ** 2 * torch.eye(len(C), dtype=C.dtype)
    return ((miss @ M) * miss).sum((1, 2))


def fisher(error: Tensor, sigmas: Tensor, d: int) -> Tensor:
    """J = ∫ sigma ‖s − ŝ‖² dsigma / d, nats per dimension, of errors [..., S] at equal steps of ln sigma."""
    step = (sigmas[-1] / sigmas[0]).log() / (len(sigmas) - 1)
    return (error / sigmas**2).sum(-1) * step / d


def wasserstein(C: Tensor, other: Tensor) -> float:
    """W2² of two centred Gaussians."""
    spectrum, Q = torch.linalg.eigh(C)
    root = (Q * spectrum.clamp(min=0).sqrt()) @ Q.T
    cross = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0).sqrt().sum()
    return (C.trace() + other.trace() - 2 * cross).item()


def nats(C: Tensor, other: Tensor) -> float:
    """KL(N(0, C) ‖ N(0, other))."""
    inside = torch.linalg.solve(other, C)
    return (inside.trace() - len(C) - torch.linalg.slogdet(inside)[1]).item() / 2


def sampled(W: Tensor, sigmas: Tensor, *, fresh: float = 1.0) -> Tensor:
    """Covariance of what the sampler (``vidboot.sampler``) makes of noise at ``sigmas[0]``, left at the last level.

    W at the falling levels. Of y and the answer before it, D, the covariance is followed from level to level.
    """
    d = W.shape[-1]
    eye = torch.eye(d, dtype=W.dtype)
    both = torch.zeros(2 * d, 2 * d, dtype=W.dtype)  # of y, then of D
    both[:d, :d] = sigmas[0] ** 2 * eye
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        step = (sigma / sigma_next).log()
        kept, drawn = (-(1 + fresh) * step).exp(), sigma_next**2 * (1 - (-2 * fresh * step).exp())
        half_way = step / (2 * (sigmas[i - 1] / sigma).log()) if i else 0.0
        of_y = torch.cat([kept * eye + (1 - kept) * (1 + half_way) * W[i], -(1 - kept) * half_way * eye], 1)
        onward = torch.cat([of_y, torch.cat([W[i], torch.zeros_like(eye)], 1)])
        both = onward @ both @ onward.T
        both[:d, :d] += drawn * eye
    return both[:d, :d]


def lag_correlation(C: Tensor, frames: int, lag: int) -> float:
    """Correlation of pixels with themselves ``lag`` frames later, over all of a covariance."""
    by_frame = C.view(frames, len(C) // frames, frames, -1).diagonal(dim1=1, dim2=3).sum(-1)  # [T, T]
    scale = by_frame.diagonal().sqrt()
    return (by_frame / scale[:, None] / scale).diagonal(lag).mean().item()

"""What is learned from n Gaussian videos, as its expectation over them: nothing here is drawn at random.

Ĉ is the sample covariance of n videos. Expectations are to leading order in 1/d (deterministic equivalents): J agrees
with drawn videos to a percent; the error of one level above sigma 10, where few directions are left, to fifteen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from gaussian_case import levels, squared_error
from torch import Tensor

Errors = Callable[[float], Tensor]
"""Number of full videos n -> expected squared error at each noise level, [S]."""


@dataclass(frozen=True)
class Resolvent:
    """R = (a Ĉ + B)^-1 in expectation, Ĉ the sample covariance of n videos, in the basis where B is 1 and C diagonal.

    To leading order in 1/d, E[R] = G with G = (tau C + B)^-1 and tau = a / (1 + a/n tr C G), and
    E[R X R] = G X G + spread tr(X G C G) G C G (deterministic equivalents of the sample covariance).
    """

    g: Tensor
    """Diagonal of G, [..., d]."""
    gCg: Tensor
    """Diagonal of G C G, [..., d]."""
    spread: Tensor

    @classmethod
    def of(cls, spectrum: Tensor, a: Tensor, n: float) -> Resolvent:
        """Of the eigenvalues of C where B is 1, [..., d], and ``a`` [...]."""
        low = spectrum.new_full(spectrum.shape[:-1], -50.0)
        high = torch.zeros_like(low)
        for _ in range(60):  # bisection of ln(tau / a)
            share = ((low + high) / 2).exp()
            used = (a / n) * (spectrum / ((a * share)[..., None] * spectrum + 1)).sum(-1)
            too_much = share * (1 + used) > 1
            low, high = torch.where(too_much, low, (low + high) / 2), torch.where(too_much, (low + high) / 2, high)
        tau = a * ((low + high) / 2).exp()
        g = 1 / (tau[..., None] * spectrum + 1)
        return cls(g, g * spectrum * g, tau**2 / (n - tau**2 * ((spectrum * g) ** 2).sum(-1)))


class Learners:
    """Expected errors, [S], of denoisers learned from n full videos, none with an inductive bias.

    Args:
        C: covariance of the videos.
        sigmas: noise levels, [S].
    """

    penalties = levels(1e-3, 1e5, 49)
    shares = torch.linspace(-5, 9, 43, dtype=torch.float64).sigmoid()

    def __init__(self, C: Tensor, sigmas: Tensor) -> None:
        self.C, self.sigmas = C, sigmas
        self.spectrum, self.Q = torch.linalg.eigh(C)
        self.noisy = self.spectrum + sigmas[:, None] ** 2  # [S, d]

    def shrunk(self, n: float) -> Tensor:
        """Training directly: Ĉ is shrunk to ``share`` Ĉ + (1 − share), for each share: [shares, S]."""
        share, noise = self.shares[:, None], self.sigmas**2
        B = noise[:, None].expand(len(self.shares), -1, 1)
        return self._expected(share.expand(-1, len(noise)), (1 - share + noise)[..., None], B, B**2, n)

    def ridge(self, n: float, D_views: Tensor, penalties: Tensor = penalties) -> Tensor:
        """W = W_v + (Ĉ − W_v M̂) (M̂ + penalty)^-1 with M̂ = Ĉ + sigma², for each penalty: [penalties, S].

        Args:
            n: number of full videos.
            D_views: the composition W_v, [S, d, d].
        """
        penalty = penalties[:, None, None]
        v1, v2 = self._in_basis(D_views)
        s = self.sigmas[:, None] ** 2 + penalty
        # W = 1 − B R with B = s − penalty W_v and R = (Ĉ + s)^-1.
        BB = s**2 - 2 * s * penalty * v1 + penalty**2 * v2
        return self._expected(torch.ones_like(s[..., 0]), s, s - penalty * v1, BB, n)

    def gate(self, n: float, D_views: Tensor) -> tuple[Tensor, Tensor]:
        """W = W_v + g (Ĉ M̂^-1 − W_v): the errors with the best g of each level, [S], and those g."""
        noise = self.sigmas[:, None] ** 2
        v1, _ = self._in_basis(D_views)
        views = squared_error(D_views, self.C, self.sigmas)
        one = torch.ones_like(self.sigmas)
        direct = self._expected(one, noise, noise, noise**2, n)
        G = Resolvent.of(self.spectrum / noise, one, n).g
        cross = ((v1 - self.spectrum / self.noisy) * (noise - self.noisy * G)).sum(-1)
        g = ((views - cross) / (views + direct - 2 * cross)).clamp(0, 1)
        return (1 - g) ** 2 * views + g**2 * direct + 2 * g * (1 - g) * cross, g

    def mixed(self, prior: Tensor, share: float) -> Errors:
        """One model of full videos, counted ``share``, and of endless samples of a Gaussian law ``prior``.

        The eigenvectors do not depend on n, so what is returned is cheap to call again.
        """
        eye, noise = torch.eye(len(self.C), dtype=self.C.dtype), self.sigmas[:, None, None] ** 2
        root = torch.linalg.cholesky((1 - share) * prior + noise * eye)  # B of each level
        half = torch.linalg.solve_triangular(root, self.C.expand_as(root), upper=False)
        spectrum, Q = torch.linalg.eigh(torch.linalg.solve_triangular(root, half.mT, upper=False))
        T = torch.linalg.solve_triangular(root.mT, Q, upper=True)  # Tᵀ B T = 1, Tᵀ C T = spectrum
        TT = T.mT @ T
        TMT = T.mT @ (self.C + noise * eye) @ T
        both, ones, Ms = TT * TMT, TT.diagonal(dim1=1, dim2=2), TMT.diagonal(dim1=1, dim2=2)
        least = (1 / self.noisy).sum(-1)

        def errors(n: float) -> Tensor:
            R = Resolvent.of(spectrum, torch.full_like(self.sigmas, share), n)
            second = torch.einsum("si,sij,sj->s", R.g, both, R.g)
            spread = R.spread * (Ms * R.gCg).sum(-1) * (ones * R.gCg).sum(-1)
            return self.sigmas**4 * (least - 2 * (ones * R.g).sum(-1) + second + spread)

        return errors

    def _expected(self, a: Tensor, b: Tensor, B: Tensor, BB: Tensor, n: float) -> Tensor:
        """Of W = 1 − B (a Ĉ + b)^-1, from the diagonals of B and of Bᵀ B in the basis of C."""
        noise = self.sigmas[:, None] ** 2
        R = Resolvent.of(self.spectrum / b, a, n)
        # W − D* = sigma² M^-1 − B R
        least = noise**2 / self.noisy - 2 * noise * B * R.g / b + BB * self.noisy * (R.g / b) ** 2
        return least.sum(-1) + R.spread * (BB / b * R.gCg).sum(-1) * (self.noisy / b * R.gCg).sum(-1)

    def _in_basis(self, W: Tensor) -> tuple[Tensor, Tensor]:
        """Diagonals of W and of Wᵀ W in the basis of C, [S, d] each."""
        WQ = W @ self.Q
        return (self.Q * WQ).sum(1), (WQ**2).sum(1)

"""The view gate: a tiny function of the noise level that reweights how two views are joined."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidboot.composition import back_projection, scaled_skip
from vidboot.denoiser import SIGMA_DATA
from vidboot.views import BandView

TERMS = 4
HIDDEN = 16


class ViewGate(nn.Module):
    """D = D_v + sum_i w_i(ln sigma) B_i / (1 + (sigma / reach)²), where D_v is the back-projection and w starts at 0.

    B: the inner denoiser alone, the band alone, the linear denoiser, and the linear denoiser of the band; each as a
    difference, so that 0 means the formula. Back-projection is exact only where the band's projection commutes with the
    covariance; where it loses (low sigma), a weight can undo it.

    On real videos the clips often have the smaller error at mid sigma as well, for there y already agrees with itself.
    While a video is being made it does not yet, and clips that are followed there each settle for a video of their own:
    the loss cannot see that, so ``reach`` leaves high noise to the band, which sees far.

    Args:
        mean: of the data, per channel, [C].
        reach: noise level at which the terms count half.
    """

    mean: Tensor

    def __init__(self, mean: Tensor, *, reach: float) -> None:
        super().__init__()
        self.reach = reach
        self.weights = nn.Sequential(nn.Linear(1, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, TERMS))
        last = self.weights[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.register_buffer("mean", mean.float().view(-1, 1, 1))

    def forward(self, view: BandView, y: Tensor, D_inner: Tensor, D_band: Tensor, sigma: Tensor) -> Tensor:
        """Join as ``back_projection`` does, then add the weighted terms."""
        D_v = back_projection(view, y, D_inner, D_band, sigma)
        band = view.lift(D_band)
        terms = (
            D_inner - D_v,
            band - D_v,
            self.mean + scaled_skip(y - self.mean, sigma, SIGMA_DATA) - D_v,
            scaled_skip(view.lift(view.restrict(y)) - band, sigma, SIGMA_DATA),
        )
        sigma_ = sigma.view(-1, 1).to(self.mean)
        w = (self.weights(sigma_.log()) / (1 + (sigma_ / self.reach) ** 2)).to(D_v.dtype)  # [B, TERMS]
        for i, term in enumerate(terms):
            D_v = torch.addcmul(D_v, w[:, i].view(-1, 1, 1, 1, 1), term)
        return D_v

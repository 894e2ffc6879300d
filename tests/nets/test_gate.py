"""The view gate: back-projection to begin with, and each weight brings in what it promises."""

import pytest
import torch
from torch import Tensor, nn

from vidboot.composition import back_projection, scaled_skip
from vidboot.denoiser import SIGMA_DATA
from vidboot.nets.gate import TERMS, ViewGate
from vidboot.views import BandView, LowRes, TimeMean

MEAN = torch.tensor([0.1, -0.2, 0.3])
VIEWS = [LowRes(2), TimeMean(2)]


def joined_parts(view: BandView) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y, D_inner = (torch.randn(2, 4, 3, 4, 6, generator=generator) for _ in range(2))
    D_band = torch.randn(view.restrict(y).shape, generator=generator)
    return y, D_inner, D_band, torch.tensor([0.05, 20.0])


def gate(*weights: float, reach: float = float("inf")) -> ViewGate:
    made = ViewGate(MEAN, reach=reach)
    last = made.weights[-1]
    assert isinstance(last, nn.Linear)
    if weights:
        last.bias.data = torch.tensor(weights)
    return made.requires_grad_(False)


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_a_fresh_gate_joins_as_back_projection_bit_for_bit(view: BandView) -> None:
    y, D_inner, D_band, sigma = joined_parts(view)
    expected = back_projection(view, y, D_inner, D_band, sigma)
    assert torch.equal(gate()(view, y, D_inner, D_band, sigma), expected)


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_each_weight_at_1_gives_its_denoiser(view: BandView) -> None:
    y, D_inner, D_band, sigma = joined_parts(view)
    mean = MEAN.view(3, 1, 1)
    D_v = back_projection(view, y, D_inner, D_band, sigma)
    band = view.lift(D_band)
    promised = (
        D_inner,
        band,
        mean + scaled_skip(y - mean, sigma, SIGMA_DATA),
        D_v + scaled_skip(view.lift(view.restrict(y)) - band, sigma, SIGMA_DATA),
    )
    for i, expected in enumerate(promised):
        weights = [float(i == j) for j in range(TERMS)]
        torch.testing.assert_close(gate(*weights)(view, y, D_inner, D_band, sigma), expected)


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_the_terms_count_half_at_the_reach_and_nothing_far_above_it(view: BandView) -> None:
    y, D_inner, D_band, _ = joined_parts(view)
    sigma = torch.tensor([0.25, 2500.0])
    D_v = back_projection(view, y, D_inner, D_band, sigma)
    D = gate(1.0, 0.0, 0.0, 0.0, reach=0.25)(view, y, D_inner, D_band, sigma)
    torch.testing.assert_close(D, torch.stack([(D_v[0] + D_inner[0]) / 2, D_v[1]]), rtol=0, atol=1e-5)


def test_the_mean_video_is_kept_by_every_weight_but_the_one_on_the_bands_noise() -> None:
    view, sigma = LowRes(2), torch.tensor([0.3])
    video = MEAN.view(3, 1, 1).expand(1, 2, 3, 4, 4)
    kept = gate(0.3, -0.2, 0.9, 0.4)(view, video, video, view.restrict(video), sigma)
    torch.testing.assert_close(kept, video)


def test_the_skip_keeps_the_share_that_is_signal() -> None:
    y = torch.ones(3, 1, 1, 1, 1, dtype=torch.float64)
    kept = scaled_skip(y, torch.tensor([0.0, 0.5, 1.5], dtype=torch.float64), 0.5).flatten()
    torch.testing.assert_close(kept, torch.tensor([1, 0.5, 0.1], dtype=torch.float64))


def test_weights_follow_the_noise_level_and_are_fitted_in_a_few_steps() -> None:
    view = LowRes(2)
    y, D_inner, D_band, sigma = joined_parts(view)
    # At the low level the truth is what the clips say, at the high level back-projection.
    truth = torch.where(sigma.view(-1, 1, 1, 1, 1) < 1, D_inner, back_projection(view, y, D_inner, D_band, sigma))
    torch.manual_seed(0)
    fitted = ViewGate(MEAN, reach=float("inf"))
    optimizer = torch.optim.Adam(fitted.parameters(), lr=0.05)
    for _ in range(80):
        loss = (fitted(view, y, D_inner, D_band, sigma) - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    w = fitted.weights(sigma.log().view(-1, 1))
    assert w[0, 0] > 0.8
    assert w[1].abs().max() < 0.2

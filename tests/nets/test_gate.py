"""Gates: measured, not learned; linear in ln sigma between their knots; the view gate goes from one join to another."""

import pytest
import torch
from torch import Tensor

from vidboot.composition import back_projection
from vidboot.nets.gate import ViewGate, both_ends, gate_at, gate_sums, knots, smooth_gate
from vidboot.views import BandView, LowRes, TimeMean

VIEWS = [LowRes(2), TimeMean(2)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def joined_parts(view: BandView) -> tuple[Tensor, Tensor, Tensor]:
    y, D_inner = (random(2, 4, 3, 4, 6, seed=seed) for seed in (0, 1))
    return y, D_inner, random(*view.restrict(y).shape, seed=2)


def view_gate(g: float, *, reach: float = float("inf")) -> ViewGate:
    made = ViewGate(reach=reach)
    made.gate.fill_(g)
    return made


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_a_fresh_gate_joins_as_back_projection_bit_for_bit(view: BandView) -> None:
    y, D_inner, D_band = joined_parts(view)
    sigma = torch.tensor([0.05, 20.0])
    expected = back_projection(view, y, D_inner, D_band, sigma)
    assert torch.equal(ViewGate(reach=1.0)(view, y, D_inner, D_band, sigma), expected)


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_a_gate_of_1_is_the_inner_denoiser_alone_up_to_the_last_knot_and_back_projection_above(view: BandView) -> None:
    y, D_inner, D_band = joined_parts(view)
    sigma = torch.tensor([0.001, 20.1])
    D = view_gate(1.0)(view, y, D_inner, D_band, sigma)
    D_v = back_projection(view, y, D_inner, D_band, sigma)
    torch.testing.assert_close(D, torch.stack([D_inner[0], D_v[1]]))


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_at_its_reach_it_goes_half_the_way(view: BandView) -> None:
    y, D_inner, D_band = joined_parts(view)
    sigma = torch.tensor([0.25, 0.25])
    D_v = back_projection(view, y, D_inner, D_band, sigma)
    D = view_gate(1.0, reach=0.25)(view, y, D_inner, D_band, sigma)
    torch.testing.assert_close(D, (D_v + D_inner) / 2)


def test_a_measured_view_gate_finds_which_of_both_ends_is_right_at_each_level() -> None:
    view, x = LowRes(2), random(3, 4, 3, 4, 6)
    wrong = 0.3 * random(3, 4, 3, 2, 3, seed=1)

    def both(y: Tensor, sigma: Tensor) -> tuple[Tensor, ...]:
        # Below sigma = 1 the inner denoiser knows the truth and the band does not, above it is the other way round.
        low = bool((sigma < 1).all())
        D_inner = x if low else x + view.lift(wrong)
        D_band = view.restrict(x) + (wrong if low else 0)
        return both_ends(view, y, D_inner, D_band, sigma).chunk(2, 2)

    g = smooth_gate(*gate_sums(both, x, seed=0), passes=0)
    torch.testing.assert_close(g, (knots().exp() < 1).float(), rtol=0, atol=1e-5)


def test_what_is_not_trusted_has_no_say() -> None:
    x, off, R = random(2, 3, 3, 4, 4), random(2, 3, 3, 4, 4, seed=1), random(2, 3, 3, 4, 4, seed=2)
    trusted = (random(2, 3, 1, 4, 4, seed=3) > 0).float()
    spoilt, clean = (torch.where(trusted.bool(), R, value) for value in (1e6, 0.0))
    found = gate_sums(lambda y, sigma: (x + off, spoilt), x, seed=0, trusted=trusted)
    torch.testing.assert_close(found, gate_sums(lambda y, sigma: (x + off, clean), x, seed=0))


def test_each_level_is_measured_under_its_own_noise() -> None:
    x = torch.zeros(8, 4, 3, 8, 8)
    # R takes away all that D has too much of, and that is the noise.
    numerator, denominator = gate_sums(lambda y, sigma: (y, -y), x, seed=0)
    torch.testing.assert_close(numerator, denominator)
    torch.testing.assert_close((denominator / x.numel()).sqrt(), knots().exp(), rtol=0.02, atol=0)


def test_a_gate_is_linear_in_ln_sigma_between_its_knots_constant_below_and_0_above() -> None:
    at, gate = torch.linspace(-3, 3, 7), torch.tensor([0, 0.1, 0.5, 1, 0.8, 0.2, 0.4])
    torch.testing.assert_close(gate_at((at - 1e-5).exp(), at, gate), gate, rtol=0, atol=1e-4)
    between = (at[:-1] + at[1:]) / 2
    torch.testing.assert_close(gate_at(between.exp(), at, gate), (gate[:-1] + gate[1:]) / 2)
    torch.testing.assert_close(gate_at(torch.tensor([1e-6, 1e6]), at, gate), torch.stack([gate[0], torch.tensor(0.0)]))
    everywhere = gate_at(torch.logspace(-4, 4, 200), at, gate)
    assert ((everywhere >= 0) & (everywhere <= 1)).all()


@pytest.mark.parametrize("K", [1, 2, 3, 12])
def test_a_gate_made_of_sums_lies_within_0_and_1(K: int) -> None:
    for seed in range(20):
        g = smooth_gate(10 * random(K, seed=seed), random(K, seed=seed + 100).square())
        assert ((g >= 0) & (g <= 1)).all()


def test_a_gate_is_the_ratio_of_its_sums_and_0_where_nothing_was_found() -> None:
    denominator = torch.tensor([1.0, 3.0, 2.0, 0.5, 7.0])
    torch.testing.assert_close(smooth_gate(0.3 * denominator, denominator), torch.full((5,), 0.3))
    assert torch.equal(smooth_gate(-denominator, denominator), torch.zeros(5))
    assert torch.equal(smooth_gate(2 * denominator, denominator), torch.ones(5))
    assert torch.equal(smooth_gate(torch.zeros(5), torch.zeros(5)), torch.zeros(5))


def test_smoothing_spreads_what_one_knot_found() -> None:
    numerator, denominator = torch.zeros(9), torch.ones(9)
    numerator[4] = 1
    g = smooth_gate(numerator, denominator)
    assert (g[2:7] > 0).all()
    assert not g[[0, 1, 7, 8]].any()
    assert torch.equal(g, g.flip(0))
    assert g.diff().abs().max() < 0.2

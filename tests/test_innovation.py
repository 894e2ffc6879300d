"""What noise does not explain of y - x is the net's error; what it does explain is left alone."""

import pytest
import torch
from torch import Tensor

from vidboot.innovation import BANDS, band_of, error_of, waves


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mean_square(x: Tensor) -> float:
    return x.square().mean().item()


@pytest.mark.parametrize("T", [1, 2, 7, 64])
def test_waves_are_orthonormal_and_start_with_the_mean(T: int) -> None:
    basis = waves(T)
    torch.testing.assert_close(basis @ basis.T, torch.eye(T), atol=1e-5, rtol=0)
    torch.testing.assert_close(basis[0], torch.full((T,), T**-0.5))


def test_a_band_is_an_octave_and_the_same_at_every_length() -> None:
    assert band_of(8).tolist() == [BANDS - 1, 3, 2, 1, 1, 0, 0, 0]
    assert band_of(1).tolist() == [BANDS - 1]
    for T in (5, 8, 48, 64, 2000):
        # Wave k of T frames has k / 2T cycles a frame, as wave 3 k of 3 T frames.
        assert torch.equal(band_of(3 * T)[::3], band_of(T))
        assert band_of(T).min() >= 0
        assert band_of(T).max() == BANDS - 1


@pytest.mark.parametrize("sigma", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("T", [1, 8, 64])
def test_of_nothing_but_noise_next_to_nothing_passes(T: int, sigma: float) -> None:
    noise = sigma * random(2, T, 3, 24, 24)
    assert mean_square(error_of(noise, torch.full((2,), sigma))) < 0.02 * sigma**2


@pytest.mark.parametrize("T", [8, 64])
def test_a_still_background_that_a_net_misses_is_averaged_over_all_frames(T: int) -> None:
    sigma, missed = 0.1, 0.1 * random(1, 1, 3, 24, 24).expand(1, T, 3, 24, 24)
    found = error_of(missed + sigma * random(1, T, 3, 24, 24, seed=1), torch.tensor([sigma]))
    left = mean_square(found - missed)
    # Of the mean over T frames noise has sigma² / T; a little more passes where noise looks like error.
    assert left < 2 * sigma**2 / T + 0.02 * sigma**2
    assert left < 0.3 * mean_square(missed)


@pytest.mark.parametrize("error", [0.03, 0.1])
def test_of_an_error_that_is_alike_everywhere_hardly_more_is_left_than_by_the_best_filter(error: float) -> None:
    sigma, missed = 0.05, error * random(1, 16, 3, 32, 32)
    found = error_of(missed + sigma * random(1, 16, 3, 32, 32, seed=1), torch.tensor([sigma]))
    best = error**2 * sigma**2 / (error**2 + sigma**2)
    assert best < mean_square(found - missed) < 1.15 * best


def test_what_is_wrong_at_one_place_opens_no_other() -> None:
    sigma, missed = 0.05, torch.zeros(1, 8, 3, 32, 32)
    missed[..., 4:12, 4:12] = 0.3 * random(8, 3, 8, 8)
    noise = sigma * random(1, 8, 3, 32, 32, seed=1)
    found = error_of(missed + noise, torch.tensor([sigma]))
    assert mean_square((found - missed)[..., 5:11, 5:11]) < 1.1 * sigma**2
    assert mean_square(found[..., 16:, 16:]) < 0.05 * sigma**2


def test_levels_of_a_batch_do_not_meet() -> None:
    innovation, sigma = random(3, 5, 3, 8, 8), torch.tensor([0.05, 1.0, 30.0])
    together = error_of(innovation, sigma)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], error_of(innovation[i : i + 1], sigma[i : i + 1]))


def test_hidden_pixels_make_noise_smaller_and_nothing_else() -> None:
    sigma, shown = 0.5, torch.ones(1, 8, 1, 16, 16)
    shown[..., 8:] = 0
    noise = sigma * random(1, 8, 3, 16, 16)
    everywhere, half = error_of(noise, torch.tensor([sigma])), error_of(noise * shown, torch.tensor([sigma]), shown)
    assert mean_square(half) < 0.02 * sigma**2
    assert not half[..., 8:].any()
    torch.testing.assert_close(half[..., :5], everywhere[..., :5])


def test_no_net_is_taken_to_be_far_off_where_noise_is_high() -> None:
    """Of a huge innovation that noise cannot explain, no more passes than if the net were wrong by .15."""
    sigma, innovation = 4.0, 100 * torch.ones(1, 1, 3, 8, 8)
    share = 0.15**2 / (0.15**2 + sigma**2)
    torch.testing.assert_close(error_of(innovation, torch.tensor([sigma])), share * innovation)


def test_the_gradient_is_that_of_the_filter_as_it_stands() -> None:
    x = random(1, 6, 3, 8, 8).requires_grad_()
    out = error_of(x, torch.tensor([0.7]))
    (gradient,) = torch.autograd.grad((out * x.detach()).sum(), x)
    # A linear map that is its own transpose.
    torch.testing.assert_close(gradient, out.detach())

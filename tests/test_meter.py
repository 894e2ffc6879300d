"""The meter on Gaussian videos: what it says is missed is the correlation that is missed, exactly."""

from functools import cache

import pytest
import torch
from gaussian import gaussian, matrix
from test_composition_gaussian import FRAMES, SHAPE, SIDE, covariance
from torch import Tensor

from vidboot.composition import Plan, counted, tapered, whole, windowed
from vidboot.denoiser import Denoise, evenly_timed
from vidboot.losses import HELD_OUT_SIGMAS, Batch, held_out_errors
from vidboot.meter import LEAST_COUNTED, missed_nats, nats_per_dimension

D = FRAMES * SIDE**2
C = covariance(stationary=True)
COUNTED = [sigma for sigma in HELD_OUT_SIGMAS if sigma >= LEAST_COUNTED]


def in_time(plan: Plan) -> Denoise:
    return whole(windowed(gaussian(C), plan))


@cache
def excess(length: int, overlap: int, sigmas: tuple[float, ...]) -> Tensor:
    """Of the composition of clips over the exact denoiser: mean squared error in closed form, [levels, 1]."""
    rows = []
    for sigma in sigmas:
        noisy = C + sigma**2 * torch.eye(D, dtype=C.dtype)
        miss = matrix(in_time(counted(length, overlap)), sigma, SHAPE) - torch.linalg.solve(noisy, C).T
        rows.append((miss @ noisy @ miss.T).trace() / D)
    return torch.stack(rows)[:, None]


def levels(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(torch.logspace(low, high, count, 10, dtype=torch.float64).tolist())


def videos(count: int) -> Tensor:
    """Draw videos [B, T, 1, H, W] of covariance C."""
    white = torch.randn(count, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return (white @ torch.linalg.cholesky(C).T).view(count, FRAMES, 1, SIDE, SIDE)


@pytest.mark.parametrize("length", [1, 8])
def test_over_all_noise_levels_disjoint_clips_miss_the_total_correlation_between_them(length: int) -> None:
    clip = length * SIDE**2
    blocks = (FRAMES // length) * torch.linalg.slogdet(C[:clip, :clip])[1]
    total_correlation = (blocks - torch.linalg.slogdet(C)[1]).item() / 2
    sigmas = levels(-2.5, 2.5, 40)
    missed = nats_per_dimension(excess(length, 0, sigmas), sigmas)
    assert missed.item() * D == pytest.approx(total_correlation, rel=2e-3)


@pytest.mark.parametrize("overlap", [0, 2])
def test_the_levels_of_the_held_out_loss_are_fine_enough(overlap: int) -> None:
    fine = levels(torch.tensor(LEAST_COUNTED).log10().item(), 1, 40)
    exact = nats_per_dimension(excess(4, overlap, fine), fine).item()
    assert nats_per_dimension(excess(4, overlap, tuple(COUNTED)), COUNTED).item() == pytest.approx(exact, rel=0.02)


def test_what_is_measured_on_videos_with_paired_noise_is_the_closed_form() -> None:
    x = videos(120)
    batches = [Batch(part, torch.zeros(len(part), FRAMES)) for part in x.split(40)]
    denoisers = {"clips": in_time(counted(4, 0)), "tapered": in_time(tapered(4, 2)), "exact": gaussian(C)}
    errors = {
        name: held_out_errors(evenly_timed(of), batches, HELD_OUT_SIGMAS, seed=0) for name, of in denoisers.items()
    }
    missed = missed_nats(errors, HELD_OUT_SIGMAS)
    expected = nats_per_dimension(excess(4, 0, tuple(COUNTED)), COUNTED).item()
    standard_error = (missed["clips"].std() / len(x) ** 0.5).item()
    assert missed["clips"].mean().item() == pytest.approx(expected, abs=3 * standard_error)
    assert standard_error < 0.03 * expected
    assert 0 < missed["tapered"].mean() < missed["clips"].mean()
    assert missed["exact"].abs().max() == 0


def test_without_the_exact_denoiser_the_meter_says_less_and_never_more() -> None:
    x = videos(40)
    batches = [Batch(x, torch.zeros(len(x), FRAMES))]
    denoisers = {"clips": in_time(counted(4, 0)), "overlapping": in_time(counted(4, 2)), "exact": gaussian(C)}
    errors = {
        name: held_out_errors(evenly_timed(of), batches, HELD_OUT_SIGMAS, seed=0) for name, of in denoisers.items()
    }
    with_truth = missed_nats(errors, HELD_OUT_SIGMAS)
    del errors["exact"]
    without = missed_nats(errors, HELD_OUT_SIGMAS)
    assert 0 < without["clips"].mean() < with_truth["clips"].mean()


def test_choosing_the_best_of_equal_nets_adds_nothing_in_the_mean() -> None:
    sigmas, generator = (0.1, 1.0), torch.Generator().manual_seed(0)
    draws = torch.rand(3000, 2, len(sigmas), 3, generator=generator, dtype=torch.float64)  # of 2 nets, 3 videos
    means = torch.stack([missed_nats({"a": a, "b": b}, sigmas)["a"].mean() for a, b in draws])
    assert means.mean().abs() < 3 * means.std() / len(means) ** 0.5


def test_one_video_is_too_few() -> None:
    with pytest.raises(ValueError, match="two videos"):
        missed_nats({"a": torch.ones(2, 1)}, (0.1, 1.0))

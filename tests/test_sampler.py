"""The sampler on denoisers whose samples are known exactly, and swept over stores as if it were in memory."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidboot.composition import Noisy, Stream, joined, tapered, whole, windowed
from vidboot.denoiser import Denoise
from vidboot.disk import Disk
from vidboot.noise import LevelNoise, Schedule, expand, level_noise
from vidboot.sampler import Memory, Stores, memory_stores, sde, sde_stream
from vidboot.views import LowRes

FRAME = 4, 1, 2, 3  # T, C, H, W
PIXELS = 24


def covariance() -> Tensor:
    """Of a video: standard deviations from .3 to 2 along random directions."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(PIXELS, PIXELS, dtype=torch.float64, generator=generator)).Q
    deviations = torch.logspace(-0.5, 0.3, PIXELS, dtype=torch.float64)
    return directions * deviations**2 @ directions.T


def gaussian(C: Tensor, mean: Tensor | float = 0.0) -> Denoise:
    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        noisy = C + sigma[0] ** 2 * torch.eye(PIXELS, dtype=torch.float64)
        return mean + ((y - mean).flatten(1) @ torch.linalg.solve(noisy, C)).view_as(y)

    return denoise


def sampled_covariance(schedule: Schedule) -> Tensor:
    """Of the samples, exactly: the sampler is linear, so its map is what it makes of each basis vector of its noise."""
    basis = torch.eye(schedule.levels * PIXELS, dtype=torch.float64).view(-1, schedule.levels, *FRAME)

    def noise(level: int, first: int, last: int) -> Tensor:
        return basis[:, level, first:last]

    y = schedule.sigma_max * noise(0, 0, FRAME[0])
    from_noise = sde(gaussian(covariance()), y, schedule.sigmas(), noise, fresh=schedule.fresh).flatten(1)
    return from_noise.T @ from_noise


def silent(level: int, first: int, last: int) -> Tensor:
    return torch.zeros(1)


@pytest.mark.parametrize(("fresh", "levels"), [(0, 60), (1, 80), (3, 160)])
def test_samples_have_the_covariance_of_the_data(fresh: float, levels: int) -> None:
    C = covariance()
    miss = sampled_covariance(Schedule(levels=levels, sigma_max=400, sigma_min=0.005, fresh=fresh)) - C
    assert miss.norm() < 0.01 * C.norm()


def test_a_finite_first_level_shrinks_a_direction_by_what_the_ode_says() -> None:
    schedule = Schedule(levels=80, sigma_max=5, sigma_min=0.002, fresh=0)
    kept, variance = (torch.linalg.eigvalsh(C) for C in (sampled_covariance(schedule), covariance()))
    torch.testing.assert_close(kept, variance / (1 + variance / 5**2), rtol=5e-3, atol=0)


def test_fresh_noise_makes_up_for_a_finite_first_level() -> None:
    C = covariance()
    ode, sde_ = (
        (sampled_covariance(Schedule(levels=80, sigma_max=5, sigma_min=0.002, fresh=fresh)) - C).norm()
        for fresh in (0, 1)
    )
    assert sde_ < ode / 4


@pytest.mark.parametrize("fresh", [0.0, 1.0])
def test_twice_the_levels_quarter_the_error(fresh: float) -> None:
    exact = torch.linalg.eigvalsh(covariance())
    errors = []
    for levels in (60, 120, 240):
        schedule = Schedule(levels=levels, sigma_max=400, sigma_min=5e-3, fresh=fresh)
        errors.append((torch.linalg.eigvalsh(sampled_covariance(schedule)) / exact - 1).norm().item())
    assert 3 < errors[0] / errors[1] < 6
    assert 3 < errors[1] / errors[2] < 6


def test_samples_have_the_mean_of_the_data_if_the_noise_is_centred_on_it() -> None:
    mean = torch.linspace(-1, 1, PIXELS, dtype=torch.float64).view(1, *FRAME)
    sigmas = Schedule().sigmas()
    torch.testing.assert_close(sde(gaussian(covariance(), mean), mean, sigmas, silent), mean)
    centred_on_0 = sde(gaussian(covariance(), mean), 0 * mean, sigmas, silent, fresh=0)
    assert (centred_on_0 - mean).norm() > 1e-3


def test_a_denoiser_that_knows_the_video_is_followed_to_it_and_the_noise_is_left_as_it_was() -> None:
    video, y = torch.randn(2, 3, 3, 4, 4), 20 * torch.randn(2, 3, 3, 4, 4)
    before = y.clone()
    assert torch.equal(sde(lambda y, sigma: video, y, Schedule(sigma_max=20).sigmas(), noise_of(3, 4, 4)), video)
    assert torch.equal(y, before)


@pytest.mark.parametrize("fresh", [0.0, 1.0, 4.0])
def test_around_a_video_that_is_known_the_noise_is_that_of_each_level(fresh: float) -> None:
    video, sigmas = torch.randn(1, 8, 3, 16, 16), Schedule(levels=9, sigma_max=20, sigma_min=0.1).sigmas()
    deviations: list[float] = []

    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        deviations.append((y - video).std().item())
        return video

    sde(denoise, video + 20 * torch.randn(video.shape), sigmas, noise_of(3, 16, 16), fresh=fresh)
    assert deviations == pytest.approx(sigmas[:-1].tolist(), rel=0.05)


def test_levels_that_do_not_end_at_0_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="the last level is 0"):
        sde(lambda y, sigma: y, torch.zeros(1, 1, 1, 1, 1), torch.tensor([2.0, 1.0]), silent)


def mixing(y: Tensor, sigma: Tensor) -> Tensor:
    """A cheap denoiser that is not linear and looks both ways in time."""
    around = y + 0.5 * y.roll(1, 1) - 0.3 * y.flip(1)
    return torch.tanh(around / expand(1 + sigma, y))


STREAM = joined(windowed(mixing, tapered(4, 2)), LowRes(2), windowed(mixing, tapered(9, 5), frames_per_call=18))


def noise_of(*shape: int) -> LevelNoise:
    return level_noise((1, *shape), 2)


@pytest.mark.parametrize("frames", [3, 8, 23])
def test_sweeping_stores_gives_what_memory_gives_bit_for_bit(frames: int, tmp_path: Path) -> None:
    shape, sigmas = (3, 4, 6), Schedule(levels=5, sigma_max=20).sigmas()
    noise = noise_of(*shape)
    y = 20 * noise(0, 0, frames)
    expected = sde(whole(STREAM), y, sigmas, noise)
    names = ("y", "after", "D_before", "D_now")
    y_, after, D_before, D_now = (Disk(tmp_path / name, frames, shape, torch.device("cpu")) for name in names)
    y_.write(0, y[:, :2])
    y_.write(2, y[:, 2:])
    stores: list[Stores] = [memory_stores(y.clone()), (y_, after, D_before, D_now)]
    for four in stores:
        sweeps: list[None] = []
        parts = list(sde_stream(STREAM, four, sigmas, noise, lambda seen=sweeps: seen.append(None)))
        assert torch.equal(torch.cat(parts, 1), expected)
        assert len(sweeps) == 5
    for store in (y_, after, D_before, D_now):
        store.close()


class BrokenOff(Exception):
    pass


@pytest.mark.parametrize("calls", range(26))
def test_a_sweep_broken_off_anywhere_is_done_again_to_the_same_bits(calls: int) -> None:
    sigmas, noise = Schedule(levels=5, sigma_max=20).sigmas(), noise_of(3, 2, 2)
    y = 20 * noise(0, 0, 17)
    y_, after, D_before, D_now = (Memory(y.clone()) for _ in range(4))
    stores = (y_, after, D_before, D_now)
    left, sweeps = calls, []

    def breaking(part: Tensor, sigma: Tensor) -> Tensor:
        nonlocal left
        left -= 1
        if left < 0:
            raise BrokenOff
        return mixing(part, sigma)

    def stream(denoise: Denoise) -> Stream:
        return windowed(denoise, tapered(4, 2), frames_per_call=8)

    with suppress(BrokenOff):  # the last numbers come after the end
        list(sde_stream(stream(breaking), stores, sigmas, noise, lambda: sweeps.append(None)))
    rest = list(sde_stream(stream(mixing), stores, sigmas, noise, done=len(sweeps)))
    assert torch.equal(torch.cat(rest, 1), sde(whole(stream(mixing)), y, sigmas, noise))


def test_each_level_costs_one_look() -> None:
    asked: list[float] = []

    def recorded(noisy: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        asked.append(round(sigma.item(), 4))
        yield noisy.read(0, noisy.frames)

    list(sde_stream(recorded, memory_stores(torch.zeros(1, 2, 1, 1, 1)), torch.tensor([4.0, 2.0, 1.0, 0.0]), silent))
    assert asked == [4, 2, 1]


@pytest.mark.parametrize("frames", [1, 7])
def test_a_disk_store_gives_back_what_was_written(frames: int, tmp_path: Path) -> None:
    video = torch.randn(1, frames, 3, 2, 5)
    store = Disk(tmp_path / "y", frames, (3, 2, 5), torch.device("cpu"))
    store.write(0, video.flip(1))
    for t in range(frames):
        store.write(t, video[:, t : t + 1])
    assert torch.equal(store.read(0, frames), video)
    assert torch.equal(store.read(frames - 1, frames), video[:, -1:])
    with pytest.raises(AssertionError, match="not all there"):
        store.read(frames - 1, frames + 1)
    store.close()

"""Heun's method on denoisers whose samples are known exactly, and swept over stores as if it were in memory."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidboot.composition import Noisy, Stream, joined, tapered, whole, windowed
from vidboot.denoiser import Denoise
from vidboot.disk import Disk
from vidboot.noise import Schedule, expand, normal_like_frames
from vidboot.sampler import Memory, Store, heun, heun_stream
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
    """Of the samples, exactly: the sampler is linear, so its map is what it makes of every basis vector."""
    noise = torch.eye(PIXELS, dtype=torch.float64).view(-1, *FRAME)
    from_noise = heun(gaussian(covariance()), schedule.sigma_max * noise, schedule.sigmas()).flatten(1)
    return from_noise.T @ from_noise


def test_samples_have_the_covariance_of_the_data() -> None:
    C = covariance()
    miss = sampled_covariance(Schedule(levels=40, sigma_max=40, sigma_min=0.005)) - C
    assert miss.norm() < 0.01 * C.norm()


def test_a_finite_first_level_shrinks_a_direction_by_what_the_ode_says() -> None:
    sigma_max = 5.0
    kept = torch.linalg.eigvalsh(sampled_covariance(Schedule(levels=80, sigma_max=sigma_max, sigma_min=0.002)))
    variance = torch.linalg.eigvalsh(covariance())
    torch.testing.assert_close(kept, variance / (1 + variance / sigma_max**2), rtol=5e-3, atol=0)


def test_twice_the_levels_quarter_the_error() -> None:
    variance = torch.linalg.eigvalsh(covariance())
    exact = variance / (1 + variance / 40**2)
    errors = []
    for levels in (20, 40, 80):
        kept = torch.linalg.eigvalsh(sampled_covariance(Schedule(levels=levels, sigma_max=40, sigma_min=1e-4)))
        errors.append((kept / exact - 1).norm().item())
    assert 3 < errors[0] / errors[1] < 6
    assert 3 < errors[1] / errors[2] < 6


def test_samples_have_the_mean_of_the_data_if_the_noise_is_centred_on_it() -> None:
    mean = torch.linspace(-1, 1, PIXELS, dtype=torch.float64).view(1, *FRAME)
    sigmas = Schedule().sigmas()
    torch.testing.assert_close(heun(gaussian(covariance(), mean), mean, sigmas), mean)
    centred_on_0 = heun(gaussian(covariance(), mean), 0 * mean, sigmas)
    assert (centred_on_0 - mean).norm() > 1e-3


def test_a_denoiser_that_knows_the_video_is_followed_to_it_and_the_noise_is_left_as_it_was() -> None:
    video, y = torch.randn(2, 3, 3, 4, 4), 20 * torch.randn(2, 3, 3, 4, 4)
    before = y.clone()
    assert torch.equal(heun(lambda y, sigma: video, y, Schedule(sigma_max=20).sigmas()), video)
    assert torch.equal(y, before)


def test_levels_that_do_not_end_at_0_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="the last level is 0"):
        heun(lambda y, sigma: y, torch.zeros(1, 1, 1, 1, 1), torch.tensor([2.0, 1.0]))


def mixing(y: Tensor, sigma: Tensor) -> Tensor:
    """A cheap denoiser that is not linear and looks both ways in time."""
    around = y + 0.5 * y.roll(1, 1) - 0.3 * y.flip(1)
    return torch.tanh(around / expand(1 + sigma, y))


STREAM = joined(windowed(mixing, tapered(4, 2)), LowRes(2), windowed(mixing, tapered(9, 5), clips_per_call=2))


@pytest.mark.parametrize("frames", [3, 8, 23])
def test_sweeping_stores_gives_what_memory_gives_bit_for_bit(frames: int, tmp_path: Path) -> None:
    shape, sigmas = (3, 4, 6), Schedule(levels=5, sigma_max=20).sigmas()
    y = 20 * normal_like_frames((1, *shape), seed=1, first=0, last=frames)
    expected = heun(whole(STREAM), y, sigmas)
    memory, ahead = Memory(y.clone()), Memory(torch.empty_like(y))
    disk = [Disk(tmp_path / name, frames, shape, torch.device("cpu")) for name in ("y", "ahead", "after")]
    disk[0].write(0, y[:, :2])
    disk[0].write(2, y[:, 2:])
    stores: list[tuple[Store, Store, Store]] = [(memory, ahead, memory), (disk[0], disk[1], disk[2])]
    for three in stores:
        sweeps: list[None] = []
        parts = list(heun_stream(STREAM, three, sigmas, lambda seen=sweeps: seen.append(None)))
        assert torch.equal(torch.cat(parts, 1), expected)
        assert len(sweeps) == 2 * 5 - 1
    for store in disk:
        store.close()


class BrokenOff(Exception):
    pass


@pytest.mark.parametrize("calls", range(36))
def test_a_sweep_broken_off_anywhere_is_done_again_to_the_same_bits(calls: int) -> None:
    sigmas = Schedule(levels=4, sigma_max=20).sigmas()
    y = 20 * normal_like_frames((1, 3, 2, 2), seed=1, first=0, last=17)
    stores = Memory(y.clone()), Memory(torch.empty_like(y)), Memory(torch.empty_like(y))
    left, sweeps = calls, []

    def breaking(part: Tensor, sigma: Tensor) -> Tensor:
        nonlocal left
        left -= 1
        if left < 0:
            raise BrokenOff
        return mixing(part, sigma)

    def stream(denoise: Denoise) -> Stream:
        return windowed(denoise, tapered(4, 2), clips_per_call=2)

    with suppress(BrokenOff):  # the last numbers come after the end
        list(heun_stream(stream(breaking), stores, sigmas, lambda: sweeps.append(None)))
    rest = list(heun_stream(stream(mixing), stores, sigmas, done=len(sweeps)))
    assert torch.equal(torch.cat(rest, 1), heun(whole(stream(mixing)), y, sigmas))


def test_each_sweep_asks_for_the_levels_of_heuns_method() -> None:
    asked: list[float] = []

    def recorded(noisy: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        asked.append(round(sigma.item(), 4))
        yield noisy.read(0, noisy.frames)

    y = Memory(torch.zeros(1, 2, 1, 1, 1))
    list(heun_stream(recorded, (y, Memory(y.video.clone()), y), torch.tensor([4.0, 2.0, 1.0, 0.0])))
    assert asked == [4, 2, 2, 1, 1]


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

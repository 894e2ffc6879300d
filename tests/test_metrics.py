"""Each measure on videos built so that its value is known, and on procedural videos."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vidboot import metrics
from vidboot.synthetic import SPECIES, draw_scene, render


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_video(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1


def sprites(seed: int, frames: int, *, first: int = 0, species: int | None = None) -> Tensor:
    scene = draw_scene(seed, 0)
    scene = scene if species is None else replace(scene, species=species)
    return as_video(render(scene, frames=frames, first=first))


def colour_memory(videos: Tensor, lag: int) -> float:
    return metrics.lag_correlation(metrics.colour_features(videos), lag)


@pytest.fixture(scope="module")
def real() -> Tensor:
    return torch.stack([sprites(seed, 64) for seed in range(24)])


@pytest.fixture(scope="module")
def unrelated_clips() -> Tensor:
    """Videos made of eight real clips each that know nothing of each other."""
    return torch.stack([torch.cat([sprites(100 + 8 * video + k, 8) for k in range(8)]) for video in range(24)])


@pytest.fixture(scope="module")
def changing_sprites() -> Tensor:
    """Real paths and backgrounds, but the species is drawn again every eight frames."""
    draw = np.random.default_rng(0).integers(len(SPECIES), size=(24, 8))
    pieces = [[sprites(v, 8, first=8 * k, species=int(draw[v, k])) for k in range(8)] for v in range(24)]
    return torch.stack([torch.cat(video) for video in pieces])


def test_memory_tells_real_videos_from_unrelated_clips_and_from_changing_sprites(
    real: Tensor, unrelated_clips: Tensor, changing_sprites: Tensor
) -> None:
    assert colour_memory(real, 48) > 0.95
    assert abs(colour_memory(unrelated_clips, 48)) < 0.2
    assert colour_memory(changing_sprites, 48) < 0.45
    assert metrics.motion_lag_correlation(real, 48) > 0.6
    assert abs(metrics.motion_lag_correlation(unrelated_clips, 48)) < 0.2


def test_memory_survives_noise_and_blur(real: Tensor) -> None:
    noisy = (real + 0.1 * noise(*real.shape)).float()
    blurred = metrics.LowRes(2).lift(metrics.LowRes(2).restrict(real))
    assert colour_memory(noisy, 48) > 0.95
    assert colour_memory(blurred, 48) > 0.95


def test_constant_videos_remember_everything_and_independent_frames_nothing() -> None:
    still = noise(6, 1, 3, 8, 8).expand(6, 20, 3, 8, 8)
    assert colour_memory(still, 13) == pytest.approx(1)
    features = noise(50, 200, 4)
    assert abs(metrics.lag_correlation(features, 7)) < 0.01
    assert metrics.lag_correlation(features, 0) == pytest.approx(1)


def test_features_drawn_again_every_eight_frames_correlate_within_them_only() -> None:
    features = noise(400, 8, 3).repeat_interleave(8, dim=1)
    curve = metrics.lag_curve(features, range(12))
    # Of the 64 - lag pairs of frames in a video, 8 - lag in each of 8 pieces lie within one.
    expected = [8 * max(0, 8 - lag) / (64 - lag) for lag in range(12)]
    np.testing.assert_allclose(curve, expected, atol=0.03)


def test_what_all_videos_share_is_no_memory() -> None:
    features = noise(50, 40, 3) + 100
    assert abs(metrics.lag_correlation(features, 5)) < 0.05


def test_identical_videos_have_no_correlation() -> None:
    assert math.isnan(metrics.lag_correlation(torch.ones(3, 4, 2), 1))


@pytest.mark.parametrize(("B", "lag"), [(1, 1), (3, 4), (3, -1)])
def test_impossible_correlations_are_refused(B: int, lag: int) -> None:
    with pytest.raises(ValueError, match=r"lag|two videos"):
        metrics.lag_correlation(torch.ones(B, 4, 2), lag)


def test_a_colour_counts_by_its_share_of_the_frame_up_to_the_cut_off() -> None:
    video = -torch.ones(1, 1, 3, 10, 10)  # black
    video[..., 0, 0, :2] = 1  # two red pixels of a hundred
    features = metrics.colour_features(video).view(3, 3, 3)
    assert features[0, 0, 0] == 1
    assert features[2, 0, 0] == pytest.approx(0.02 / metrics.LARGE_SHARE)
    assert features.sum() == pytest.approx(1 + 0.02 / metrics.LARGE_SHARE)
    whole = metrics.colour_features(noise(2, 3, 3, 5, 7), large=1.0)
    torch.testing.assert_close(whole.sum(-1), torch.ones(2, 3))


def test_motion_of_a_still_video_is_zero_and_of_noise_twice_its_variance() -> None:
    assert metrics.motion_energy(torch.ones(2, 5, 3, 4, 4)) == 0
    assert metrics.motion_energy(0.5 * noise(4, 200, 3, 8, 8)) == pytest.approx(2 * 0.25, rel=0.02)
    assert metrics.flicker(0.5 * noise(4, 200, 3, 8, 8)) == pytest.approx(6 * 0.25, rel=0.02)


def test_steady_change_does_not_flicker() -> None:
    ramp = torch.linspace(-1, 1, 9).view(1, 9, 1, 1, 1).expand(2, 9, 3, 4, 4)
    assert metrics.flicker(ramp) == pytest.approx(0, abs=1e-12)


def test_spread_is_the_variance_between_videos_and_not_within() -> None:
    assert metrics.spread(noise(1, 9, 3, 4, 4).expand(5, 9, 3, 4, 4)) == 0
    levels = torch.tensor([-1.0, 0, 1]).view(3, 1, 1, 1, 1).expand(3, 4, 3, 2, 2)
    assert metrics.spread(levels) == pytest.approx(1)


def test_high_band_energy_sees_only_what_the_low_res_view_cannot() -> None:
    view = metrics.LowRes(4)
    low = view.lift(noise(2, 3, 3, 2, 2))
    checker = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    assert metrics.high_band_energy(low, 4) == pytest.approx(0, abs=1e-12)
    assert metrics.high_band_energy(low + 0.5 * checker, 4) == pytest.approx(0.25)


def test_seams_show_in_unrelated_clips_and_not_in_real_videos(real: Tensor, unrelated_clips: Tensor) -> None:
    joins = range(8, 64, 8)
    assert metrics.seam_ratio(real, joins) == pytest.approx(1, abs=0.05)
    assert metrics.seam_ratio(unrelated_clips, joins) > 4
    jump = torch.arange(10).div(5, rounding_mode="floor").add(torch.arange(10)).view(1, 10, 1, 1, 1).float()
    assert metrics.seam_ratio(jump, [5]) == pytest.approx(4)  # a step of 2 among steps of 1


@pytest.mark.parametrize("joins", [[], [0], [10], range(1, 10)])
def test_joins_outside_the_video_are_refused(joins: list[int]) -> None:
    with pytest.raises(ValueError, match="join"):
        metrics.seam_ratio(torch.ones(1, 10, 1, 1, 1), joins)


def test_drift_is_the_slope_per_second_whatever_its_sign() -> None:
    seconds = torch.arange(40) / 8
    slopes = torch.tensor([0.1, -0.3, 0.0])
    drift = (slopes[:, None] * seconds).view(3, 40, 1, 1, 1).expand(3, 40, 3, 4, 4)
    assert metrics.colour_drift_slope(drift + 0.2, fps=8) == pytest.approx(0.4 / 3)


def test_a_copied_clip_is_at_distance_zero_and_a_shifted_one_at_its_shift() -> None:
    clips = noise(300, 4, 3, 2, 2)
    video = torch.cat([clips[7], clips[270] + 0.5, clips[1][:3]])[None]
    distance = metrics.nearest_distance(video, clips)
    assert distance.shape == (1, 2)
    np.testing.assert_allclose(distance[0], [0, 0.5], atol=1e-6)


@pytest.mark.parametrize("videos", [5, 8, 30])
def test_the_bootstrap_interval_covers_a_mean_as_often_as_it_says(videos: int) -> None:
    samples = noise(300, videos, seed=1)
    intervals = [metrics.bootstrap_interval(lambda x: float(x.mean()), row, level=0.9) for row in samples]
    covered = sum(low <= 0 <= high for low, high in intervals) / len(intervals)
    assert 0.86 <= covered <= 0.95


def test_a_paired_bootstrap_sees_a_difference_that_is_smaller_than_the_spread() -> None:
    x = noise(20) * 100
    low, high = metrics.bootstrap_interval(lambda a, b: float((a - b).mean()), x + 1, x)
    assert (low, high) == pytest.approx((1, 1))
    assert metrics.bootstrap_interval(lambda a: float(a.mean()), x) == metrics.bootstrap_interval(
        lambda a: float(a.mean()), x
    )
    with pytest.raises(ValueError, match="one length"):
        metrics.bootstrap_interval(lambda a, b: 0.0, x, x[1:])

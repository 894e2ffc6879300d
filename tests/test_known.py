"""What is known stays exactly as it is, and what it determines is filled with just that."""

from pathlib import Path
from typing import Any

import torch
from restoring import filler
from torch import Tensor

from vidboot import inpaint
from vidboot.composition import in_memory, known
from vidboot.noise import Schedule, expand, normal_like_frames
from vidboot.sampler import Memory, renoised_stream


def twins(y: Tensor, sigma: Tensor) -> Tensor:
    """Exact denoiser of videos whose left and right half are the same, unit normal each."""
    left, right = y.chunk(2, -1)
    mean = (left + right) / 2 / (1 + expand(sigma, y) ** 2 / 2)
    return torch.cat([mean, mean], -1)


def conditioned(x: Tensor, visible: Tensor, *, levels: int, seen: list[Tensor] | None = None) -> Tensor:
    def stream(y: Any, sigma: Tensor) -> Any:
        video = y.read(0, y.frames)
        if seen is not None:
            seen.append((video - x) / expand(sigma, video))
        yield twins(video, sigma)

    def noise(level: int, first: int, last: int) -> Tensor:
        return normal_like_frames((1, *x.shape[2:]), seed=level, first=first, last=last).to(x)

    sigmas = Schedule(levels=levels, sigma_max=20, sigma_min=0.002).sigmas()
    stores = Memory(torch.where(visible.bool(), x, 0) + sigmas[0] * noise(0, 0, x.shape[1])), Memory(x.clone())
    denoise = known(stream, in_memory(x), in_memory(visible))
    return torch.cat(list(renoised_stream(denoise, stores, sigmas, noise)), 1)


def test_what_the_visible_determines_is_filled_with_just_that() -> None:
    x = torch.randn(1, 3, 1, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[..., 2:] = x[..., :2]
    visible = torch.ones_like(x)
    visible[..., 2:] = 0
    filled = conditioned(x, visible, levels=40)
    assert torch.equal(filled[..., :2], x[..., :2])
    assert (filled - x).abs().max() < 0.02


def test_the_net_sees_known_pixels_at_its_own_noise_level_and_through_other_noise_each_time() -> None:
    x = torch.randn(1, 2, 1, 2, 4, dtype=torch.float64)
    visible = (torch.rand(1, 2, 1, 2, 4) < 0.5).double()
    seen: list[Tensor] = []
    conditioned(x, visible, levels=12, seen=seen)
    assert len(seen) == 12
    for level, noise in enumerate(seen):
        expected = normal_like_frames((1, 1, 2, 4), seed=level, first=0, last=2).to(x)
        torch.testing.assert_close(noise[visible.bool()], expected[visible.bool()])


def test_visible_pixels_come_back_bit_for_bit_and_what_lies_under_the_mask_is_not_looked_at(
    untrained_run: Path,
) -> None:
    video = torch.rand(1, 10, 3, 16, 16) * 2 - 1
    visible = torch.ones(1, 10, 1, 16, 16)
    visible[:, 2:7, :, 4:12, 4:12] = 0
    filled = inpaint.inpaint(filler(untrained_run), video, visible)
    assert torch.equal(filled * visible, video * visible)
    spoilt = torch.where(visible.bool(), video, torch.nan)
    assert torch.equal(inpaint.inpaint(filler(untrained_run), spoilt, visible), filled)
    assert not torch.equal(inpaint.inpaint(filler(untrained_run, seed=1), video, visible), filled)


def test_several_samples_are_averaged(untrained_run: Path) -> None:
    video, visible = torch.zeros(1, 4, 3, 16, 16), torch.zeros(1, 4, 1, 16, 16)
    both = filler(untrained_run, samples=2)
    single = [inpaint.inpaint(both.numbered(number), video, visible) for number in (0, 1)]
    within = torch.maximum(*(one.abs() for one in single)) < 1  # what is clipped is clipped after the mean
    assert within.float().mean() > 0.2
    mean = (single[0] + single[1]) / 2
    torch.testing.assert_close(inpaint.inpaint(both, video, visible)[within], mean[within])

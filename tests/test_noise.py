"""Noise levels cover their density evenly; schedules fall to 0; the noise of a frame is its own."""

import pytest
import torch
from pydantic import ValidationError

from vidboot import noise as noises
from vidboot.noise import Schedule, SigmaDensity, expand, normal_like_frames, seeded


@pytest.mark.parametrize("B", [1, 2, 7, 64])
def test_each_stratum_gives_one_level(B: int) -> None:
    density = SigmaDensity(P_mean=0.3, P_std=1.7)
    for seed in range(5):
        sigma = density.draw(B, seeded(seed))
        assert sigma.dtype == torch.float32
        u = torch.special.ndtr((sigma.double().log() - 0.3) / 1.7)
        assert sorted((u * B).floor().int().tolist()) == list(range(B))


def test_strata_come_in_random_order() -> None:
    orders = {tuple(SigmaDensity().draw(4, seeded(seed)).argsort().tolist()) for seed in range(40)}
    assert len(orders) > 12


def test_ln_sigma_has_the_mean_and_deviation_it_was_given() -> None:
    ln_sigma = SigmaDensity(P_mean=-0.7, P_std=1.3).draw(4096, seeded(0)).double().log()
    assert ln_sigma.mean().item() == pytest.approx(-0.7, abs=1e-2)
    assert ln_sigma.std().item() == pytest.approx(1.3, abs=1e-2)


@pytest.mark.parametrize("levels", [2, 3, 18, 40])
def test_a_schedule_falls_in_equal_ratios_from_its_first_level_to_its_last_and_then_to_0(levels: int) -> None:
    sigmas = Schedule(levels=levels, sigma_max=30.0, sigma_min=0.01).sigmas()
    assert len(sigmas) == levels + 1
    ratios = sigmas[1:-1] / sigmas[:-2]
    assert (ratios < 1).all()
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))
    assert sigmas[0].item() == pytest.approx(30)
    assert sigmas[-2].item() == pytest.approx(0.01)
    assert sigmas[-1] == 0


@pytest.mark.parametrize("wrong", [{"levels": 1}, {"levels": 1009}, {"sigma_max": 0}, {"fresh": -1}, {"steps": 3}])
def test_a_schedule_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Schedule.model_validate(wrong)


def test_sigma_takes_the_rank_and_precision_of_the_video() -> None:
    expanded = expand(torch.tensor([1.0, 2.0]), torch.zeros(2, 5, 3, 4, 4, dtype=torch.float64))
    assert expanded.shape == (2, 1, 1, 1, 1)
    assert expanded.dtype == torch.float64


@pytest.mark.parametrize("large", [0, 2**16])
def test_the_noise_of_a_frame_depends_neither_on_cutting_nor_on_length_nor_on_threads(
    large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = 2, 3, 4, 5
    noise = normal_like_frames(shape, seed=3, first=0, last=20)
    assert noise.shape == (2, 20, 3, 4, 5)
    monkeypatch.setattr(noises, "LARGE", large)
    for first, last in ((0, 1), (5, 20), (19, 20), (7, 9)):
        assert torch.equal(normal_like_frames(shape, seed=3, first=first, last=last), noise[:, first:last])
    assert torch.equal(normal_like_frames(shape, seed=3, first=0, last=50)[:, :20], noise)


def test_frames_videos_seeds_and_levels_have_noise_of_their_own() -> None:
    drawn = [(seed, level) for seed in (0, 1) for level in (0, 1, 2)]
    noise = torch.cat([normal_like_frames((2, 3, 16, 16), seed=s, first=0, last=8, level=n) for s, n in drawn])
    one_each = noise.flatten(0, 1).flatten(1).double()  # [96, 768]
    likeness = torch.corrcoef(one_each) - torch.eye(len(one_each), dtype=torch.float64)
    assert likeness.abs().max() < 0.2
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)


def test_any_integer_is_a_seed() -> None:
    first, again = (torch.rand(3, generator=seeded(number)) for number in (5, 5 + 2**63))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(3, generator=seeded(-5)))

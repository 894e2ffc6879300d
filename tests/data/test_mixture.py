"""One net of sharp video learns from short clips, small videos and full ones, each where it teaches what is so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidboot.data.clips import Pool
from vidboot.data.mixture import Mixture, enlarged, shares, turn
from vidboot.denoiser import evenly_timed
from vidboot.fit import Stage, StageConfig, _draw
from vidboot.losses import Batch, squared_error
from vidboot.views import LowRes

VIEW, LEAST = LowRes(2), 1.5
LENGTHS = {"clips": 4, "small": 12, "full": 12}


class Drawn(Pool):
    """A pool whose clips tell where they come from."""

    def batch(self, size: int, *, seed: int, stage: str, step: int, rank: int = 0) -> Batch:
        side = 4 if self.window == LENGTHS["clips"] or self.flip else 2
        video = torch.full((size, self.window, 3, side, side), step / 100)
        return Batch(video, torch.arange(self.window).expand(size, -1) / 8)

    @property
    def longest(self) -> int:
        return self.window


def mixture(**counts: int) -> Mixture:
    clips, small = (Drawn([], None, window=LENGTHS[name], any_length=False) for name in ("clips", "small"))
    full = Drawn([], None, window=LENGTHS["full"], any_length=False, flip=True)
    return Mixture(clips, small, full, shares(**counts), VIEW, LEAST)


@pytest.mark.parametrize("parts", [(0.5, 0.25, 0.25), (0.8, 0.2, 0.0), (0.1, 0.0, 0.9), (0.0, 0.0, 1.0)])
def test_sources_take_turns_as_evenly_as_their_shares_allow(parts: tuple[float, ...]) -> None:
    turns = np.array([turn(parts, step) for step in range(2000)])
    for source, share in enumerate(parts):
        had = np.cumsum(turns == source)
        assert np.abs(had - share * np.arange(1, 2001)).max() < 3


def test_a_full_video_is_worth_eight_partial_ones_and_what_there_is_none_of_is_never_drawn() -> None:
    assert shares(clips=60, small=20, full=10) == pytest.approx((0.45, 0.05, 0.5))
    assert shares(clips=60, small=20, full=0) == pytest.approx((0.8, 0.2, 0))
    assert shares(clips=60, small=0, full=0) == (1, 0, 0)
    assert shares(clips=0, small=0, full=5) == (0, 0, 1)
    for counts in ((3, 0, 2), (0, 7, 1), (5, 5, 0)):
        assert sum(shares(clips=counts[0], small=counts[1], full=counts[2])) == pytest.approx(1)


def test_every_batch_has_as_many_frames_as_one_of_short_clips_and_only_small_ones_are_held_to_high_noise() -> None:
    drawn = mixture(clips=60, small=20, full=10)
    assert drawn.longest == 12
    kinds = set()
    for step in range(60):
        here = {"seed": 0, "stage": "clip", "step": step}
        batch = drawn.batch(6, **here)
        B, T = batch.video.shape[:2]
        assert B * T == 24
        assert drawn.shape(6, **here) == (B, T)
        assert batch.video.shape[-2:] == (4, 4)
        small = batch.view is not None
        assert batch.least_sigma == (LEAST if small else 0)
        assert not small or T == 12
        kinds.add((small, T))
    assert kinds == {(False, 4), (True, 12), (False, 12)}


def test_where_nothing_is_long_only_short_clips_are_drawn() -> None:
    assert mixture(clips=60, small=0, full=0).longest == 4


class Blind(Pool):
    """A pool that is blind at one corner of 4 or 2 pixels a side, or at none."""

    @property
    def blind(self) -> Tensor | None:
        if not self.window:
            return None
        blind = torch.zeros(1, 1, 1, self.group, self.group, dtype=torch.bool)
        blind[..., : self.window, : self.window] = True
        return blind


def test_a_mixture_is_blind_where_all_that_it_draws_from_is() -> None:
    def blind(corners: tuple[int, int, int], parts: tuple[float, float, float]) -> list[list[int]] | None:
        clips, small, full = (Blind([], None, n, group=side) for n, side in zip(corners, (4, 2, 4), strict=True))
        found = Mixture(clips, small, full, parts, VIEW, LEAST).blind
        return None if found is None else found.nonzero()[:, 3:].tolist()

    corner = [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert blind((3, 1, 4), (0.4, 0.3, 0.3)) == corner, "one pixel of a small video, enlarged"
    assert blind((1, 1, 4), (0.4, 0.3, 0.3)) == [[0, 0]]
    assert blind((2, 0, 4), (0.4, 0.3, 0.3)) is None, "small videos show all of it"
    assert blind((2, 0, 0), (1, 0, 0)) == corner, "but there are none"


def small_batch(visible: Tensor | None = None) -> Batch:
    video = torch.randn(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return Batch(video, torch.arange(3).expand(2, -1) / 8, visible, visible, ["a", "b"])


def test_an_enlarged_video_shows_what_the_small_one_did_and_detail_made_up_costs_nothing() -> None:
    small = small_batch()
    large = enlarged(small, VIEW, LEAST)
    torch.testing.assert_close(VIEW.restrict(large.video), small.video)
    detail = torch.randn(2, 3, 3, 8, 8)
    detail = detail - VIEW.lift(VIEW.restrict(detail))
    wrong = torch.zeros_like(detail)
    wrong[:, 0, :, :2, :2] = 1.0  # one of the 3 x 16 places of a small video
    noise, sigma = torch.zeros_like(large.video), torch.ones(2)
    for added, error in ((detail, 0.0), (wrong, 1 / 48), (detail + wrong, 1 / 48)):
        denoiser = evenly_timed(lambda y, sigma, added=added: y + added)
        torch.testing.assert_close(squared_error(denoiser, large, sigma, noise), torch.full((2,), error))


def test_what_hides_a_pixel_of_a_small_video_hides_all_that_it_became() -> None:
    visible = torch.ones(2, 3, 1, 4, 4, dtype=torch.uint8)
    visible[0, 1, 0, 2, 3] = 0
    large = enlarged(small_batch(visible), VIEW, LEAST)
    assert large.shown is not None
    assert (large.shown == 0).nonzero().tolist() == [[0, 1, 0, y, x] for y in (4, 5) for x in (6, 7)]
    wrong = torch.where(large.shown.bool(), 0.0, torch.nan)
    denoiser = evenly_timed(lambda y, sigma: y + wrong)
    noise = torch.zeros_like(large.video)
    torch.testing.assert_close(squared_error(denoiser, large, torch.ones(2), noise), torch.zeros(2))


def test_no_level_below_the_least_of_a_batch_is_trained_at() -> None:
    config = StageConfig(batch=64)
    stage = Stage("clip", config, nn.Identity(), lambda net, _: lambda *a: torch.zeros(()), lambda step: small_batch())
    batch = small_batch()
    batch = replace(batch, video=batch.video.repeat(32, 1, 1, 1, 1))
    free, _ = _draw(stage, 3, batch)
    held, _ = _draw(stage, 3, replace(batch, least_sigma=LEAST))
    assert free.min() < 0.1
    assert held.min() >= LEAST
    torch.testing.assert_close((held / LEAST).log(), (free / LEAST).log().abs())

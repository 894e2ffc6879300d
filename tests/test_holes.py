"""A bridged hole says nothing that its surroundings do not."""

import pytest
import torch
from torch import Tensor

from vidboot.holes import bridged

SIZES = [(1, 1), (1, 7), (2, 2), (5, 3), (8, 8), (17, 30)]


def random(H: int, W: int, *, N: int = 3) -> tuple[Tensor, Tensor]:
    """Frames and what is shown of them: two fifths, a pixel at least."""
    generator = torch.Generator().manual_seed(H * W)
    shown = torch.rand(N, 1, H, W, generator=generator) < 0.4
    shown[:, :, 0, 0] = True
    return torch.randn(N, 2, H, W, generator=generator), shown


@pytest.mark.parametrize(("H", "W"), SIZES)
def test_what_is_shown_stays_and_what_is_hidden_lies_between_it(H: int, W: int) -> None:
    frames, shown = random(H, W)
    given = bridged(frames, shown)
    assert torch.equal(torch.where(shown, given, 0), torch.where(shown, frames, 0))
    lowest, highest = (torch.where(shown, frames, far).flatten(2) for far in (torch.inf, -torch.inf))
    assert (given.flatten(2) >= lowest.amin(-1, keepdim=True) - 1e-5).all()
    assert (given.flatten(2) <= highest.amax(-1, keepdim=True) + 1e-5).all()


@pytest.mark.parametrize(("H", "W"), SIZES)
def test_a_frame_of_one_colour_has_no_hole_left(H: int, W: int) -> None:
    _, shown = random(H, W)
    plain = torch.tensor([0.3, -0.7]).view(1, 2, 1, 1).expand(3, 2, H, W)
    torch.testing.assert_close(bridged(plain, shown), plain)


@pytest.mark.parametrize("poison", [5.0, float("nan"), float("inf")])
def test_what_is_hidden_and_what_other_frames_show_changes_nothing(poison: float) -> None:
    frames, shown = random(9, 6)
    given = bridged(frames, shown)
    assert torch.equal(bridged(torch.where(shown, frames, poison), shown), given)
    assert torch.equal(bridged(frames[1:2], shown[1:2]), given[1:2])


def test_a_frame_of_which_nothing_is_shown_is_empty() -> None:
    frames, shown = random(6, 6)
    shown[1] = False
    assert torch.equal(bridged(frames, shown)[1], torch.zeros(2, 6, 6))


def test_a_ramp_goes_on_under_a_hole() -> None:
    ramp = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32)
    shown = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    shown[..., 10:18, 6:16] = False
    off = (bridged(ramp, shown) - ramp).abs().max()
    assert off < 0.25 * ramp[..., 10:18, 6:16].abs().max()  # that far off is an empty hole


def test_what_is_nearer_counts_for_more() -> None:
    frames = torch.zeros(1, 1, 1, 16)
    frames[..., 8:] = 1
    shown = torch.ones(1, 1, 1, 16, dtype=torch.bool)
    shown[..., 4:12] = False
    hole = bridged(frames, shown)[0, 0, 0, 4:12]
    assert (hole.diff() >= 0).all()
    assert hole[0] < 0.25 < 0.75 < hole[-1]

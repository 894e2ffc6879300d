"""The loss counts the pixels we can trust, those hidden from the net included, and nothing else."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vidboot.denoiser import SIGMA_DATA, Denoiser, NetDenoiser
from vidboot.holes import bridged
from vidboot.losses import (
    GIVEN_SIGMA,
    GUESS_SIGMA,
    MAX_WEIGHT,
    TAUGHT_SIGMA,
    Batch,
    filled,
    held_out_losses,
    loss_weight,
    squared_error,
    view_loss,
    without_holes,
)
from vidboot.noise import expand

B, T, H, W = 3, 4, 4, 6


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pixels(share: float, seed: int) -> Tensor:
    return (torch.rand(B, T, 1, H, W, generator=torch.Generator().manual_seed(seed)) < share).to(torch.uint8)


def batch_of(video: Tensor, visible: Tensor | None = None, shown: Tensor | None = None) -> Batch:
    return Batch(video, torch.arange(T).expand(len(video), T) / 8, visible, visible if shown is None else shown)


class Mix(torch.nn.Module):
    """A net with one weight per pair of pixels, so that every pixel it is given could reach every other."""

    def __init__(self) -> None:
        super().__init__()
        n = T * 3 * H * W
        self.weight = torch.nn.Parameter(random(n, n, seed=5) / n**0.5)

    def forward(self, y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        return (y.flatten(1) @ self.weight).view_as(y)


def test_the_error_is_the_mean_over_each_clips_visible_pixels() -> None:
    video, noise, visible = random(B, T, 3, H, W), random(B, T, 3, H, W, seed=1), pixels(0.5, 2)
    sigma = torch.tensor([0.1, 1.0, 9.0])
    denoiser = NetDenoiser(Mix(), torch.zeros(3))
    batch = batch_of(video, visible)
    D = denoiser(video + expand(sigma, video) * noise, sigma, shown=visible, pts_seconds=batch.pts_seconds)
    for i, error in enumerate(squared_error(denoiser, batch, sigma, noise)):
        trusted = visible[i].bool().expand_as(video[i])
        torch.testing.assert_close(error, (D[i] - video[i])[trusted].square().mean())


def test_a_mask_that_hides_nothing_changes_nothing() -> None:
    video, noise, sigma = random(B, T, 3, H, W), random(B, T, 3, H, W, seed=1), torch.tensor([0.1, 1.0, 9.0])
    denoiser = NetDenoiser(Mix(), torch.zeros(3))
    everything = torch.ones(B, T, 1, H, W, dtype=torch.uint8)
    torch.testing.assert_close(
        view_loss(denoiser, batch_of(video, everything), sigma, noise),
        view_loss(denoiser, batch_of(video), sigma, noise),
    )


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_what_is_under_the_mask_reaches_neither_loss_nor_gradient(poison: float) -> None:
    noise, visible = random(B, T, 3, H, W, seed=1), pixels(0.5, 2)
    sigma, clean = torch.tensor([0.1, 1.0, 9.0]), random(B, T, 3, H, W)
    found = []
    for hidden in (0.0, poison):
        denoiser = NetDenoiser(Mix(), torch.zeros(3))
        video = torch.where(visible.bool(), clean, hidden)
        loss = view_loss(denoiser, batch_of(video, visible), sigma, noise)
        loss.backward()
        found.append((loss.detach(), denoiser.net.weight.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.isfinite(found[1][1]).all()
    assert torch.equal(found[0][1], found[1][1])


def test_pixels_hidden_from_the_net_are_counted_and_not_given() -> None:
    video, noise, visible = random(B, T, 3, H, W), random(B, T, 3, H, W, seed=1), pixels(0.7, 2)
    shown = visible * pixels(0.5, 3)
    given: list[Tensor] = []

    def nothing(y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        assert shown is not None
        given.append(shown)
        return torch.zeros_like(y)

    errors = squared_error(nothing, batch_of(video, visible, shown), torch.ones(B), noise)
    assert given[0] is shown
    for i, error in enumerate(errors):
        torch.testing.assert_close(error, video[i][visible[i].bool().expand_as(video[i])].square().mean())

    denoiser = NetDenoiser(Mix(), torch.zeros(3))
    batch, other = batch_of(video, visible, shown), batch_of(torch.where(shown.bool(), video, 7), visible, shown)
    y, z = (b.video + noise for b in (batch, other))
    for b in (batch, other):
        assert b.shown is not None
    D = [denoiser(x, torch.ones(B), shown=shown, pts_seconds=batch.pts_seconds) for x in (y, z)]
    assert torch.equal(*D)


def test_a_clip_that_shows_nothing_is_left_out() -> None:
    video, noise, sigma = random(B, T, 3, H, W), random(B, T, 3, H, W, seed=1), torch.tensor([0.3, 1.0, 2.0])
    visible = pixels(0.5, 2)
    visible[1] = 0
    denoiser = NetDenoiser(Mix(), torch.zeros(3))
    batch = batch_of(video, visible)
    error = loss_weight(sigma) * squared_error(denoiser, filled(batch, sigma, noise, None), sigma, noise)
    torch.testing.assert_close(view_loss(denoiser, batch, sigma, noise), (error[0] + error[2]) / 2)
    assert view_loss(denoiser, batch_of(video, visible * 0), sigma, noise) == 0


LEVELS = torch.tensor([0.9 * GIVEN_SIGMA, 0.9 * TAUGHT_SIGMA, TAUGHT_SIGMA])
"""A hole stays a hole; a guess is given; a guess teaches, too."""


def seven(y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
    return torch.full_like(y, 7)


@pytest.mark.parametrize("guess", [None, seven])
def test_the_more_noise_the_more_a_guess_stands_for(guess: Denoiser | None) -> None:
    video, noise, visible = random(B, T, 3, H, W), random(B, T, 3, H, W, seed=1), pixels(0.5, 2)
    visible[:, 1] = 0  # of a frame that shows nothing there is nothing to guess by
    shown = visible * pixels(0.5, 3)
    batch = batch_of(video, visible, shown)
    now = filled(batch, LEVELS, noise, guess)
    assert now.visible is not None
    assert now.shown is not None
    bridge = bridged(video.flatten(0, 1), visible.flatten(0, 1).bool()).view_as(video)
    guessed = (visible == 0) & visible.bool().any((-2, -1), keepdim=True)
    expected = torch.where(guessed, bridge if guess is None else 7, video)
    for i, (given, taught) in enumerate([(False, False), (True, False), (True, True)]):
        assert torch.equal(now.video[i], expected[i] if given else video[i])
        assert torch.equal(now.shown[i].bool(), shown[i].bool() | (given & guessed[i]))
        assert torch.equal(now.visible[i].bool(), visible[i].bool() | (taught & guessed[i]))


def test_bridges_stand_at_every_level_for_what_no_clip_shows_and_a_guess_builds_on_them() -> None:
    video, noise, visible = random(B, T, 3, H, W), random(B, T, 3, H, W, seed=1), pixels(0.5, 2)
    blind = torch.zeros(1, 1, 1, H, W, dtype=torch.bool)
    blind[..., 2:, :3] = True
    visible[..., 2:, :3] = 0
    bridge = bridged(video.flatten(0, 1), visible.flatten(0, 1).bool()).view_as(video)
    asked: list[tuple[Tensor, Tensor]] = []

    def seven(y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        assert shown is not None
        asked.append((y, shown))
        return torch.full_like(y, 7)

    now = filled(replace(batch_of(video, visible), blind=blind), LEVELS, noise, seven)
    hidden = visible == 0
    for i, (given, taught) in enumerate([(False, False), (True, False), (True, True)]):
        guess = torch.where(hidden[i] & given, torch.tensor(7.0), video[i])
        assert torch.equal(now.video[i], torch.where(blind[0], bridge[i], guess))
        assert now.shown is not None
        assert now.visible is not None
        assert torch.equal(now.shown[i].bool(), ~hidden[i] | blind[0] | given)
        assert torch.equal(now.visible[i].bool(), ~hidden[i] | blind[0] | taught)
    ((y, shown),) = asked
    assert torch.equal(shown.bool(), (~hidden | blind)[1:])
    torch.testing.assert_close((y - GUESS_SIGMA * noise[1:].flip(1))[:, :, :, 2:, :3], bridge[1:, :, :, 2:, :3])


def test_nobody_guesses_what_no_clip_shows() -> None:
    def never(y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        raise AssertionError("asked")

    blind = torch.ones(1, 1, 1, H, W, dtype=torch.bool)
    batch = replace(batch_of(random(B, T, 3, H, W), pixels(0.5, 2)), blind=blind)
    now = filled(batch, LEVELS, random(B, T, 3, H, W, seed=1), never)
    assert now.visible is not None
    assert now.visible.all()


def test_what_cannot_be_told_of_holes_is_given_bridges_and_trusted_where_it_was() -> None:
    video, visible, shown = random(B, T, 3, H, W), pixels(0.5, 2), pixels(0.5, 3)
    batch = batch_of(video, visible, visible * shown)
    made = [without_holes(replace(batch, video=torch.where(visible.bool(), video, x))) for x in (0.0, float("nan"))]
    assert torch.equal(made[0].video, made[1].video)
    assert torch.equal(torch.where(visible.bool(), made[0].video, 0), torch.where(visible.bool(), video, 0))
    assert made[0].visible is batch.visible
    assert made[0].shown is batch.shown
    whole = batch_of(video)
    assert without_holes(whole) is whole


def test_a_net_that_guesses_sees_what_is_visible_and_learns_nothing_by_guessing() -> None:
    video, noise, visible = random(B, T, 3, H, W), random(B, T, 3, H, W, seed=1), pixels(0.5, 2)
    net, found = NetDenoiser(Mix(), torch.zeros(3)), []
    for hidden in (0.0, float("nan")):
        batch = filled(batch_of(torch.where(visible.bool(), video, hidden), visible), torch.ones(B), noise, net)
        assert not batch.video.requires_grad
        found.append(batch.video)
    assert torch.equal(*found)


@pytest.mark.parametrize("sigma", [0.5 * GIVEN_SIGMA, 2.0])
def test_nothing_is_guessed_where_it_would_not_be_used(sigma: float) -> None:
    def never(y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        raise AssertionError("asked")

    video, noise, everything = random(B, T, 3, H, W), random(B, T, 3, H, W, seed=1), pixels(2.0, 2)
    visible = pixels(0.5, 2) if sigma < GIVEN_SIGMA else everything
    batch = batch_of(video, visible, visible * pixels(0.5, 3))
    assert filled(batch, torch.full((B,), sigma), noise, never) is batch


@pytest.mark.parametrize("sigma", [0.05, 0.5, 4.0])
def test_the_exact_denoiser_of_white_video_has_the_least_possible_error(sigma: float) -> None:
    s = 0.3
    # Two orthogonal patterns stand for video and noise: their mean squares are exact, and nothing else enters.
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64)
    video = (s * signs.view(1, 2, 1, 1, 1)).expand(1, 2, 3, 2, 2)
    noise = signs.view(1, 1, 1, 1, 2).expand_as(video)

    def shrink(by: float) -> Tensor:
        def denoiser(y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
            return by * y

        levels = torch.full((1,), sigma, dtype=torch.float64)
        return squared_error(denoiser, Batch(video, torch.zeros(1, 2)), levels, noise)

    best = s**2 / (s**2 + sigma**2)
    assert shrink(best).item() == pytest.approx(s**2 * sigma**2 / (s**2 + sigma**2))
    assert shrink(best).item() < min(shrink(best * 1.01).item(), shrink(best * 0.99).item())


def test_the_weight_is_that_of_the_preconditioning_and_is_capped() -> None:
    sigma = torch.logspace(-3, 2, 50, dtype=torch.float64)
    weight = loss_weight(sigma)
    expected = 1 / sigma**2 + 1 / SIGMA_DATA**2
    assert weight.max() == MAX_WEIGHT
    torch.testing.assert_close(weight[expected <= MAX_WEIGHT], expected[expected <= MAX_WEIGHT])


def test_held_out_losses_are_the_same_each_time_and_weigh_every_clip_alike() -> None:
    denoiser = NetDenoiser(Mix(), torch.zeros(3))
    batches = [batch_of(random(n, T, 3, H, W, seed=n)) for n in (1, 3)]
    losses = held_out_losses(denoiser, batches, (0.1, 1.0), seed=4)
    assert losses == held_out_losses(denoiser, batches, (0.1, 1.0), seed=4)
    assert losses != held_out_losses(denoiser, batches, (0.1, 1.0), seed=5)

    def off(y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        return torch.full_like(y, 0.5 if len(y) == 1 else 1.0)

    black = [batch_of(torch.zeros(n, T, 3, H, W)) for n in (1, 3)]
    mean = (0.25 + 3 * 1.0) / 4  # over clips, not over batches
    expected = [mean * loss_weight(torch.tensor(level)).item() for level in (0.1, 1.0)]
    assert held_out_losses(off, black, (0.1, 1.0), seed=4) == pytest.approx(expected)


def test_moving_a_batch_keeps_what_it_lacks_lacking() -> None:
    batch = batch_of(random(B, T, 3, H, W)).to("meta")
    assert batch.video.device.type == batch.pts_seconds.device.type == "meta"
    assert batch.visible is None
    assert batch.shown is None

"""What training minimises, and the same error measured per noise level on held-out video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidboot.denoiser import SIGMA_DATA, Denoiser
from vidboot.holes import bridged
from vidboot.noise import expand, seeded
from vidboot.views import View, restrict_visible

HELD_OUT_SIGMAS = (0.02, 0.05, 0.12, 0.3, 0.7, 1.6, 4.0, 10.0)
"""Noise levels at which the held-out loss is measured."""
MAX_WEIGHT = 16.0
"""Cap of the loss weight: a net that predicts x would otherwise spend itself on the last trace of noise."""
GUESS_SIGMA = 0.05
"""Noise level at which a net looks at what is visible to guess what is not."""
GIVEN_SIGMA, TAUGHT_SIGMA = 0.1, 0.5
"""Noise levels from which a guess is given in place of a hole, and from which it passes for the scene."""


@dataclass(frozen=True)
class Batch:
    """Clips of one view, and where they come from.

    ``video`` [B, T, C, H, W] in [-1, 1]; ``visible`` and ``shown`` [B, T, 1, H, W], shown within visible, or None where
    all of every frame is; ``pts_seconds`` [B, T]; ``sources`` names the file of each clip.

    Small videos can be enlarged to teach a net of sharp ones: then ``view`` is what is known of them, and
    ``least_sigma`` the noise level from which on the detail that they lack is drowned.
    """

    video: Tensor
    pts_seconds: Tensor
    visible: Tensor | None = None
    shown: Tensor | None = None
    sources: Sequence[str] = ()
    view: View | None = None
    """``video`` is what this view shows, lifted; None: all of it is known."""
    least_sigma: float = 0.0
    """Noise level below which the batch teaches what is not so."""
    blind: Tensor | None = None
    """Places that no clip of the folder shows, bool [1, 1, 1, H, W]; None: there are none."""

    def to(self, device: torch.device | str) -> Batch:
        return self._each(lambda x: x.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """In memory that a GPU copies from while it computes."""
        return self._each(Tensor.pin_memory)

    def _each(self, moved: Callable[[Tensor], Tensor]) -> Batch:
        own = {name: getattr(self, name) for name in ("video", "pts_seconds", "visible", "shown", "blind")}
        return replace(self, **{name: None if x is None else moved(x) for name, x in own.items()})


def loss_weight(sigma: Tensor) -> Tensor:
    """(sigma² + sigma_d²) / (sigma sigma_d)², capped (Karras et al. 2022, Table 1)."""
    return ((sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2).clamp(max=MAX_WEIGHT)


def filled(batch: Batch, sigma: Tensor, noise: Tensor, guess: Denoiser | None) -> Batch:
    """Give a net whole frames to learn from: where noise blurs it, a guess stands for what is hidden.

    A net that sees nothing but frames with holes falls behind at whole ones, the more the longer it trains. So it is
    given a guess (in the manner of expectation-maximisation, Rozet et al. 2024, arXiv 2405.13712) and, where noise
    drowns what is wrong with the guess, learns it too (Ambient-o, Daras et al. 2025, arXiv 2506.10038). Under little
    noise a hole stays a hole, of which the net is told: there it learns to guess.

    At places that no clip shows nothing ever corrects what a net guesses, and it would come to paint there whatever it
    once made up. So bridges stand for those, at every noise level.

    Args:
        batch: clips of one view.
        sigma: noise level that the batch is to be learned at, [B].
        noise: unit normal, like the video.
        guess: makes the clean video of what is visible; None: a bridge over each hole does.

    Returns:
        Like ``batch``, but more of it is shown, and may be trusted at its ``sigma`` alone. Frames of which nothing is
        visible stay as they are.
    """
    if batch.visible is None:
        return batch
    assert batch.shown is not None
    visible, level = batch.visible.bool(), expand(sigma, batch.video)
    hidden = ~visible & visible.any((-2, -1), keepdim=True)
    blind = torch.zeros_like(hidden) if batch.blind is None else hidden & batch.blind
    given, taught = blind | hidden & (level >= GIVEN_SIGMA), blind | hidden & (level >= TAUGHT_SIGMA)
    if not given.any():
        return batch
    bridges = without_holes(batch).video
    video, unsure = torch.where(given, bridges, batch.video), given & ~blind
    clips = unsure.flatten(1).any(1)
    if guess is not None and clips.any():
        known = replace(batch, video=torch.where(blind, bridges, batch.video), shown=visible | blind)
        video[clips] = torch.where(unsure[clips], _guessed(known, clips, noise, guess), video[clips])
    return replace(batch, video=video, visible=batch.visible | taught, shown=batch.shown | given)


def without_holes(batch: Batch) -> Batch:
    """Bridge what is hidden, for denoisers that cannot be told of holes; what can be trusted stays as it was."""
    if batch.visible is None:
        return batch
    frames, visible = batch.video.flatten(0, 1), batch.visible.flatten(0, 1).bool()
    return replace(batch, video=bridged(frames, visible).view_as(batch.video))


@torch.no_grad()
def _guessed(batch: Batch, clips: Tensor, noise: Tensor, guess: Denoiser) -> Tensor:
    """Some clips without holes, as a denoiser makes them of what is shown: [clips, T, C, H, W]."""
    assert batch.shown is not None
    # Backward in time, so that the guess of a clip tells little of the noise that it is to be told from.
    y = batch.video[clips] + GUESS_SIGMA * noise[clips].flip(1)
    level = y.new_full(y.shape[:1], GUESS_SIGMA)
    return guess(y, level, shown=batch.shown[clips], pts_seconds=batch.pts_seconds[clips])


def squared_error(denoiser: Denoiser, batch: Batch, sigma: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of each clip over what we know of it and can trust, unweighted: [B]."""
    y = batch.video + expand(sigma, batch.video) * noise
    D_y = denoiser(y, sigma, shown=batch.shown, pts_seconds=batch.pts_seconds)
    miss, visible = D_y - batch.video, batch.visible
    if batch.view is not None:
        miss = batch.view.restrict(miss)
        visible = None if visible is None else restrict_visible(batch.view, visible)
    if visible is None:
        return (miss**2).mean((1, 2, 3, 4))
    trusted = visible.expand_as(miss).bool()
    # Masked before it is squared: the gradient of a NaN's square is NaN even where its weight is 0.
    return torch.where(trusted, miss, 0).square().sum((1, 2, 3, 4)) / trusted.sum((1, 2, 3, 4)).clamp(min=1)


def view_loss(
    denoiser: Denoiser, batch: Batch, sigma: Tensor, noise: Tensor, *, guess: Denoiser | None = None
) -> Tensor:
    """Weighted squared error on the pixels we can trust (Karras et al. 2022, Eq. 2 and Table 1).

    Args:
        denoiser: maps noisy video, sigma and what is shown of it to the clean video.
        batch: clips of one view.
        sigma: noise level, [B].
        noise: unit normal, like the video.
        guess: fills what is hidden where that can be; see ``filled``.

    Returns:
        Mean over the clips that show anything, each normalised by its visible pixels: a scalar.
    """
    batch = filled(batch, sigma, noise, guess)
    error = loss_weight(sigma) * squared_error(denoiser, batch, sigma, noise)
    if batch.visible is None:
        return error.mean()
    anything = batch.visible.flatten(1).bool().any(1)
    return torch.where(anything, error, 0).sum() / anything.sum().clamp(min=1)


@torch.no_grad()
def held_out_errors(denoiser: Denoiser, batches: Sequence[Batch], sigmas: Sequence[float], *, seed: int) -> Tensor:
    """Squared error of each clip at each noise level, unweighted, with noise fixed by ``seed``: [levels, clips].

    Two denoisers measured on the same batches with the same seed see the same noise.
    """
    levels = []
    for level, sigma in enumerate(sigmas):
        errors = []
        for index, batch in enumerate(batches):
            generator = seeded(seed * 1_000_003 + index * 1009 + level)
            noise = torch.randn(batch.video.shape, generator=generator).to(batch.video)
            level_B = torch.full(batch.video.shape[:1], sigma, device=batch.video.device)
            errors.append(squared_error(denoiser, batch, level_B, noise).cpu())
        levels.append(torch.cat(errors))
    return torch.stack(levels)


def weighted(errors: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Return the loss of each clip at each noise level, [levels, clips], of its squared errors."""
    return loss_weight(torch.tensor(sigmas, dtype=errors.dtype))[:, None] * errors


def held_out_losses(denoiser: Denoiser, batches: Sequence[Batch], sigmas: Sequence[float], *, seed: int) -> list[float]:
    """Weighted denoising loss at each noise level, with noise fixed by ``seed``.

    Returns:
        One loss per sigma, the mean over all clips.
    """
    return weighted(held_out_errors(denoiser, batches, sigmas, seed=seed), sigmas).mean(1).tolist()

"""Fill hidden pixels by sampling, given all the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidboot.build import Model
from vidboot.composition import Noisy, known
from vidboot.noise import Schedule, normal_like_frames
from vidboot.policy import Policy
from vidboot.sampler import Memory, Store, renoised_stream

STEPS = 15
"""Noise levels, by default."""
STEPS_MOST = 1008
"""As each level has noise of its own (``noise.Schedule``)."""
SIGMA_MAX, SIGMA_MIN = 20.0, 0.15
"""First and last level: what is visible says the rest, so less noise will do than from nothing."""
SAME = 0.12
"""Difference from what interpolation says, per value, within which a fill is taken to mean the same."""
READ_FRAMES = 16
"""Frames of noise drawn at a time."""


def schedule(steps: int) -> Schedule:
    """Return the levels a clip is filled with.

    Raises:
        ValueError: there are fewer than two, or more than `STEPS_MOST`.
    """
    if not 2 <= steps <= STEPS_MOST:
        raise ValueError(f"{steps = } must be from 2 to {STEPS_MOST}")
    return Schedule(levels=steps, sigma_max=SIGMA_MAX, sigma_min=SIGMA_MIN)


@dataclass(frozen=True)
class Filler:
    """How the frames of one length are filled.

    Args:
        model: of a run.
        policy: which of its nets.
        sigmas: decreasing levels that end at 0.
        seed: of the noise.
        samples: that are drawn and averaged; more come nearer to the truth in the mean, and are softer.
    """

    model: Model
    policy: Policy
    sigmas: Tensor
    seed: int = 0
    samples: int = 1

    @property
    def sweeps(self) -> int:
        """Sweeps over the frames that one filling takes."""
        return self.samples * (len(self.sigmas) - 1)

    def length(self, frames: int) -> int:
        """Frames that are sampled to fill so many."""
        return self.model.length(self.policy, frames)

    def numbered(self, number: int) -> Filler:
        """Return the filler of one of the samples."""
        return replace(self, seed=self.seed + 7919 * number, samples=1)

    def fill(
        self,
        given: Store,
        out: Store,
        scratch: tuple[Store, Store, Store],
        on_sweep: Callable[[], None] = lambda: None,
    ) -> None:
        """Sample what is hidden, average the samples, and `settle` their mean.

        Args:
            given: x and visible as channels, [B, length, 4, H, W]; x counts where visible is 1.
            out: the whole video, [B, length, 3, H, W]; 0 before.
            scratch: two like ``out`` and one like ``given``, overwritten.
            on_sweep: called after each of the `sweeps`.
        """
        y, ahead, seen = scratch
        for number in range(self.samples):
            first = 0
            for part in self.numbered(number)._sample(given, (y, ahead), on_sweep):
                earlier = out.read(first, first + part.shape[1])
                out.write(first, earlier + part / self.samples)
                first += part.shape[1]
        settle(out, given, seen)

    def _sample(self, given: Store, stores: tuple[Store, Store], on_sweep: Callable[[], None]) -> Iterator[Tensor]:
        """Yield one sample in parts, [B, any number, 3, H, W]."""
        x = Noisy(given.frames, lambda first, last: given.read(first, last)[:, :, :3])
        visible = Noisy(given.frames, lambda first, last: given.read(first, last)[:, :, 3:])
        denoise = known(self.model.stream(self.policy, given.frames), x, visible)
        mean = self.model.parts.mean.view(3, 1, 1).to(self.model.device)

        def noise(level: int, first: int, last: int) -> Tensor:
            B, _, *frame = stores[0].read(0, 1).shape
            return normal_like_frames((B, *frame), seed=self.seed, first=first, last=last, level=level).to(mean)

        for first in range(0, given.frames, READ_FRAMES):
            last = min(first + READ_FRAMES, given.frames)
            base = torch.where(visible.read(first, last).bool(), x.read(first, last), mean)
            stores[0].write(first, base + self.sigmas[0].item() * noise(0, first, last))
        yield from renoised_stream(denoise, stores, self.sigmas, noise, on_sweep)


@torch.no_grad()
def inpaint(filler: Filler, video: Tensor, visible: Tensor) -> Tensor:
    """Fill videos held in memory, evenly spaced at the model's rate.

    Args:
        filler: how.
        video: [B, T, 3, H, W] in [-1, 1]; anything where it is hidden.
        visible: 1 = trust this pixel, [B, T, 1, H, W].

    Returns:
        Like ``video``, which it equals where it is visible.
    """
    B, T, _, H, W = video.shape
    given = torch.zeros(B, filler.length(T), 4, H, W)
    given[:, :T] = torch.cat([torch.where(visible.bool(), video, 0), visible.float()], 2)
    given = given.to(filler.model.device)
    out, y, ahead = (Memory(torch.zeros_like(given[:, :, :3])) for _ in range(3))
    filler.fill(Memory(given), out, (y, ahead, Memory(torch.empty_like(given))))
    filled = out.video[:, :T].clamp(-1, 1).cpu()
    return torch.where(visible.bool(), video, filled)


def settle(fill: Store, given: Store, scratch: Store) -> None:
    """Where a fill says what interpolation in time between visible pixels says, take the latter: it was filmed.

    A sample is a little off everywhere. Behind a mark that comes and goes most of the scene stands still; there the
    clip itself shows what was hidden, and the fill, where it agrees within `SAME`, vouches that nothing passed by.

    Args:
        fill: [B, T, 3, H, W], changed in place where it is hidden.
        given: x and visible as channels, [B, T, 4, H, W].
        scratch: like ``given``, overwritten: the next visible value of each pixel, and how many frames ahead it is.
    """
    nothing = given.read(0, 1)[:, :, :3] * 0, torch.full_like(given.read(0, 1)[:, :, 3:], torch.inf)
    value, away = nothing
    for t, x, visible in _each(given, backward=True):
        value, away = torch.where(visible, x, value), torch.where(visible, 0.0, away + 1)
        scratch.write(t, torch.cat([value, away], 2))
    value, away = nothing
    for t, x, visible in _each(given):
        value, away = torch.where(visible, x, value), torch.where(visible, 0.0, away + 1)
        both = scratch.read(t, t + 1)
        after, ahead = both[:, :, :3], both[:, :, 3:]
        # Before the first and after the last visible one, the nearest; 1 / inf counts nothing.
        weights = 1 / away.clamp(min=1), 1 / ahead.clamp(min=1)
        total = weights[0] + weights[1]
        between = (weights[0] * value + weights[1] * after) / total.clamp(min=1e-9)
        sample = fill.read(t, t + 1)
        agrees = torch.exp(-(sample - between).square().mean(2, keepdim=True) / SAME**2) * (total > 0)
        fill.write(t, torch.where(visible, x, torch.lerp(sample, between, agrees)))


def _each(given: Store, *, backward: bool = False) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield each frame's number, x and whether it is visible, [B, 1, 3, H, W] and bool [B, 1, 1, H, W]."""
    for t in range(given.frames)[:: -1 if backward else 1]:
        frame = given.read(t, t + 1)
        yield t, frame[:, :, :3], frame[:, :, 3:].bool()

"""From noise to video: the reverse-time SDE of diffusion (Song et al. 2021, arXiv 2011.13456), swept in time.

From one noise level to the next the denoiser's answer is taken to go on changing as it did from the level before, and
its value half way is taken for all of the step; the rest is solved exactly (SDE-DPM-Solver++(2M), Lu et al. 2022, arXiv
2211.01095). So a level costs one look at the video.

The noise that is drawn anew at every level is what nets profit from that are not exact: the ODE carries to its end what
it made of its first, noisiest looks, the SDE forgets what it got wrong there.

The video lives in stores that are read and written a few frames at a time, so a sweep of any length fits in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from vidboot.composition import Noisy, Stream
from vidboot.denoiser import Denoise
from vidboot.noise import LevelNoise


class Store(Protocol):
    """A video that lives somewhere: frames [B, T, C, H, W], read and written by their place in time."""

    @property
    def frames(self) -> int: ...

    def read(self, first: int, last: int) -> Tensor: ...

    def write(self, first: int, part: Tensor) -> None: ...


class Memory:
    """A store in memory."""

    def __init__(self, video: Tensor) -> None:
        self.video = video

    @property
    def frames(self) -> int:
        return self.video.shape[1]

    def read(self, first: int, last: int) -> Tensor:
        return self.video[:, first:last]

    def write(self, first: int, part: Tensor) -> None:
        self.video[:, first : first + part.shape[1]] = part


Stores = tuple[Store, Store, Store, Store]
"""The noisy video, the same at the next level, the denoiser's answer at the level before, and now."""


def sde_stream(
    denoise: Stream,
    stores: Stores,
    sigmas: Tensor,
    noise: LevelNoise,
    on_sweep: Callable[[], None] = lambda: None,
    *,
    fresh: float = 1.0,
    done: int = 0,
) -> Iterator[Tensor]:
    """Step from noise to video; the last sweep yields the finished frames, in order.

    Args:
        denoise: the model, as a stream.
        stores: of one shape: the noisy video, already at ``sigmas[0]``, and three for scratch; all are overwritten. No
            sweep writes where it reads, so that one broken off can be done again; where none will be, the fourth may
            be the third.
        sigmas: decreasing levels that end at 0, [levels + 1].
        noise: unit normal, given the number of the level, from 1 on, and the frames.
        on_sweep: called after each sweep over the video.
        fresh: how much noise is drawn anew: 1 is the SDE, 0 the ODE.
        done: sweeps to leave out, the stores being as these left them.

    Returns:
        Parts [B, any number, C, H, W] of the video.
    """
    y, after, *answers = stores
    levels = sigmas.tolist()

    def step(level: int, first: int, y_part: Tensor, D: Tensor) -> Tensor:
        # In turns, so that what is read is not what is written.
        D_before, D_now = answers if level % 2 else reversed(answers)
        before, sigma, sigma_next = levels[max(0, level - 2)], *levels[level - 1 : level + 1]
        length, last = math.log(sigma / sigma_next), first + D.shape[1]
        half_way = length / (2 * math.log(before / sigma)) if level > 1 else 0.0
        D_half_way = D + half_way * (D - D_before.read(first, last)) if half_way else D
        D_now.write(first, D)
        kept, drawn = math.exp(-(1 + fresh) * length), sigma_next * math.sqrt(1 - math.exp(-2 * fresh * length))
        return kept * y_part + (1 - kept) * D_half_way + drawn * noise(level, first, last).to(D)

    return _swept(denoise, (y, after), levels, step, on_sweep, done)


def renoised_stream(
    denoise: Stream,
    stores: tuple[Store, Store],
    sigmas: Tensor,
    noise: LevelNoise,
    on_sweep: Callable[[], None] = lambda: None,
) -> Iterator[Tensor]:
    """Denoise, add fresh noise of the next level, and again: y = D + sigma_next noise.

    With pixels that are known it ends nearer to them than the ODE or the SDE do in as many sweeps.

    Args:
        denoise: the model, as a stream.
        stores: the noisy video, already at ``sigmas[0]``, and a scratch store of the same shape; both are overwritten.
        sigmas: decreasing levels that end at 0, [levels + 1].
        noise: unit normal, given the number of the level, from 1 on, and the frames.
        on_sweep: called after each sweep over the video.

    Returns:
        Parts [B, any number, C, H, W] of the video, in order.
    """
    levels = sigmas.tolist()

    def step(level: int, first: int, y_part: Tensor, D: Tensor) -> Tensor:
        return D + levels[level] * noise(level, first, first + D.shape[1]).to(D)

    return _swept(denoise, stores, levels, step, on_sweep)


def _swept(
    denoise: Stream,
    stores: tuple[Store, Store],
    levels: Sequence[float],
    step: Callable[[int, int, Tensor, Tensor], Tensor],
    on_sweep: Callable[[], None],
    done: int = 0,
) -> Iterator[Tensor]:
    """Sweep from level to level; ``step``, given the number of the level, the first frame, y and D, returns y at the
    next. The last step, to 0, lands on the denoised video."""
    assert levels[-1] == 0, "the last level is 0"
    y, after = stores
    for level, sigma in enumerate(levels[:-2], start=1):
        if done < level:
            for first, y_part, D in _sweep(denoise, y, sigma):
                after.write(first, step(level, first, y_part, D))
            on_sweep()
        y, after = after, y
    yield from (D for _, _, D in _sweep(denoise, y, levels[-2]))
    on_sweep()


def _sweep(denoise: Stream, store: Store, sigma: float) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Denoise a store from end to end; yields the first frame of each part, the part, and D."""
    one, first = store.read(0, 1), 0
    for D in denoise(Noisy(store.frames, store.read), torch.full((len(one),), sigma, device=one.device)):
        yield first, store.read(first, first + D.shape[1]), D
        first += D.shape[1]


def sde(denoise: Denoise, y: Tensor, sigmas: Tensor, noise: LevelNoise, *, fresh: float = 1.0) -> Tensor:
    """Step a video held in memory from noise to its end.

    Args:
        denoise: (y, sigma [B]) -> D_y.
        y: already at ``sigmas[0]``: data mean + sigmas[0] * noise, [B, T, C, H, W]; left as it is.
        sigmas, noise, fresh: as in ``sde_stream``.
    """

    def stream(noisy: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        yield denoise(noisy.read(0, noisy.frames), sigma)

    return torch.cat(list(sde_stream(stream, memory_stores(y.clone()), sigmas, noise, fresh=fresh)), 1)


def memory_stores(y: Tensor) -> Stores:
    """Stores for a video that is not broken off; ``y`` is overwritten."""
    D = Memory(torch.empty_like(y))
    return Memory(y), Memory(torch.empty_like(y)), D, D

"""From noise to video: Heun's method on the probability-flow ODE (Karras et al. 2022, Algorithm 1), swept in time.

The video lives in stores that are read and written a few frames at a time, so a sweep of any length fits in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from vidboot.composition import Noisy, Stream
from vidboot.denoiser import Denoise


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


def heun_stream(
    denoise: Stream,
    stores: tuple[Store, Store, Store],
    sigmas: Tensor,
    on_sweep: Callable[[], None] = lambda: None,
    *,
    done: int = 0,
) -> Iterator[Tensor]:
    """Step from noise to video; the last sweep yields the finished frames, in order.

    Args:
        denoise: the model, as a stream.
        stores: of one shape: the noisy video, already at ``sigmas[0]``, and two for scratch; all are overwritten. No
            sweep writes where it reads, so that one broken off can be done again; where none will be, the third may be
            the first.
        sigmas: decreasing levels that end at 0, [levels + 1].
        on_sweep: called after each sweep over the video.
        done: sweeps to leave out, the stores being as these left them.

    Returns:
        Parts [B, any number, C, H, W] of the video.
    """
    y, ahead, after = stores
    B = y.read(0, 1).shape[0]
    levels = sigmas.tolist()
    assert levels[-1] == 0, "the last level is 0"
    for level, (sigma, sigma_next) in enumerate(pairwise(levels[:-1])):
        if done <= 2 * level:
            # Euler: ahead = y + (sigma_next - sigma) * score direction
            for first, y_part, D_y in _sweep(denoise, y, sigma, B):
                ahead.write(first, y_part + (sigma_next - sigma) / sigma * (y_part - D_y))
            on_sweep()
        if done <= 2 * level + 1:
            # Heun: average the direction with the one found ahead
            for first, ahead_part, D_ahead in _sweep(denoise, ahead, sigma_next, B):
                y_part = y.read(first, first + D_ahead.shape[1])
                slope = (ahead_part - y_part) / (sigma_next - sigma) + (ahead_part - D_ahead) / sigma_next
                after.write(first, y_part + (sigma_next - sigma) / 2 * slope)
            on_sweep()
        y, after = after, y
    # The last step, to 0, is Euler's: it lands on the denoised video.
    yield from (D_y for _, _, D_y in _sweep(denoise, y, levels[-2], B))
    on_sweep()


def renoised_stream(
    denoise: Stream,
    stores: tuple[Store, Store],
    sigmas: Tensor,
    noise: Callable[[int, int, int], Tensor],
    on_sweep: Callable[[], None] = lambda: None,
) -> Iterator[Tensor]:
    """Denoise, add fresh noise of the next level, and again: y = D + sigma_next noise.

    With pixels that are known it ends nearer to them than the ODE does in as many sweeps: an ODE carries what it made
    of the first, noisiest look at them to its end, here each level looks anew, through other noise.

    Args:
        denoise: the model, as a stream.
        stores: the noisy video, already at ``sigmas[0]``, and a scratch store of the same shape; both are overwritten.
        sigmas: decreasing levels that end at 0, [levels + 1].
        noise: unit normal, given the number of the level and the frames: (level, first, last) -> [B, T, C, H, W].
        on_sweep: called after each sweep over the video.

    Returns:
        Parts [B, any number, C, H, W] of the video, in order.
    """
    y, ahead = stores
    B = y.read(0, 1).shape[0]
    levels = sigmas.tolist()
    assert levels[-1] == 0, "the last level is 0"
    for level, (sigma, sigma_next) in enumerate(pairwise(levels[:-1]), start=1):
        for first, _, D_y in _sweep(denoise, y, sigma, B):
            ahead.write(first, D_y + sigma_next * noise(level, first, first + D_y.shape[1]).to(D_y))
        y, ahead = ahead, y
        on_sweep()
    yield from (D_y for _, _, D_y in _sweep(denoise, y, levels[-2], B))
    on_sweep()


def _sweep(denoise: Stream, store: Store, sigma: float, B: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    first = 0
    level = torch.full((B,), sigma, device=store.read(0, 1).device)
    for D in denoise(Noisy(store.frames, store.read), level):
        yield first, store.read(first, first + D.shape[1]), D
        first += D.shape[1]


def heun(denoise: Denoise, y: Tensor, sigmas: Tensor) -> Tensor:
    """Step a video held in memory from noise to its end.

    Args:
        denoise: (y, sigma [B]) -> D_y.
        y: already at ``sigmas[0]``: data mean + sigmas[0] * noise, [B, T, C, H, W].
        sigmas: decreasing levels that end at 0.
    """

    def stream(noisy: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        yield denoise(noisy.read(0, noisy.frames), sigma)

    noisy, ahead = Memory(y.clone()), Memory(torch.empty_like(y))
    return torch.cat(list(heun_stream(stream, (noisy, ahead, noisy), sigmas)), 1)

"""Composition: from denoisers of views to a denoiser of video of any length.

D_views(y, sigma) = y + sum_i C_i A_i⁺ [D_i(A_i y, gain_i sigma) - A_i y] with sum_i C_i A_i⁺ A_i = I. Everything here
reads the noisy video a few frames at a time and yields the denoised one in order, so memory does not grow with length;
``whole`` gives a composition the plain signature of a denoiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor

from vidboot.denoiser import Denoise
from vidboot.views import BandView

READ_FRAMES = 16
"""Frames of the video held at once while a view of it is taken."""


@dataclass(frozen=True)
class Noisy:
    """A noisy video that can be read in parts: ``read(first, last)`` gives y[:, first:last], [B, last - first, ...]."""

    frames: int
    read: Callable[[int, int], Tensor]


Stream = Callable[[Noisy, Tensor], Iterator[Tensor]]
"""(y, sigma [B]) -> the denoised frames, in order, in parts [B, any number, C, H, W]."""


@dataclass(frozen=True)
class Piece:
    """Frames ``start .. start + len(weight)`` and what they count in the sum, per frame."""

    start: int
    weight: Tensor

    @property
    def stop(self) -> int:
        return self.start + len(self.weight)


Plan = Callable[[int], Sequence[Piece]]
"""Number of frames -> pieces, sorted by start, whose weights sum to 1 in every frame."""


def _starts(frames: int, length: int, overlap: int) -> list[int]:
    """Windows of ``length`` frames; the last is anchored at the end."""
    if not 0 <= overlap < length:
        raise ValueError(f"{overlap = } frames is not within [0, {length = })")
    if frames <= length:
        return [0]
    return [*range(0, frames - length, length - overlap), frames - length]


def tapered(length: int, overlap: int) -> Plan:
    """Overlapping windows whose triangular weights are normalised to sum to 1 in each frame."""

    def plan(frames: int) -> list[Piece]:
        starts = _starts(frames, length, overlap)
        ramp = torch.arange(1, min(length, frames) + 1, dtype=torch.float64)
        triangle = torch.minimum(ramp, ramp.flip(0))
        total = torch.zeros(frames, dtype=torch.float64)
        for start in starts:
            total[start : start + len(triangle)] += triangle
        return [Piece(start, triangle / total[start : start + len(triangle)]) for start in starts]

    return plan


def counted(length: int, overlap: int) -> Plan:
    """DiffCollage: each window counts +1, the overlap of each with the next -1 (Zhang et al. 2023, chain).

    Exact for a chain of independent windows, and the gradient of an energy; learned nets' errors do not cancel as well
    as in a tapered mean.
    """

    def plan(frames: int) -> list[Piece]:
        starts = _starts(frames, length, overlap)
        windows = [Piece(start, torch.ones(min(length, frames), dtype=torch.float64)) for start in starts]
        overlaps = [
            Piece(b.start, -torch.ones(a.stop - b.start, dtype=torch.float64))
            for a, b in pairwise(windows)
            if a.stop > b.start
        ]
        return sorted(windows + overlaps, key=lambda piece: piece.start)

    return plan


FRAMES_PER_CALL = 64
"""Frames of windows that are denoised at a time: what memory a video takes does not grow with its length."""


def windowed(denoise: Denoise, plan: Plan, *, frames_per_call: int = FRAMES_PER_CALL) -> Stream:
    """Compose one denoiser of short clips in time, as many to a call as ``frames_per_call`` hold."""

    def stream(y: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        calls = list(_calls(plan(y.frames), frames_per_call))
        sums = None  # of the frames from ``first`` on
        first = 0
        for pieces, frontier in zip(calls, [*(call[0].start for call in calls[1:]), y.frames], strict=True):
            clips = torch.cat([y.read(piece.start, piece.stop) for piece in pieces])
            D_clips = denoise(clips, sigma.repeat(len(pieces))).chunk(len(pieces))
            if sums is None:
                sums = D_clips[0].new_zeros(len(sigma), 0, *D_clips[0].shape[2:])
            missing = max(piece.stop for piece in pieces) - first - sums.shape[1]
            if missing > 0:
                sums = torch.cat([sums, sums.new_zeros(len(sigma), missing, *sums.shape[2:])], 1)
            for piece, D in zip(pieces, D_clips, strict=True):
                weight = piece.weight.to(D).view(-1, 1, 1, 1)
                sums[:, piece.start - first : piece.stop - first] += weight * D
            if frontier > first:
                yield sums[:, : frontier - first]
                sums, first = sums[:, frontier - first :].clone(), frontier

    return stream


def _calls(pieces: Sequence[Piece], frames: int) -> Iterator[Sequence[Piece]]:
    """Group consecutive pieces of equal length, of at most so many frames together, or one."""
    for length, alike in groupby(pieces, key=lambda piece: len(piece.weight)):
        run, most = list(alike), max(1, frames // length)
        yield from (run[i : i + most] for i in range(0, len(run), most))


Join = Callable[[BandView, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(view, y, D_inner, D_band, sigma) -> D of the same frames; y, D_inner like the video, D_band like the view."""


def back_projection(view: BandView, y: Tensor, D_inner: Tensor, D_band: Tensor, sigma: Tensor) -> Tensor:
    """D_inner + A⁺ [D_band - A D_inner]: the low band from the band's own denoiser, the detail from the inner one."""
    return D_inner + view.lift(D_band - view.restrict(D_inner))


def joined(
    inner: Stream, view: BandView, band: Stream, join: Join = back_projection, *, inner_below: float = float("inf")
) -> Stream:
    """Compose the denoiser of a video with that of a band view of it.

    Args:
        inner: the denoiser of the video.
        view: what the band shows of it.
        band: the denoiser of the view.
        join: how the two become one.
        inner_below: where every sigma is above this level the band stands alone and the inner denoiser is not run: what
            the band does not show has drowned in noise.

    Raises:
        ValueError: the number of frames is not divisible by the view's group.
    """
    alone = only_band(view, band)

    def stream(y: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        if y.frames % view.group:
            raise ValueError(f"{y.frames} frames are not divisible by {view.group = }")
        if (sigma > inner_below).all():
            yield from alone(y, sigma)
            return
        D_band = Passing(band(restricted(view, y), view.gain * sigma))
        first = 0
        for D_inner in _whole_groups(inner(y, sigma), view.group):
            last = first + D_inner.shape[1]
            D = D_band.read(first // view.group, last // view.group)
            yield join(view, y.read(first, last), D_inner, D, sigma)
            first = last

    return stream


def only_band(view: BandView, band: Stream) -> Stream:
    """What a band view alone makes of a video: its own denoised band, lifted, and no detail."""

    def stream(y: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        for D_band in band(restricted(view, y), view.gain * sigma):
            yield view.lift(D_band)

    return stream


def refined(inner: Stream, residual: Callable[[Tensor, Tensor, Tensor], Tensor], plan: Plan) -> Stream:
    """Add to a composition a correction ``residual(y, D_views, sigma)`` that sees longer windows."""

    def corrected(both: Tensor, sigma: Tensor) -> Tensor:
        y, D_views = both.chunk(2, 2)
        return D_views + residual(y, D_views, sigma)

    local = windowed(corrected, plan)

    def stream(y: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        D_views = Passing(inner(y, sigma))
        both = Noisy(y.frames, lambda first, last: torch.cat([y.read(first, last), D_views.read(first, last)], 2))
        yield from local(both, sigma)

    return stream


def known(stream: Stream, x: Noisy, visible: Noisy) -> Stream:
    """Condition a denoiser on known pixels: where ``visible`` is 1 it answers with x itself.

    A sampler that starts from x + sigma noise there keeps those pixels at x + sigma noise at every level: of the ODE
    the slope is (y - D) / sigma = noise. So the nets see what is known at the noise level they expect, and what they
    make up has to agree with it.

    Args:
        stream: the denoiser.
        x: the clean video; anything where it is not visible.
        visible: 1 = known, [B, T, 1, H, W].
    """

    def conditioned(y: Noisy, sigma: Tensor) -> Iterator[Tensor]:
        first = 0
        for D in stream(y, sigma):
            last = first + D.shape[1]
            yield torch.where(visible.read(first, last).bool(), x.read(first, last), D)
            first = last

    return conditioned


def restricted(view: BandView, y: Noisy) -> Noisy:
    """What a band view shows of a noisy video, taken a few frames at a time."""
    step = max(1, READ_FRAMES // view.group)

    def read(first: int, last: int) -> Tensor:
        parts = [(i, min(i + step, last)) for i in range(first, last, step)]
        return torch.cat([view.restrict(y.read(a * view.group, b * view.group)) for a, b in parts], 1)

    return Noisy(y.frames // view.group, read)


def whole(stream: Stream) -> Denoise:
    """Give a composition the signature of a denoiser of videos held in memory."""

    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        return torch.cat(list(stream(in_memory(y), sigma)), 1)

    return denoise


def in_memory(y: Tensor) -> Noisy:
    """Read from a tensor [B, T, C, H, W]."""
    return Noisy(y.shape[1], lambda first, last: y[:, first:last])


class Passing:
    """Reads frames of a stream as it passes: ``first`` may never go back, and what lies before it is dropped."""

    def __init__(self, parts: Iterator[Tensor]) -> None:
        self._parts = parts
        self._held: Tensor | None = None
        self._first = 0

    def read(self, first: int, last: int) -> Tensor:
        """Return frames [first, last) of the stream."""
        assert first >= self._first, f"frame {first} has passed: {self._first} is the first still held"
        while self._held is None or self._first + self._held.shape[1] < last:
            part = next(self._parts)
            self._held = part if self._held is None else torch.cat([self._held, part], 1)
        self._held, self._first = self._held[:, first - self._first :], first
        return self._held[:, : last - first]


def _whole_groups(parts: Iterator[Tensor], group: int) -> Iterator[Tensor]:
    """Cut a stream anew so that every part holds whole groups of frames."""
    rest = None
    for part in parts:
        part = part if rest is None else torch.cat([rest, part], 1)
        full = part.shape[1] // group * group
        if full:
            yield part[:, :full]
        rest = part[:, full:]


def plain_sum(inner: Stream, view: BandView, band: Stream) -> Stream:
    """Add the lifted scores of both as they are: counts the low band twice. Kept as the warning it is."""

    def join(view: BandView, y: Tensor, D_inner: Tensor, D_band: Tensor, sigma: Tensor) -> Tensor:
        return D_inner + view.lift(D_band - view.restrict(y))

    return joined(inner, view, band, join)

"""Clips: from cached shots to batches. A clip is a pure function of (seed, stage, step, rank, slot).

So a resumed run needs no loader state, and any worker can make any batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidboot.data.cache import Entry, open_clip
from vidboot.data.hidden import hidden_by_masks
from vidboot.data.seen import beside, visible_in
from vidboot.losses import Batch
from vidboot.masks import mask_path
from vidboot.views import TimeMean, restrict_seen

FULL_LENGTH = 0.75
"""Share of the batches as long as a shot allows; the others are shorter, so that a net knows every length."""
ENOUGH_SHOTS = 8
"""So many shots, or a quarter of all, fill clips of one length: one shot alone would be learned by heart."""
FOUND_SHAPES = 0.5
"""Share of the clips with extra hidden pixels in which these have the shape of a mark or a text found elsewhere."""
LOOKED_AT = 64
"""Shots that are asked whether any shows a place."""
MOST_HIDDEN = 0.5
"""An extra hidden box is at most this share of each side and of the length."""


@dataclass(frozen=True)
class Pool:
    """Shots at one size, and how clips are cut from them."""

    entries: Sequence[Entry]
    masks: Path | None
    """Folder of mask files, SHA256.json; None: every pixel counts as the scene."""
    window: int
    """Longest clip, frames of the view."""
    group: int = 1
    """Frames of the shot behind one frame of the clip, its mean."""
    any_length: bool = True
    """Draw shorter clips as well, and of shorter shots."""
    whole: int = 1
    """The longest clip is a multiple of this many frames."""
    flip: bool = False
    reverse: bool = False
    hide: float = 0.0
    finer: Sequence[Entry] = ()
    """The same shots, or some of them, at a larger size: what they show beside a mask says more."""

    @property
    def longest(self) -> int:
        """Length of the longest clip drawn."""
        return max(self._fill, default=0)

    @property
    def masked(self) -> float:
        """Share of the shots of which a mask hides something."""
        return len(self._marked(0)) / max(1, len(self.entries))

    @cached_property
    def blind(self) -> Tensor | None:
        """Places that no shot shows, by ``LOOKED_AT`` of them, bool [1, 1, 1, H, W]; None: there are none."""
        if self.masked < 1:
            return None
        seen = torch.tensor(False)
        for batch in self.fixed(1, most=LOOKED_AT):
            if batch.visible is None:
                return None
            seen = seen | batch.visible.bool().any(1, keepdim=True)
        seen = seen | seen.flip(-1) if self.flip else seen
        return None if seen.all() else ~seen

    @cached_property
    def _fill(self) -> list[int]:
        """How long a clip each shot fills; where all clips are to be of one length, no longer than enough shots do."""
        own = [min(self.window, entry.frames // self.group) // self.whole * self.whole for entry in self.entries]
        if self.any_length or not own:
            return own
        enough = min(ENOUGH_SHOTS, -(-len(own) // 4))
        return np.minimum(own, np.sort(own)[-enough]).tolist()

    def batch(self, size: int, *, seed: int, stage: str, step: int, rank: int = 0) -> Batch:
        """Draw a batch of clips of one length.

        A shot is drawn with a chance that grows as the square root of the places where such a clip can start in it:
        more film says more, but not in proportion, and a shot as long as the clip has one thing to say.
        """
        rng = _rng_of_batch(seed, stage, step, rank)
        length = self._length(rng)
        long_enough = [entry for entry in self.entries if entry.frames >= length * self.group]
        chance = np.sqrt([entry.frames - length * self.group + 1 for entry in long_enough])
        hide = bool(rng.random() < self.hide)
        clips = []
        for slot in range(size):
            own = np.random.default_rng((seed, zlib.crc32(stage.encode()), step, rank, slot))
            entry = long_enough[own.choice(len(long_enough), p=chance / chance.sum())]
            first = int(own.integers(entry.frames - length * self.group + 1))
            clips.append(self._varied(self._cut(entry, first, length * self.group), own))
        batch = _grouped(_stack(clips), self.group)
        if not hide:
            return batch
        marked = self._marked(length)
        return _hidden(batch, rng, lambda: self._found_shape(marked, length, rng) if marked else None)

    def shape(self, size: int, *, seed: int, stage: str, step: int, rank: int = 0) -> tuple[int, int]:
        """Return how many clips the batch of a step has, and how many frames each of them."""
        return size, self._length(_rng_of_batch(seed, stage, step, rank))

    def fixed(self, size: int, *, most: int) -> Iterator[Batch]:
        """Cut the longest clip there is from the middle of each shot, of ``most`` evenly chosen ones at most.

        A batch has clips of one length, ``size`` at most.
        """
        filled = [(length, entry) for length, entry in zip(self._fill, self.entries, strict=True) if length]
        evenly = np.linspace(0, len(filled) - 1, min(most, len(filled))).round().astype(int)
        chosen = [filled[i] for i in evenly]
        for length, same in groupby(sorted(chosen, key=itemgetter(0), reverse=True), key=itemgetter(0)):
            frames, entries = length * self.group, [entry for _, entry in same]
            for i in range(0, len(entries), size):
                clips = [self._cut(entry, (entry.frames - frames) // 2, frames) for entry in entries[i : i + size]]
                yield _grouped(_stack(clips), self.group)

    def _marked(self, length: int) -> list[Entry]:
        """The shots, long enough, of which a mask hides something."""
        return [e for e in self.entries if e.sha256 in self._hiding and e.frames >= length * self.group]

    @cached_property
    def _hiding(self) -> set[str]:
        hidden = hidden_by_masks(self.masks) if self.masks else {}
        return {sha256 for sha256, boxes in hidden.items() if boxes}

    def _found_shape(self, marked: Sequence[Entry], length: int, rng: np.random.Generator) -> Tensor:
        """What is visible beside a mark or a text found elsewhere, moved to any place: [length, 1, H, W]."""
        entry = marked[int(rng.integers(len(marked)))]
        mask = self._mask(entry)
        assert mask is not None, f"{entry.source} has no mask"
        H, W, frames = entry.height, entry.width, length * self.group
        first = int(rng.integers(entry.frames - frames + 1))
        down, across = int(rng.integers(-H // 2, H // 2 + 1)), int(rng.integers(-W // 2, W // 2 + 1))
        shape = np.roll(visible_in(entry, mask, first, frames), (down, across), (1, 2))
        return torch.from_numpy(shape.reshape(length, self.group, H, W).min(1))[:, None]

    def _cut(self, entry: Entry, first: int, length: int) -> _Clip:
        frames, pts_seconds, valid = open_clip(entry, first, first + length)
        visible = np.broadcast_to(valid[:, None, None].astype(np.uint8), frames.shape[:3])
        if mask := self._mask(entry):
            if finer := self._finer.get((entry.sha256, entry.shot)):
                frames, seen = beside(mask, finer, first, frames)
            else:
                seen = visible_in(entry, mask, first, length)
            visible = visible & seen
        return _Clip(frames, visible, pts_seconds, entry.source)

    @cached_property
    def _finer(self) -> dict[tuple[str, int], Entry]:
        return {(entry.sha256, entry.shot): entry for entry in self.finer}

    def _mask(self, entry: Entry) -> Path | None:
        mask = self.masks and mask_path(self.masks, entry.sha256)
        return mask if mask and mask.is_file() else None

    def _length(self, rng: np.random.Generator) -> int:
        """Draw a length: mostly as much as a shot fills, and that shot by its square: only long clips teach memory."""
        if not self.any_length:
            return self.longest
        chance = np.square(self._fill, dtype=float)
        length = self._fill[rng.choice(len(chance), p=chance / chance.sum())]
        return length if rng.random() < FULL_LENGTH else int(rng.integers(1, length + 1))

    def _varied(self, clip: _Clip, rng: np.random.Generator) -> _Clip:
        flip, backward = (rng.random(2) < 0.5) & (self.flip, self.reverse)
        if flip:
            clip = replace(clip, frames=clip.frames[:, :, ::-1], visible=clip.visible[:, :, ::-1])
        if backward:
            times = clip.pts_seconds[0] + clip.pts_seconds[-1] - clip.pts_seconds[::-1]
            clip = replace(clip, frames=clip.frames[::-1], visible=clip.visible[::-1], pts_seconds=times)
        return clip


def _rng_of_batch(seed: int, stage: str, step: int, rank: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(stage.encode()), step, rank))


@dataclass(frozen=True)
class _Clip:
    frames: np.ndarray  # uint8 [T, H, W, 3]
    visible: np.ndarray  # uint8 [T, H, W]
    pts_seconds: np.ndarray  # [T]
    source: str


def _stack(clips: Sequence[_Clip]) -> Batch:
    video = torch.from_numpy(np.stack([clip.frames for clip in clips])).permute(0, 1, 4, 2, 3)
    visible = torch.from_numpy(np.stack([clip.visible for clip in clips]))[:, :, None]
    return Batch(
        video=video.float().div_(127.5).sub_(1),
        pts_seconds=torch.from_numpy(np.stack([c.pts_seconds - c.pts_seconds[0] for c in clips])).float(),
        visible=None if visible.all() else visible,
        shown=None if visible.all() else visible,
        sources=[clip.source for clip in clips],
    )


def _grouped(batch: Batch, group: int) -> Batch:
    if group == 1:
        return batch
    view = TimeMean(group)
    pts_seconds = batch.pts_seconds.unflatten(1, (-1, group)).mean(2)
    if batch.visible is None:
        return replace(batch, video=view.restrict(batch.video), pts_seconds=pts_seconds)
    video, visible = restrict_seen(view, batch.video, batch.visible)
    return Batch(video, pts_seconds, visible, visible, batch.sources)


def _hidden(batch: Batch, rng: np.random.Generator, found_shape: Callable[[], Tensor | None]) -> Batch:
    """Hide a part of each clip from the net; the loss still counts it (Daras et al. 2023, further corruption).

    The part is a box, or, for half of the clips of a folder with masks, what was found to hide other clips.
    """
    B, T, _, H, W = batch.video.shape
    visible = batch.visible if batch.visible is not None else torch.ones(B, T, 1, H, W, dtype=torch.uint8)
    shown = visible.clone()
    for clip in shown:
        found = found_shape() if rng.random() < FOUND_SHAPES else None
        if found is not None and not found.all() and (clip * found).any():
            clip *= found.to(clip)
            continue
        t, y, x = (_span(n, rng) for n in (T, H, W))
        clip[t, :, y, x] = 0
    return Batch(batch.video, batch.pts_seconds, visible, shown, batch.sources)


def _span(size: int, rng: np.random.Generator) -> slice:
    length = int(rng.integers(1, max(1, round(MOST_HIDDEN * size)) + 1))
    first = int(rng.integers(size - length + 1))
    return slice(first, first + length)


def mean_colour(pools: Sequence[Pool], *, most: int = 64) -> tuple[Tensor, float]:
    """Estimate the data's mean per channel over the visible pixels of shots, at most so many of each pool, [3], and its
    spread: the standard deviation between shots of their mean colour, all channels taken together."""
    means, variances = [], []
    for pool in pools:
        colours, pixels = [], []
        for batch in pool.fixed(1, most=most):
            visible = torch.ones_like(batch.video[:, :, :1]) if batch.visible is None else batch.visible.float()
            pixels.append(visible.sum())
            colours.append((batch.video * visible).sum((0, 1, 3, 4)) / pixels[-1].clamp(min=1))
        colour, weight = torch.stack(colours), (torch.stack(pixels) > 0).float()[:, None]  # [n, 3], [n, 1]
        means.append((colour * weight).sum(0) / weight.sum().clamp(min=1))
        variances.append(((colour - means[-1]) * weight).square().mean(1).sum() / (weight.sum() - 1).clamp(min=1))
    return torch.stack(means).mean(0), float(torch.stack(variances).mean().sqrt())

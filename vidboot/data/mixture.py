"""All that one net of sharp video can learn from: short clips, whole videos, and small ones, enlarged.

A small video, enlarged, lacks detail; noise that drowns the detail hides that. So it may teach the net of sharp video
from some noise level on, and what it teaches there is the long memory that short clips cannot (after Ambient-o, Daras
et al. 2025, arXiv 2506.10038, whose rule is for images). The loss compares only what the small video shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from vidboot.data.clips import Pool
from vidboot.losses import Batch
from vidboot.views import LowRes

WORTH = 8
"""A full video is drawn as often as so many partial ones: it alone teaches all there is."""
SMALL_SHARE = 0.2
"""Share of small videos among the batches, where no video is full: above their noise level there is less to learn."""

GOLDEN = 0.6180339887498949


def shares(*, clips: int, small: int, full: int) -> tuple[float, float, float]:
    """Return how often a batch is of short clips, of small videos, of full ones, given how many there are of each."""
    whole = WORTH * full / (WORTH * full + clips + small) if full else 0.0
    # What small videos teach full ones teach better: of what is left to partial ones, small ones lose twice.
    of_small = (1 - whole) ** 2 * SMALL_SHARE if small else 0.0
    return 1 - whole - of_small, of_small, whole


def enlarged(batch: Batch, view: LowRes, least_sigma: float) -> Batch:
    """Return a batch of small videos at the size of sharp ones, to be learned from where noise drowns the detail."""
    video = view.lift(batch.video)
    visible, shown = (None if mask is None else view.lift(mask) for mask in (batch.visible, batch.shown))
    return replace(batch, video=video, visible=visible, shown=shown, view=view, least_sigma=least_sigma)


def turn(shares: Sequence[float], step: int) -> int:
    """Return which of several sources a step learns from: they take turns, as evenly as their shares allow."""
    # Multiples of the golden ratio fill the circle evenly at every length; draws by chance come in runs.
    return int(np.searchsorted(np.cumsum(shares)[:-1], step * GOLDEN % 1, side="right"))


@dataclass(frozen=True)
class Mixture:
    """Batches of short clips, of small videos or of full ones, all of about as many frames in sum.

    Args:
        clips: of sharp videos of any length.
        small: whole videos at the size of ``view``.
        full: whole sharp videos.
        shares: how often each is drawn.
        view: what the small videos show.
        least_sigma: noise level from which on they teach.
    """

    clips: Pool
    small: Pool
    full: Pool
    shares: tuple[float, float, float]
    view: LowRes
    least_sigma: float

    @property
    def longest(self) -> int:
        """Length of the longest clip drawn."""
        return max(pool.longest for pool, share in zip(self._pools, self.shares, strict=True) if share)

    @property
    def masked(self) -> float:
        """Share of the clips whose shots have a mask."""
        return sum(share * pool.masked for pool, share in zip(self._pools, self.shares, strict=True))

    @cached_property
    def blind(self) -> Tensor | None:
        """Places that none of them shows, bool [1, 1, 1, H, W]; None: there are none."""
        blind: Tensor | None = None
        for pool, share in zip(self._pools, self.shares, strict=True):
            if not share:
                continue
            if pool.blind is None:
                return None
            own = self.view.lift(pool.blind) if pool is self.small else pool.blind
            blind = own if blind is None else blind & own
        return blind

    def batch(self, size: int, *, seed: int, stage: str, step: int) -> Batch:
        """Draw a batch of ``size`` short clips, or of as many frames in fewer, longer ones."""
        pool, count = self._drawn(size, step)
        batch = pool.batch(count, seed=seed, stage=stage, step=step)
        return enlarged(batch, self.view, self.least_sigma) if pool is self.small else batch

    def shape(self, size: int, *, seed: int, stage: str, step: int) -> tuple[int, int]:
        """Return how many clips the batch of a step has, and how many frames each of them."""
        pool, count = self._drawn(size, step)
        return pool.shape(count, seed=seed, stage=stage, step=step)

    @property
    def _pools(self) -> tuple[Pool, Pool, Pool]:
        return self.clips, self.small, self.full

    def _drawn(self, size: int, step: int) -> tuple[Pool, int]:
        pool = self._pools[turn(self.shares, step)]
        return pool, max(1, round(size * self.clips.longest / pool.longest))

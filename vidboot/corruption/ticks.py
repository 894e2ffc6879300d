"""Clocks and counters: a line of which some letters change at once, in their place, while the others stay.

Before a standing camera nothing else tells a burnt-in time from writing on a wall.
"""

from __future__ import annotations

import numpy as np

CHANGED, SAME = 0.3, 0.1  # of the energy of a letter's gradients, before and after, that the difference has
INK = 0.25  # of the line's median energy: less is no letter
LEAST = 3  # times that it must tick
HARDLY = 0.25  # of the times that the busiest letter did


class Ticks:
    """Watches a line and counts how often it ticks."""

    def __init__(self) -> None:
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._ticked: np.ndarray | None = None

    def see(self, field: np.ndarray, around: np.ndarray, *, quiet_levels: float) -> None:
        """Look at one more frame.

        Args:
            field: gradients in the line's box, [h, w, 2].
            around: the picture around the line, levels, [n].
            quiet_levels: it stays as it was when this was called before, if it changes by less.
        """
        then, self._last = self._last, (field, around)
        if then is None:
            return
        last, around_last = then
        quiet = np.abs(around - around_last).mean() < quiet_levels
        halves = max(4, round(4 * field.shape[1] / field.shape[0]))
        edges = np.linspace(0, field.shape[1], halves, endpoint=False).astype(int)
        before, after, between = (_of_letters(x, edges) for x in (last, field, field - last))
        letters = np.minimum(before, after) >= INK * np.median(before)
        share = between / np.maximum(before + after, 1e-6)
        changed, same = letters & (share > CHANGED), letters & (share < SAME)
        if self._ticked is None:
            self._ticked = np.zeros(len(changed), int)
        if quiet and changed.any() and same.sum() >= changed.sum():
            self._ticked += changed

    @property
    def sure(self) -> bool:
        """Whether some letter changed so often, and most hardly ever: in a minute something passes behind all."""
        if self._ticked is None:
            return False
        most = self._ticked.max()
        return bool(most >= LEAST and (self._ticked <= HARDLY * most).mean() >= 0.5)


def _of_letters(field: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Energy of gradients by cells about a letter wide, one every half of that: some cell holds each letter whole."""
    halves = np.add.reduceat((field**2).sum((0, 2)), edges)
    return halves[:-1] + halves[1:]

"""Lines that fade in or out: their strokes come and go together, in their place, in a picture that stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

QUARTERS = 4  # of a line, along it
FULL, FAINT = 0.8, 0.6  # of the full strength
LONGEST = 1.2  # seconds from faint to full
REACH = 0.5  # seconds for which strokes may have been too faint to be told
UNEVEN = 0.9  # of the full strength in one quarter, while all are faint: something passes before writing on a wall

Strength = tuple[float, np.ndarray]
"""When a frame was shown, seconds, and how strong the strokes are in it by quarters of the line, [4]."""


def fade_in(shown: Sequence[Strength]) -> float | None:
    """Return when a line begins that grows, all of it alike, if it grew so before it could be told; None: it does not.

    Args:
        shown: the first frames that show it, in order.
    """
    if len(shown) < 3:
        return None
    seconds = np.array([at for at, _ in shown])
    quarters = np.stack([strength for _, strength in shown])
    full = np.maximum(np.percentile(quarters, 75, axis=0), 1e-6)
    share = quarters.mean(1) / full.mean()
    grown = int((share >= FULL).argmax())
    if share[0] >= FAINT or share[grown] < FULL or not 0 < seconds[grown] - seconds[0] <= LONGEST:
        return None
    rate = (share[grown] - share[0]) / (seconds[grown] - seconds[0])
    if (quarters[0] / full).max() >= UNEVEN:
        return None
    return float(seconds[0]) - min(REACH, max(0.0, float(share[0])) / rate)


def fade_out(shown: Sequence[Strength]) -> float | None:
    """Return when a line ends that frames, in order, show fainter and fainter: `fade_in`, the film run backwards."""
    back = fade_in([(-at, strength) for at, strength in reversed(shown)])
    return None if back is None else -back

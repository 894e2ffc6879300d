"""When an event of a mask hides its pixels, and how far around: rules that the audit can read without loading masks."""

import math

TIME_TOLERANCE_SECONDS = 1e-3
"""A timestamp written by one reader and compared by another may differ by a rounding of its time base."""
SURE = 0.5
"""An event nobody has decided on hides its pixels from this score on; below it waits for a person."""


def hides(status: str, score: float) -> bool:
    """Whether an event hides its pixels: a person said so, or the detector is sure and nobody disagreed."""
    return status in ("accepted", "edited") or (status == "auto" and score >= SURE)


def default_dilation(width: int, height: int) -> int:
    """Pixels by which hidden regions grow on load, for the halo of compression: .6 % of the shorter side, at least 3.

    Below a short side of 240, where 3 pixels would hide whole letters of the scene, 1/80 of it, at least 1.
    """
    side = min(width, height)
    return max(math.ceil(0.006 * side), min(3, math.ceil(side / 80)))

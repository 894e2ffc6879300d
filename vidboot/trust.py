"""When an event of a mask hides its pixels: one rule, where the audit can read it without loading masks."""

TIME_TOLERANCE_SECONDS = 1e-3
"""A timestamp written by one reader and compared by another may differ by a rounding of its time base."""
SURE = 0.5
"""An event nobody has decided on hides its pixels from this score on; below it waits for a person."""


def hides(status: str, score: float) -> bool:
    """Whether an event hides its pixels: a person said so, or the detector is sure and nobody disagreed."""
    return status in ("accepted", "edited") or (status == "auto" and score >= SURE)

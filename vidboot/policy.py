"""Which of a run's nets make a video: vidboot's own way and, to compare, parts of it."""

from enum import StrEnum


class Policy(StrEnum):
    """The best first."""

    full = "full"
    """Views, gates and residual."""
    composition = "composition"
    """No residual."""
    clips_only = "clips-only"
    low_res_only = "low-res-only"
    direct = "direct"
    """One net, trained on the full videos alone."""

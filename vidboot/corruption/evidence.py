"""What speaks for a line lying over the picture, and not in the scene."""

from __future__ import annotations

from vidboot.corruption.line import Line
from vidboot.corruption.thresholds import TextThresholds

SLIDES = 0.4  # score of a line that slides in or out: a caption, or a thing of the scene that was at rest


def score(line: Line, thresholds: TextThresholds) -> float | None:
    """How surely the line lies over the picture; None for text of the scene."""
    if line.cuts_before + line.cuts_survived:
        return 0.95
    if line.seconds < thresholds.shortest_seconds or any(way.most for way in line.ways):
        return None
    standing = _score_of_standing(line)
    if not line.ways:
        return standing
    return SLIDES if standing >= 0.85 and line.seconds >= thresholds.slid_seconds else None


def _score_of_standing(line: Line) -> float:
    if line.samples >= 3 and line.moving_samples >= 0.5 * (line.samples - 1):
        return 0.9
    # At once, or bit by bit, but all of it alike, while the picture stayed.
    comes = line.appeared is True or (line.quiet_before and line.fades_in is not None)
    goes = line.vanished is True or (line.quiet_after and line.fades_out is not None)
    if comes and goes:
        return 0.85
    if comes or goes:
        return 0.7
    if line.ticks.sure:
        return 0.7
    return 0.55 if line.moving_samples >= 0.25 * line.samples else 0.3

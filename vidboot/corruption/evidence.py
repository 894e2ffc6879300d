"""What speaks for a line lying over the picture, and not in the scene, and for one of two that lie in one place."""

from __future__ import annotations

from collections.abc import Sequence

from vidboot.boxes import area, intersection
from vidboot.corruption.found import Found
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


def in_another(k: int, events: Sequence[Found]) -> bool:
    """Whether an event lies in another that is surer, or as sure and longer, or as long and larger, or alike."""
    one = events[k]
    assert one.box is not None
    for i, other in enumerate(events):
        assert other.box is not None
        if (*_weight(other), -i) <= (*_weight(one), -k):
            continue
        in_time = other.first_seconds <= one.first_seconds + 0.05 and other.last_seconds >= one.last_seconds - 0.05
        if in_time and intersection(one.box, other.box) > 0.9 * area(one.box):
            return True
    return False


def _weight(event: Found) -> tuple[float, float, float]:
    assert event.box is not None
    return event.score, event.last_seconds - event.first_seconds, area(event.box)

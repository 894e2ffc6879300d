"""What speaks for a line lying over the picture, and not in the scene."""

from __future__ import annotations

from vidboot.corruption.line import Line
from vidboot.corruption.slide import Slide
from vidboot.trust import SURE

SHORTEST_SECONDS = 0.3  # shorter lines are scene text that moves, unless they come and go at once:
LEAST_FRAMES = 3  # those that do may be as short; in one frame, or two, part of what slides is seen
MOVED_SECONDS = 1.0  # for which one that moves a little before or after stands, to be asked about
SLID = 0.6  # score of a line that slides straight and fast to its place or out of it: things of the scene seldom do
DOUBTED = 0.45  # at most, of one sign alone and higher than wide, or seldom seen: people stand there, or hide walls
LEAST_LOOKS, SEEN = 3, 0.2  # at a line, in this share of which a detector sees it: texture is seen once or twice
SLIDES = 0.4  # of one that moves a little before or after: a caption, or a thing of the scene that was at rest


def score(line: Line) -> float | None:
    """How surely the line lies over the picture; None for text of the scene."""
    at_once = line.appeared is True and line.vanished is True and not line.slides
    if line.frames < LEAST_FRAMES if at_once else line.seconds < SHORTEST_SECONDS:
        return None
    if line.cuts_before + line.cuts_survived:
        return 0.95
    standing = _score_of_standing(line)
    if not line.slides:
        return standing
    if standing < SURE or all(slide.with_the_picture(line.outline) for slide in line.slides):
        return None
    if line.slid:
        return SLID
    return SLIDES if standing >= 0.85 and line.seconds >= MOVED_SECONDS else None


def _score_of_standing(line: Line) -> float:
    seldom = line.looks >= LEAST_LOOKS and line.seen < SEEN * line.looks
    if line.samples >= 3 and line.moving_samples >= 0.5 * (line.samples - 1) and not seldom:
        return 0.9
    # At once, or bit by bit, but all of it alike, while the picture stayed, or sliding.
    comes = line.appeared is True or (line.quiet_before and line.fades_in is not None) or _even(line.came)
    goes = line.vanished is True or (line.quiet_after and line.fades_out is not None) or _even(line.went)
    if comes and goes:
        return 0.85
    seen = comes or goes or line.ticks.sure
    one_sign = 0.7 if seen else 0.55 if line.moving_samples >= 0.25 * line.samples else 0.3
    x0, y0, x1, y1 = line.tight
    return min(one_sign, DOUBTED) if seldom or x1 - x0 < y1 - y0 else one_sign


def _even(slide: Slide | None) -> bool:
    return slide is not None and slide.even

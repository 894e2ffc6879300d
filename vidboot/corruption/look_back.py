"""How a line came: its first frame, found by going back from where it was seen first, and what was there before."""

from __future__ import annotations

from collections.abc import Sequence

from vidboot.corruption.fade import Strength, fade_in
from vidboot.corruption.found import Shown
from vidboot.corruption.growth import growth_of
from vidboot.corruption.line import MATCH, MISSES, Line
from vidboot.corruption.slide import Slide, slide_of


def look_back(line: Line, past: Sequence[Shown]) -> None:
    """Find the line's first frame, as far back from where it was seen first as frames show it, and how it came."""
    first, appeared, cuts, missed = line.begun, None, 0, 0
    came: Slide | None = None
    before: list[Strength] = []
    gone, earliest, later = None, None, past[-1]
    for frame in reversed(past):
        seconds, grey = frame.seconds, frame.grey
        if seconds >= line.begun:
            later = frame
            continue
        match, strength = line.template.look(grey)
        if match >= MATCH:
            cuts += later.scene and missed == 0
            first, earliest, missed = seconds, grey, 0
            gone, later = None, frame
            before.append((seconds, strength))
            continue
        if missed == 0:
            appeared = None
            if not later.cut:
                gone, quiet = grey, line.quiet(grey)
                appeared = line.template.at_once(later.grey, grey, quiet=quiet)
                came = slide_of(line.template, later, frame)
        missed += 1
        if missed > MISSES:
            break
    if missed == 0 and first >= line.first:
        return  # the frames before are gone
    if first > line.first and fade_in(before[::-1] + line.after) is None:
        return  # what was seen of it before its template was learned holds, unless that was too faint to be it
    line.first, line.appeared, line.before, line.cuts_before = first, appeared, before, cuts
    if gone is not None:
        line.grew = growth_of(line.template.pattern, [frame for frame in reversed(past) if frame.seconds <= first])
    if came and not line.grew:
        came.trace(reversed(past))
        line.slides.append(came)
        line.came = max((slide for slide in (line.came, came) if slide), key=lambda slide: len(slide.places))
    if gone is not None:
        line.without(gone)
    line.quiet_before = earliest is not None and line.quiet(earliest)

"""Overlaid text in a stream of frames: looked for a few times a second, and as it is switched on or off; followed
frame by frame by its own strokes.

Lines are told from text in the scene by what only an overlay does: it stays in its place while the picture behind it
moves or is cut, and it comes and goes from one frame to the next in a picture that goes on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vidboot.boxes import Box, grow, iou, share_in, whole
from vidboot.corruption import evidence
from vidboot.corruption.cuts import Cuts
from vidboot.corruption.fade import Strength, fade_in
from vidboot.corruption.found import Found, Frames, Picture, Shown, without_parts
from vidboot.corruption.growth import growth_of
from vidboot.corruption.line import MISSES, Line
from vidboot.corruption.looks import Looks
from vidboot.corruption.moving import MovingLine, begin_moving
from vidboot.corruption.plate import Plate
from vidboot.corruption.row import Row
from vidboot.corruption.slide import Slide, slide_of
from vidboot.corruption.sudden import Sudden, Switched
from vidboot.corruption.template import Template
from vidboot.corruption.thresholds import TextThresholds
from vidboot.corruption.ticker import Travelled, with_tickers
from vidboot.corruption.tophat import TextDetector
from vidboot.trust import SURE

MOST_BUFFERED = 160  # frames kept to look back into, whatever the frame rate
SAME_ROWS = 3  # pixels
LEAST_STROKES = 8  # pixels of a line's template
AROUND = 0.4  # heights of a line that was switched on: its letters' thin ends change by less


def find_text(frames: Frames, detector: TextDetector, *, thresholds: TextThresholds) -> list[Found]:
    """Return the lines of overlaid text, as boxes in pixels of the frames.

    Args:
        frames: all frames of a video; their short side is best 352 or less.
        detector: finds boxes in one frame.
        thresholds: see there.

    Returns:
        Events of kind subtitle; a score below .5 says that it may be text in the scene.
    """
    tracker = _Tracker(detector, thresholds)
    for seconds, picture in frames:
        tracker.see(seconds, picture)
    return tracker.finish()


@dataclass(frozen=True)
class _Ended:
    """What is left of a line once it is gone: a film has thousands."""

    event: Found
    outline: Box
    tight: Box


class _Tracker:
    def __init__(self, detector: TextDetector, thresholds: TextThresholds) -> None:
        self.thresholds = thresholds
        self._looks = Looks(detector, thresholds)
        self.past: deque[Shown] = deque(maxlen=MOST_BUFFERED)
        self.live: list[Line] = []
        self.leaving: list[Line] = []
        self.ended: list[_Ended] = []
        self.moving: list[MovingLine] = []
        self.arrived: list[Travelled] = []
        self.slid: list[Found] = []
        self.next_look = self.next_sample = self.next_tick = -np.inf
        self.unseen: tuple[float, Picture] | None = None  # the last frame, if it was not looked at
        self.size = (0, 0)
        self.begins = self.ends = 0.0  # the film, seconds
        self._sudden, self._cuts = Sudden(), Cuts(thresholds)

    def see(self, seconds: float, picture: Picture) -> None:
        grey = picture.grey
        self.size = grey.shape[1], grey.shape[0]
        self.begins, self.ends = self.begins if self.past else seconds, seconds
        cut = self._cuts.see(grey)
        now = Shown(seconds, grey, cut)
        self.past.append(now)
        while len(self.past) > 2 and seconds - self.past[0].seconds > self.thresholds.back_seconds:
            self.past.popleft()
        for line in list(self.leaving):
            assert line.went is not None
            if not line.went.follow(now):
                self.leaving.remove(line)
                self._end(line)
        for line in list(self.live):
            self._follow(line, now, self.past[-2])
        for one in self._sudden.see(now):
            self._begin_switched(one)
        for way in list(self.moving):
            if not way.follow(now, match=self.thresholds.moving.match) and way.missed > MISSES:
                self.moving.remove(way)
                self._arrive(way)
            elif way.at_rest:
                self.moving.remove(way)
                self.next_look = seconds
        if seconds >= self.next_tick or cut:
            self.next_tick = seconds + 1 / self.thresholds.ticks_per_second - 1e-3
            for line in self.live:
                line.tick(grey, self.thresholds.moving_levels)
        if seconds >= self.next_sample or cut:
            self.next_sample = seconds + 1 / self.thresholds.samples_per_second - 1e-3
            self._sample(grey)
        self.unseen = None if seconds >= self.next_look or cut else (seconds, picture)
        if self.unseen is None:
            self.next_look = seconds + 1 / self.thresholds.looks_per_second - 1e-3
            self._look(seconds, picture)

    def _follow(self, line: Line, now: Shown, before: Shown) -> None:
        """See whether a line is still there, in the frame after ``before``."""
        seconds, grey, cut = now
        match, strength = line.template.look(grey)
        if match >= self.thresholds.match:
            line.last, line.missed = seconds, 0
            line.remember(seconds, strength)
            line.cuts_survived += cut
            line.row.learn(grey)
            return
        if line.missed == 0:
            line.vanished, line.quiet_after = None, not cut and self._quiet(line, grey)
            line.gone, line.went = None if cut else grey, None
            if not cut:
                line.vanished = line.template.at_once(before.grey, grey, self.thresholds, quiet=line.quiet_after)
                line.went = slide_of(line.template, before, now)
                line.slides += [line.went] if line.went else []
        elif line.went:
            line.went.follow(now)
        line.missed += 1
        if line.missed > MISSES:
            self.live.remove(line)
            if line.gone is not None:
                line.without(line.gone)
            if line.went and line.went.under_way:
                self.leaving.append(line)
                counts = evidence.score(line, self.thresholds) is not None
            else:
                counts = self._end(line)
            if counts:
                self.next_look = seconds  # the next line of a dialogue comes as this one goes

    def _sample(self, grey: np.ndarray) -> None:
        """See how the picture around each line moves, and learn how the lines look."""
        for line in self.live:
            line.samples += 1
            line.moving_samples += not self._quiet(line, grey)
            line.around = line.surroundings(grey)
            if line.missed == 0:
                line.template.learn(grey)
                line.plate.learn(grey)
                if line.samples == 3:
                    self._look_back(line)
        text = [line.outline for line in (*self.live, *self.moving)]
        for way in self.moving:
            way.watch_background(self.past, text, self.thresholds.moving)

    def _look(self, seconds: float, picture: Picture) -> None:
        """Find lines that are not followed yet."""
        for box in self._looks.at(picture.colours()):
            known = [line for line in self.live if share_in(box, line.outline) > 0.3]
            covered = sum(share_in(box, line.outline) for line in known)
            if covered < 0.6 and not self._under_way(box):
                self._begin(seconds, picture.grey, box)
            for line in known:
                if covered >= 0.6 and iou(line.outline, box) > 0.3:
                    line.boxes.append(box)

    def _begin(self, seconds: float, grey: np.ndarray, box: Box) -> None:
        template = Template(grey, whole(box, *self.size))
        if template.strokes.sum() < LEAST_STROKES:
            return
        way = begin_moving(template, seconds, self.past, self.thresholds.moving)
        if way is None:
            self._begin_standing(seconds, grey, box, template)
        else:
            self.moving.append(way)

    def _begin_switched(self, one: Switched) -> None:
        """Begin a line a few frames late that came at once, or one that went and was not known, and catch up."""
        first, *_ = one.frames
        gone = [] if one.came else [line for line in self.ended if line.event.last_seconds >= first.seconds]
        known = one.share_within([line.outline for line in (*self.live, *gone)])
        if known >= 0.6 or not self._looks.may_be_line(one.box, *self.size):
            return
        wide = grow(one.box, AROUND * (one.box[3] - one.box[1]), *self.size)
        template = Template(first.grey, whole(wide, *self.size), one.ink)
        if template.strokes.sum() < LEAST_STROKES:
            return
        line = self._begin_standing(first.seconds, first.grey, one.box, template)
        for before, now in pairwise(one.frames):
            if line in self.live:
                self._follow(line, now, before)

    def _begin_standing(self, seconds: float, grey: np.ndarray, box: Box, template: Template) -> Line:
        line = Line(box, template, Row(template.box, grey), Plate(template.box, grey), seconds)
        line.around = line.surroundings(grey)
        self._look_back(line)
        self.live.append(line)
        return line

    def _under_way(self, box: Box) -> bool:
        """Whether a box shows a caption that is being followed on its way."""
        return any(share_in(box, way.outline) > 0.6 for way in self.moving)

    def _look_back(self, line: Line) -> None:
        """Find the line's first frame, as far back from where it was seen first as frames show it."""
        first, appeared, cuts, missed = line.begun, None, 0, 0
        came: Slide | None = None
        before: list[Strength] = []
        began_with_cut = False
        gone, earliest, later = None, None, self.past[-1]
        for frame in reversed(self.past):
            seconds, grey, cut = frame
            if seconds >= line.begun:
                began_with_cut, later = cut, frame
                continue
            match, strength = line.template.look(grey)
            if match >= self.thresholds.match:
                cuts += began_with_cut and missed == 0
                first, earliest, began_with_cut, missed = seconds, grey, cut, 0
                gone, later = None, frame
                before.append((seconds, strength))
                continue
            if missed == 0:
                appeared = None
                if not began_with_cut:
                    gone, quiet = grey, self._quiet(line, grey)
                    appeared = line.template.at_once(later.grey, grey, self.thresholds, quiet=quiet)
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
            line.grew = growth_of(
                line.template.pattern, [frame for frame in reversed(self.past) if frame.seconds <= first]
            )
        if came and not line.grew:
            came.trace(reversed(self.past))
            line.slides.append(came)
            line.came = max((slide for slide in (line.came, came) if slide), key=lambda slide: len(slide.places))
        if gone is not None:
            line.without(gone)
        line.quiet_before = earliest is not None and self._quiet(line, earliest)

    def _quiet(self, line: Line, grey: np.ndarray) -> bool:
        """Whether the picture around a line is as it was."""
        assert line.around is not None
        return float(np.abs(line.surroundings(grey) - line.around).mean()) < self.thresholds.moving_levels

    def _end(self, line: Line) -> bool:
        """Make an event of a line; False: it belongs to the scene."""
        score = evidence.score(line, self.thresholds)
        if score is None:
            return False
        tight = line.row.completed(line.tight, gap=self.thresholds.gap, still=line.still)
        box = grow(line.plate.around(tight), 1 + self.thresholds.margin * (tight[3] - tight[1]), *self.size)
        first, last = line.fades_in, line.fades_out
        first = line.first if first is None else first
        if line.grew:
            first, box = min(first, line.grew.began), line.grew.around(box, *self.size)
        event = Found(
            kind="subtitle",
            first_seconds=first,
            last_seconds=line.last if last is None else last,
            box=box,
            strokes=line.template.strokes_in(whole(box, *self.size)),
            score=score,
        )
        self.ended.append(_Ended(event, line.outline, line.tight))
        if score >= SURE:
            self.slid += [slide.event(event, self.size) for slide in line.slid]
        return True

    def _arrive(self, way: MovingLine) -> None:
        if travelled := way.travelled(self.size, self.thresholds.moving, self.thresholds.margin):
            self.arrived.append(travelled)

    def finish(self) -> list[Found]:
        if self.unseen is not None:
            self._look(*self.unseen)
        for line in (*self.live, *self.leaving):
            self._end(line)
        for way in self.moving:
            self._arrive(way)
        lines = sorted(self.ended, key=lambda line: (line.event.first_seconds, line.outline))
        sure = np.array([line.tight for line in lines if line.event.score >= SURE]).reshape(-1, 4)
        events = [replace(line.event, score=_among(line, sure)) for line in lines] + self.slid
        events = without_parts(events)
        events += with_tickers(self.arrived, self.size[0])
        return [self._within(event) for event in events]

    def _within(self, event: Found) -> Found:
        """The part of an event that lies within the film: how a line fades or moves says when it began beyond it."""
        first, last = max(self.begins, event.first_seconds), min(self.ends, event.last_seconds)
        return replace(event, first_seconds=first, last_seconds=last)


def _among(line: _Ended, sure: np.ndarray) -> float:
    """The score, higher where two sure lines, [n, 4], lay in the very same rows: so do those of a film."""
    same = np.abs(sure[:, [1, 3]] - np.array(line.tight)[[1, 3]]).max(1) <= SAME_ROWS
    return max(line.event.score, 0.6) if same.sum() >= 2 else line.event.score

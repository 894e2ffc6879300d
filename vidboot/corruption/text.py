"""Overlaid text in a stream of frames: looked for a few times a second, and as it is switched on or off; followed
frame by frame by its own strokes.

Lines are told from text in the scene by what only an overlay does: it stays in its place while the picture behind it
moves or is cut, and it comes and goes from one frame to the next in a picture that goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vidboot.boxes import Box, grow, iou, share_in, whole
from vidboot.corruption import evidence
from vidboot.corruption.cuts import Cuts
from vidboot.corruption.found import Found, Frames, Picture, Shown, without_parts
from vidboot.corruption.line import MATCH, MISSES, Line
from vidboot.corruption.look_back import look_back
from vidboot.corruption.looks import Looks
from vidboot.corruption.moving import MovingLine, begin_moving
from vidboot.corruption.plate import Plate
from vidboot.corruption.row import Row
from vidboot.corruption.slide import slide_of
from vidboot.corruption.sudden import Sudden, Switched
from vidboot.corruption.template import Template
from vidboot.corruption.ticker import Travelled, with_tickers
from vidboot.corruption.tophat import TextDetector
from vidboot.trust import SURE

LOOKS_PER_SECOND = 2.0  # of the detector, which costs as much as all else; few lines last less than a second
SAMPLES_PER_SECOND = 3.0  # how often lines are compared with what is around them
TICKS_PER_SECOND = 8.0  # how often it is seen whether a line counts: a clip may last a second
BACK_SECONDS = 1.6  # how far back before its detection a line's first frame is looked for
MARGIN = 0.03  # boxes grow by one pixel and this share of their height on each side
GAP = 1.5  # letters so many heights of the line farther along belong to it, too
MOST_BUFFERED = 160  # frames kept to look back into, whatever the frame rate
SAME_ROWS = 3  # pixels
LEAST_STROKES = 8  # pixels of a line's template
AROUND = 0.4  # heights of a line that was switched on: its letters' thin ends change by less


def find_text(frames: Frames, detector: TextDetector, *, cuts: Collection[float] = ()) -> list[Found]:
    """Return the lines of overlaid text, as boxes in pixels of the frames.

    Args:
        frames: all frames of a video; their short side is best 352 or less.
        detector: finds boxes in one frame.
        cuts: seconds of frames that surely begin another scene; what stays in its place there is no part of one.

    Returns:
        Events of kind subtitle; a score below .5 says that it may be text in the scene.
    """
    tracker = _Tracker(detector, frozenset(cuts))
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
    def __init__(self, detector: TextDetector, cuts: frozenset[float] = frozenset()) -> None:
        self._looks, self._scenes = Looks(detector), cuts
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
        self._sudden, self._cuts = Sudden(), Cuts()

    def see(self, seconds: float, picture: Picture) -> None:
        grey = picture.grey
        self.size = grey.shape[1], grey.shape[0]
        self.begins, self.ends = self.begins if self.past else seconds, seconds
        scene = seconds in self._scenes
        cut = self._cuts.see(grey) or scene
        now = Shown(seconds, grey, cut, scene)
        self.past.append(now)
        while len(self.past) > 2 and seconds - self.past[0].seconds > BACK_SECONDS:
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
            if not way.follow(now) and way.missed > MISSES:
                self.moving.remove(way)
                self._arrive(way)
            elif way.at_rest:
                self.moving.remove(way)
                self.next_look = seconds
        if seconds >= self.next_tick or cut:
            self.next_tick = seconds + 1 / TICKS_PER_SECOND - 1e-3
            for line in self.live:
                line.tick(grey)
        if seconds >= self.next_sample or cut:
            self.next_sample = seconds + 1 / SAMPLES_PER_SECOND - 1e-3
            self._sample(grey)
        self.unseen = None if seconds >= self.next_look or cut else (seconds, picture)
        if self.unseen is None:
            self.next_look = seconds + 1 / LOOKS_PER_SECOND - 1e-3
            self._look(seconds, picture)

    def _follow(self, line: Line, now: Shown, before: Shown) -> None:
        """See whether a line is still there, in the frame after ``before``."""
        seconds, grey, cut, scene = now
        match, strength = line.template.look(grey)
        if match >= MATCH:
            line.last, line.missed = seconds, 0
            line.remember(seconds, strength)
            line.cuts_survived += scene
            line.row.learn(grey)
            return
        if line.missed == 0:
            line.vanished, line.quiet_after = None, not cut and line.quiet(grey)
            line.gone, line.went = None if cut else grey, None
            if not cut:
                line.vanished = line.template.at_once(before.grey, grey, quiet=line.quiet_after)
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
                counts = evidence.score(line) is not None
            else:
                counts = self._end(line)
            if counts:
                self.next_look = seconds  # the next line of a dialogue comes as this one goes

    def _sample(self, grey: np.ndarray) -> None:
        """See how the picture around each line moves, and learn how the lines look."""
        for line in self.live:
            line.sample(grey)
            if line.missed == 0:
                line.template.learn(grey)
                line.plate.learn(grey)
                if line.samples == 3:
                    look_back(line, self.past)
        text = [line.outline for line in (*self.live, *self.moving)]
        for way in self.moving:
            way.watch_background(self.past, text)

    def _look(self, seconds: float, picture: Picture) -> None:
        """Find lines that are not followed yet, and see which of the others a detector sees again."""
        boxes = self._looks.at(picture.colours())
        for line in self.live:
            line.looks += 1
            line.seen += any(share_in(line.outline, box) > 0.5 for box in boxes)
        for box in boxes:
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
        way = begin_moving(template, seconds, self.past)
        if way is None:
            line = self._begin_standing(seconds, grey, box, template)
            line.looks = line.seen = 1
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
        look_back(line, self.past)
        self.live.append(line)
        return line

    def _under_way(self, box: Box) -> bool:
        """Whether a box shows a caption that is being followed on its way."""
        return any(share_in(box, way.outline) > 0.6 for way in self.moving)

    def _end(self, line: Line) -> bool:
        """Make an event of a line; False: it belongs to the scene."""
        score = evidence.score(line)
        if score is None:
            return False
        tight = line.row.completed(line.tight, gap=GAP, still=line.still)
        box = grow(line.plate.around(tight), 1 + MARGIN * (tight[3] - tight[1]), *self.size)
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
        if travelled := way.travelled(self.size, MARGIN):
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

"""What a detector says it found, in pixels of the frames it was shown."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from vidboot.boxes import Box, area, share_in, whole
from vidboot.masks import Kind

SAME_TIME = 0.05  # seconds by which a part of an event may begin before it, or end after it
OF_MARK = 0.5  # share of a line's strokes that a mark has, too


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame: grey for those that follow it, in colours, which cost five times as much, for the few that ask."""

    grey: np.ndarray
    """uint8 [H, W]."""
    colours: Callable[[], np.ndarray]
    """Returns uint8 RGB [H, W, 3]."""


Frames = Iterator[tuple[float, Picture]]
"""Yields (seconds, picture) in the order of time, all pictures of one size."""


class Shown(NamedTuple):
    """A frame that was seen, as those keep it who follow things from frame to frame."""

    seconds: float
    grey: np.ndarray
    """uint8 [H, W]."""
    cut: bool = False
    """Whether it may begin a shot, or be the next of a camera that shakes: nothing that it shows came at once."""
    scene: bool = False
    """Whether it surely begins another scene: what stays in its place is no part of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that is not the scene; first and last frame are both included."""

    kind: Kind
    first_seconds: float
    last_seconds: float
    box: Box
    layer: np.ndarray | None = None
    """What of its box it hides, bool [H, W] of the frame; None: all."""
    strokes: np.ndarray | None = None
    """Of a line of text that stands still: where in its box they are, bool [h, w] of the pixels it was seen at."""
    score: float = 1.0
    """0 to 1; below `trust.SURE` a person decides before it hides anything."""


def watch(frames: Frames, *watchers: object) -> Frames:
    """Pass frames on, showing each to every watcher (called with seconds, picture): one decode feeds all."""
    for seconds, picture in frames:
        for watcher in watchers:
            watcher(seconds, picture)  # type: ignore[operator]
        yield seconds, picture


def without_parts(events: Sequence[Found]) -> list[Found]:
    """Leave out events in another that is surer, or as sure and longer, or as long and larger, or alike and earlier."""
    first, last = np.array([(event.first_seconds, event.last_seconds) for event in events]).reshape(-1, 2).T
    kept = []
    for k, one in enumerate(events):
        around = (first <= one.first_seconds + SAME_TIME) & (last >= one.last_seconds - SAME_TIME)
        surer = [i for i in np.flatnonzero(around).tolist() if (*_weight(events[i]), -i) > (*_weight(one), -k)]
        if not any(share_in(one.box, events[i].box) > 0.9 for i in surer):
            kept.append(one)
    return kept


def _weight(event: Found) -> tuple[float, float, float]:
    return event.score, event.last_seconds - event.first_seconds, area(event.box)


def of_mark(one: Found, mark: np.ndarray) -> bool:
    """Whether what was read as a line of text is letters of a mark, which are hidden to the pixel without its box."""
    if one.strokes is None or not one.strokes.any():
        return False
    x0, y0, x1, y1 = whole(one.box, *mark.shape[::-1])
    height, width = one.strokes.shape
    there = cv2.resize(255 * mark[y0:y1, x0:x1].astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    near = cv2.dilate(there, np.ones((3, 3), np.uint8)) > 0
    return float(near[one.strokes].mean()) > OF_MARK

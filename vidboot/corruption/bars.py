"""Bars around the picture, of any colour, found to the pixel on the source's own rows and columns.

A bar is of one level and still, and the picture begins behind a straight edge all along it. A dark scene is of one
level too, but what stands in it begins anywhere: only where most columns begin at one row, a bar ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidboot.boxes import share_in
from vidboot.corruption.found import Found

LEAST_CONTRAST = 24.0  # a frame counts if 96 % of its brightness spans at least this, levels of 255
LEAST_LIT_FRAMES = 2  # with fewer frames that count nothing is said
TOLERANCE = 6  # levels by which a pixel of a bar may differ from the bar's own level
PURE_SHARE = 0.9  # share of a row at the bar's level in a row without text; a codec's noise takes some
PURE_ROWS = 0.2  # share of a bar's rows that have no text
TEXT_SHARE = 0.25  # share of a row at the bar's level in a row with text in it
BARRED_SHARE = 0.9  # share of the frames that begin with the bar: a flash or a fade may hide it
STEP = 10.0  # the picture begins in a column where it is this much brighter or darker than the bar, levels
STEP_RATIO = 2.5  # and so many times farther from the bar's level than the rows before, which a codec smears
LEAST_EDGE = 0.1  # a row where this share of the columns begins may be a bar's end
PAIR_EDGES = 0.8  # two bars are sure if the shares of both add up to this, less their difference in width
FILLED, WHOLE_EDGE = 0.5, 0.9  # and if of what lies between this share is off their level, or begins at the end of one
SINGLE_EDGE = 0.6  # one bar may be there if this share of the columns begins at its end
LEAST_PIXELS = 4  # thinner bars are ignored, pixels of the source
WIDEST = 0.4  # a bar takes at most this share of the frame: between two there is a picture, not a line of text
COLUMNS = 320  # looked at along an edge; more say nothing new
MOST_LEVELS = 60  # a step higher than this is no clearer
NEAR = 3  # rows over which codecs smear an edge
OUTER = slice(1, 3)  # rows that a bar begins with: the outermost may be blended with what is beyond

SURE, PANEL, DOUBTFUL = 0.9, 0.8, 0.4  # scores
PANEL_SECONDS = 1.0  # for so long a line stands on a panel, at least

Widths = tuple[int, int, int, int]
"""On the left, top, right and bottom, pixels; 0 where there is no bar."""


@dataclass(frozen=True)
class Bars:
    """The bars of one video."""

    sure: Widths
    doubtful: Widths
    """A bar on one side only that no cut speaks for: it may be a thing of the scene."""


@dataclass(frozen=True)
class _Side:
    """What the rows say from one edge of the frame inwards."""

    level: int
    reach: int
    """Rows from the edge that are at the bar's level, but for text."""
    edge: np.ndarray
    """Share of the columns whose picture begins at each row, [reach + 1]."""
    rise: np.ndarray
    """How much brighter or darker each row is than the one before, levels [rows]."""

    def begins(self, row: int) -> int:
        """Return the steepest row near ``row``: what a codec smears, it smears evenly."""
        first = max(1, row - NEAR)
        return first + int(np.argmax(self.rise[first : row + NEAR + 1]))


def find_bars(frames: Sequence[np.ndarray], *, shots: int) -> Bars | None:
    """Return the bars of a video.

    Args:
        frames: brightness of frames spread over the video, each uint8 [H, W].
        shots: number of shots they come from.

    Returns:
        The bars; None if too few frames have enough light to tell.
    """
    light = [np.ptp(np.percentile(frame[::4, ::4], (2, 98))) for frame in frames]
    if sum(range_ >= LEAST_CONTRAST for range_ in light) < LEAST_LIT_FRAMES:
        return None
    film = np.stack(frames)
    top, bottom, vertical = _opposite(film, shots)
    left, right, horizontal = _opposite(film.transpose(0, 2, 1), shots)
    widths = ((left, horizontal), (top, vertical), (right, horizontal), (bottom, vertical))
    sure, doubtful = (tuple(width * (known is which) for width, known in widths) for which in (True, False))
    return Bars(sure, doubtful)  # type: ignore[arg-type]


def or_panel(bar: Found, text: Sequence[Found]) -> Found:
    """Return a bar, surer if a line of text stands on it: on one side alone it may be a wall, but so it is a panel."""
    return replace(bar, score=PANEL) if bar.score < SURE and any(_stands_on(line, bar) for line in text) else bar


def _stands_on(line: Found, bar: Found) -> bool:
    return line.last_seconds - line.first_seconds > PANEL_SECONDS and share_in(line.box, bar.box) > 0.9


def _opposite(film: np.ndarray, shots: int) -> tuple[int, int, bool]:
    """Rows of bar at the top and at the bottom of [n, rows, columns], and whether they are sure."""
    sides = _side(film), _side(film[:, ::-1])
    first, second = sides
    if first and second and abs(first.level - second.level) <= TOLERANCE:
        edges, rows = _pair(first, second)
        clearest = max(first.edge[rows[0]], second.edge[rows[1]])
        if edges >= PAIR_EDGES and _is_picture(film, first.level, rows, clearest):
            return first.begins(rows[0]), second.begins(rows[1]), True
    alone = _alone(first), _alone(second)
    width = max(alone)
    dark = sides[alone.index(0)] if 0 in alone else None
    own = sides[alone.index(width)]
    if own and not _is_picture(film, own.level, alone, own.edge.max()):
        return *alone, False
    if width and own and dark and abs(own.level - dark.level) <= TOLERANCE and dark.reach >= width:
        # The other bar's edge cannot be seen: the picture is as dark there.
        return width, width, True
    return alone[0], alone[1], shots >= 2


def _side(film: np.ndarray) -> _Side | None:
    """Rows from the top of [n, rows, columns]; None if it does not begin with a bar."""
    _, rows, columns = film.shape
    outer = film[:, : int(rows * WIDEST), :: max(1, columns // COLUMNS)]
    if outer.shape[1] < OUTER.stop:
        return None
    level = round(float(np.median(outer[:, OUTER])))
    off = np.abs(outer.astype(np.int16) - level).astype(np.uint8)
    at_level = (off <= TOLERANCE).mean(2)  # [n, rows]
    at_level[:, 0] = at_level[:, 1]
    barred = at_level[:, OUTER].min(1) >= PURE_SHARE
    if barred.mean() < BARRED_SHARE:
        return None
    off, share = off[barred], at_level[barred].mean(0)
    pure = np.cumsum(share >= PURE_SHARE) / np.arange(1, len(share) + 1)
    of_bar = (share >= TEXT_SHARE) & (pure >= PURE_ROWS)
    reach = len(of_bar) if of_bar.all() else int(np.argmin(of_bar))
    outline = _shown(off).astype(np.float32)  # [rows, columns]
    clipped = np.minimum(outline, MOST_LEVELS).mean(1)
    return _Side(level, reach, _edges(outline, reach), np.diff(clipped, prepend=clipped[0]))


def _shown(off: np.ndarray) -> np.ndarray:
    """By how many levels each pixel of [n, rows, columns] is off in one frame of eight: a scene shows all of its
    outline in time, noise and text hardly anything."""
    often = len(off) - 1 - len(off) // 8
    return np.partition(off, often, axis=0)[often]


def _is_picture(film: np.ndarray, level: int, rows: tuple[int, int], clearest: float) -> bool:
    """Whether what lies between two bars begins all along one of them, by its clearest edge, or fills its place:
    drawings on black do not."""
    picture = film[:, rows[0] : film.shape[1] - rows[1] : 2, ::2].astype(np.int16)
    filled = (_shown(np.abs(picture - level)) > TOLERANCE).mean()
    return bool(clearest >= WHOLE_EDGE or filled >= FILLED)


def _edges(outline: np.ndarray, reach: int) -> np.ndarray:
    """Share of columns of [rows, columns] that step up at each row, [reach + 1]; only the best of each few rows."""
    rows = len(outline)
    share = np.zeros(reach + 1)
    for row in range(LEAST_PIXELS, min(reach, rows - NEAR) + 1):
        before = outline[row - 2 : row].max(0)
        after = outline[row : row + NEAR].max(0)
        share[row] = ((after - before >= STEP) & (after >= STEP_RATIO * before)).mean()
    best = [share[row] >= share[max(0, row - NEAR) : row + NEAR + 1].max() for row in range(reach + 1)]
    return np.where(best & (share >= LEAST_EDGE), share, 0)


def _pair(first: _Side, second: _Side) -> tuple[float, tuple[int, int]]:
    """The two rows where bars end most clearly and most evenly, and how clearly, at most 2."""
    best, rows = 0.0, (0, 0)
    for a in np.flatnonzero(first.edge):
        for b in np.flatnonzero(second.edge):
            edges = float(first.edge[a] + second.edge[b] - abs(a - b) / max(a, b))
            if edges > best:
                best, rows = edges, (int(a), int(b))
    return best, rows


def _alone(side: _Side | None) -> int:
    """Rows of a bar whose own edge proves it; 0 without one."""
    if side is None or side.edge.max() < SINGLE_EDGE:
        return 0
    return side.begins(int(side.edge.argmax()))

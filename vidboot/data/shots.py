"""Where a video is cut, and where it shows nothing: decided on tiny grey thumbnails, by times rather than by counts.

Thumbnails: uint8 [T, 16, 16], each the mean over an area of a whole frame's brightness, the picture squeezed square.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from vidboot.data.records import Span

THUMBNAIL = 16
BLANK_RANGE = 8  # brightest minus darkest cell, in levels of 255
STANDS_OUT = (32, 1e-4)  # a share of the pixels that differ from the mean colour by more levels: stars, small print
SHORTEST_BLANK_SECONDS = 0.1
SHORTEST_SHOT_SECONDS = 0.25
FLASH_SECONDS = 0.12
NEIGHBOURHOOD_SECONDS = 0.5
LEAST_CHANGE = 10.0  # mean change of brightness over a cut, in levels of 255
CHANGED_CELLS = (0.3, 8)  # at least this share of the cells by at least so many levels: a jump of one thing is no cut
MOST_CORRELATED = 0.85
# A cut changes the picture this many times as much as the motion around it: to a new layout, to a similar one.
OVER_MOTION = (3.0, 4.2)
NEW_LAYOUT = 0.4  # correlation below
LONGEST_GAP = (1.0, 8.0)  # seconds and usual frame steps: beyond both, frames are missing in between


def find_cuts(thumbnails: np.ndarray, pts_seconds: np.ndarray) -> np.ndarray:
    """Return the index of the first frame of each new scene, [n] int64, increasing.

    At a cut every frame just before differs from every frame just after, by much more than neighbours differ around
    it and in structure, not only in brightness. A flash is followed by the old scene, so it is no cut.

    Args:
        thumbnails: uint8 [T, 16, 16].
        pts_seconds: [T], increasing.
    """
    T = len(thumbnails)
    if T < 3:
        return np.zeros(0, dtype=np.int64)
    step = float(np.median(np.diff(pts_seconds)))
    cells = thumbnails.reshape(T, -1)
    reach = int(np.clip(round(FLASH_SECONDS / step), 1, 4))
    change = _distance(cells, 1)
    across = _least_distance_across(cells, reach, change)
    motion = _motion_around(change, max(2, round(NEIGHBOURHOOD_SECONDS / step)), reach)
    candidates = np.flatnonzero((across > LEAST_CHANGE) & (across > OVER_MOTION[0] * motion))
    candidates = candidates[_changes_all_over(cells, candidates)]
    correlation = _correlation(cells, candidates)
    least = np.where(correlation < NEW_LAYOUT, *OVER_MOTION) * _motion_beside(change)[candidates]
    cuts = candidates[(across[candidates] > least) & (correlation < MOST_CORRELATED)]
    return _strongest(cuts, across, pts_seconds)


def is_flat(thumbnail: np.ndarray) -> bool:
    """Whether a frame may be blank: it has (nearly) one brightness all over, [16, 16]."""
    return int(thumbnail.max()) - int(thumbnail.min()) <= BLANK_RANGE


def is_plain(picture: np.ndarray) -> bool:
    """Whether nothing stands out from the one colour of a picture, uint8 [H, W, 3], but noise."""
    levels, share = STANDS_OUT
    mean = picture.mean(axis=(0, 1)).round().astype(np.int16)
    return bool((np.abs(picture - mean) > levels).any(axis=2).mean() <= share)


def find_blanks(blank: np.ndarray, pts_seconds: np.ndarray) -> list[Span]:
    """Return the spans of blank frames (bool [T]) that last at least .1 s."""
    spans = spans_where(blank)
    if len(spans) == 1 and spans[0] == (0, len(blank) - 1):
        return spans
    step = float(np.median(np.diff(pts_seconds))) if len(blank) > 1 else 0.0
    return [s for s in spans if pts_seconds[s[1]] - pts_seconds[s[0]] + step >= SHORTEST_BLANK_SECONDS]


def find_gaps(pts_seconds: np.ndarray) -> np.ndarray:
    """Return the index of each frame before which so much time is missing that the motion is broken, [n] int64."""
    steps = np.diff(pts_seconds)
    if len(steps) == 0:
        return np.zeros(0, dtype=np.int64)
    seconds, usual_steps = LONGEST_GAP
    return np.flatnonzero(steps > max(seconds, usual_steps * float(np.median(steps)))) + 1


def split(frames: int, starts: Iterable[int], blanks: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans of frames between the starts of scenes that are not blank, in order."""
    shown = np.ones(frames, dtype=bool)
    for first, last in blanks:
        shown[first : last + 1] = False
    edges = sorted({0, frames, *map(int, starts)})
    for begin, end in pairwise(edges):
        for first, last in spans_where(shown[begin:end]):
            yield begin + first, begin + last


def spans_where(flags: np.ndarray) -> list[Span]:
    """Return the runs of True as [first, last], both ends included."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _distance(cells: np.ndarray, lag: int) -> np.ndarray:
    """Mean absolute change of brightness from frame i - lag to frame i, [T]; 0 where there is no such frame."""
    distance = np.zeros(len(cells), dtype=np.float32)
    for start in range(lag, len(cells), 1024):
        after = cells[start : start + 1024].astype(np.int16)
        before = cells[start - lag : start - lag + len(after)]
        distance[start : start + len(after)] = np.abs(after - before).mean(axis=1)
    return distance


def _least_distance_across(cells: np.ndarray, reach: int, change: np.ndarray) -> np.ndarray:
    """Smallest distance between one of ``reach`` frames before i and one of ``reach`` frames from i on, [T]."""
    T = len(cells)
    least = change.copy()
    for lag in range(2, 2 * reach):
        distance = _distance(cells, lag)
        # The pair (b - lag, b) spans i when b - lag < i <= b, with at most reach frames on either side.
        for ahead in range(max(0, lag - reach), min(reach, lag)):
            spanning = distance[ahead:][: T - ahead]
            known = np.arange(len(spanning)) + ahead >= lag
            least[: len(spanning)][known] = np.minimum(least[: len(spanning)], spanning)[known]
    return least


def _motion_around(change: np.ndarray, radius: int, reach: int) -> np.ndarray:
    """Usual change between neighbouring frames within ``radius`` of i, those of a flash or cut at i left out, [T]."""
    padded = np.pad(change[1:], (radius + 1, radius), mode="reflect" if len(change) > radius + 2 else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1)
    near = np.abs(np.arange(-radius, radius + 1)) < min(reach, radius)
    starts = range(0, len(windows), 1024)
    return np.concatenate([np.quantile(windows[start : start + 1024, ~near], 0.75, axis=1) for start in starts])


def _motion_beside(change: np.ndarray) -> np.ndarray:
    """Second largest change at i - 2, i - 1, i + 1 and i + 2, [T]: a cut may blend over two frames."""
    padded = np.pad(change, 2)
    beside = np.stack([padded[offset : offset + len(change)] for offset in (0, 1, 3, 4)])
    return np.sort(beside, axis=0)[2]


def _changes_all_over(cells: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    share, levels = CHANGED_CELLS
    change = np.abs(cells[candidates].astype(np.int16) - cells[candidates - 1])
    return (change >= levels).mean(axis=1) >= share


def _correlation(cells: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Correlation of the frames on either side of a cut that may blend over two frames."""
    before = cells[np.maximum(candidates - 2, 0)].astype(np.float32)
    after = cells[np.minimum(candidates + 1, len(cells) - 1)].astype(np.float32)
    before -= before.mean(axis=1, keepdims=True)
    after -= after.mean(axis=1, keepdims=True)
    norms = np.sqrt((before**2).sum(axis=1) * (after**2).sum(axis=1))
    return (before * after).sum(axis=1) / np.maximum(norms, 1e-6)


def _strongest(candidates: np.ndarray, strength: np.ndarray, pts_seconds: np.ndarray) -> np.ndarray:
    """Keep of candidates closer than the shortest shot the strongest one."""
    kept: list[int] = []
    for i in candidates[np.argsort(-strength[candidates], kind="stable")]:
        if all(abs(pts_seconds[i] - pts_seconds[k]) >= SHORTEST_SHOT_SECONDS for k in kept):
            kept.append(int(i))
    return np.array(sorted(kept), dtype=np.int64)

"""Other versions of a film: files that show the same scenes, re-encoded, shrunk, cut, or with text over a part of them.

A video that is measured on must not have been trained on under another name and in another size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidboot.data.cache import Entry, open_clip

LOOKED_UP = 8
"""Frames of a shot, evenly spread."""
SAME = 0.3
"""Root mean square difference, over the contrast of the picture, up to which two halves of small pictures are one. Of
113 real files, versions of one film, some damaged, were mostly up to .3 apart and different films .58 and more."""
SAME_LEVELS = 12.0
"""And not more levels of 255: bars make contrast that says nothing."""
SIDE = 8
"""Pixels on a side of a small picture, at most."""


def versions(of: Sequence[Entry], among: Sequence[Entry]) -> set[str]:
    """Find the files that show scenes of others.

    A file is another version if at least half of the frames that are looked up in one of its shots are like some frame
    of the others, or those looked up in a long one of theirs like some of its own, in their upper or in their lower
    half: text and marks seldom lie over both. The less there is to see in a half, the more alike it must be: nights
    and white pages are not one film.

    Args:
        of: cached shots, all of one size.
        among: cached shots of other files, of the same size.

    Returns:
        SHA-256 of the files found.
    """
    if not of:
        return set()
    known = [np.concatenate(halves) for halves in zip(*(_halves(one, range(one.frames)) for one in of), strict=True)]
    ends = np.cumsum([one.frames for one in of])
    long = [(one.frames, end) for one, end in zip(of, ends, strict=True) if one.frames >= LOOKED_UP]
    looked_up = [end - frames + _spread(frames) for frames, end in long]
    found: set[str] = set()
    for entry in among:
        for own, half in zip(_halves(entry, range(entry.frames)), known, strict=True):
            pairs = [(own[_spread(entry.frames)], half), *((half[frames], own) for frames in looked_up)]
            if any(_seen_in(seen, all_) for seen, all_ in pairs):
                found.add(entry.sha256)
    return found


def _spread(frames: int) -> np.ndarray:
    return np.linspace(0, frames - 1, min(LOOKED_UP, frames)).round().astype(int)


def _seen_in(seen: np.ndarray, known: np.ndarray) -> bool:
    """Whether at least half of some frames are like one of others; a half of one colour is like none."""
    squared = (seen**2).sum(1, keepdims=True) + (known**2).sum(1) - 2 * seen @ known.T  # [seen, known]
    nearest = np.sqrt(np.maximum(squared.min(1), 0) / seen.shape[1])
    return bool((nearest < np.minimum(SAME * _contrast(seen), SAME_LEVELS)).mean() >= 0.5)


def _halves(entry: Entry, at: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper and the lower half of frames of a shot, as means over boxes: float32 [frames, values] each."""
    frames = open_clip(entry, 0, entry.frames)[0][np.asarray(at)].astype(np.float32)
    for axis in (1, 2):
        size = frames.shape[axis]
        edges = np.linspace(0, size, min(SIDE, size) + 1).round().astype(int)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        frames = np.add.reduceat(frames, edges[:-1], axis) / np.diff(edges).reshape(shape)
    rows = frames.shape[1]
    return frames[:, : (rows + 1) // 2].reshape(len(frames), -1), frames[:, rows // 2 :].reshape(len(frames), -1)


def _contrast(halves: np.ndarray) -> np.ndarray:
    """Return how much the places of each half differ from its mean colour, root mean square: [frames]."""
    colours = halves.reshape(len(halves), -1, 3)
    return (colours - colours.mean(1, keepdims=True)).std((1, 2))

"""What a mask leaves visible: which pixels of which frames can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from vidboot.boxes import Box
from vidboot.masks import Event, Mask, hides
from vidboot.trust import TIME_TOLERANCE_SECONDS, default_dilation

Spans = tuple[np.ndarray, np.ndarray]  # first and one-past-last source pixel of each cell


def visible(
    mask: Mask,
    pts_seconds: Sequence[float] | np.ndarray,
    crop_box: Box,
    height: int,
    width: int,
    *,
    dilation: int | None = None,
) -> np.ndarray:
    """Rasterise the mask for frames that show ``crop_box`` of the source at ``height`` x ``width``.

    A cell is trusted only if every source pixel it touches, even in part, is. `masks.hides` says what events hide.

    Args:
        mask: of the source.
        pts_seconds: timestamps, [T].
        crop_box: x0, y0, x1, y1 in source display pixels, may be fractional.
        height: rows of the result.
        width: columns of the result.
        dilation: source pixels by which hidden regions grow; default `default_dilation`.

    Returns:
        uint8 [T, height, width], 1 = trust this pixel.

    Raises:
        ValueError: ``crop_box`` is empty or outside the source.
    """
    distinct, which = distinct_visible(mask, pts_seconds, crop_box, height, width, dilation=dilation)
    return distinct[which]


def distinct_visible(
    mask: Mask,
    pts_seconds: Sequence[float] | np.ndarray,
    crop_box: Box,
    height: int,
    width: int,
    *,
    dilation: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Do as ``visible``, but return what differs once, [K, height, width], and which of that each frame shows, [T]."""
    x0, y0, x1, y1 = crop_box
    if not (0 <= x0 < x1 <= mask.width and 0 <= y0 < y1 <= mask.height):
        raise ValueError(f"{crop_box = } is outside the frame {mask.width}x{mask.height}")
    if dilation is None:
        dilation = default_dilation(mask.width, mask.height)
    kept = [event for event in mask.events if hides(event)]
    sets, which = _active(kept, np.asarray(pts_seconds, np.float64))
    rows, columns = _covered(y0, y1, height), _covered(x0, x1, width)
    hidden = {i: _hidden_cells(mask, kept[i], rows, columns, dilation=dilation) for i in set(chain(*sets))}
    distinct = np.ones((len(sets), height, width), np.uint8)
    for cells_shown, present in zip(distinct, sets, strict=True):
        for i in present:
            cells_shown[hidden[i]] = 0
    return distinct, which


def _active(events: Sequence[Event], pts_seconds: np.ndarray) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Return the sets of events that are active together, each once, and which of them is at each time, [T]."""
    first = np.array([event.first_seconds for event in events]) - TIME_TOLERANCE_SECONDS
    last = np.array([event.last_seconds for event in events]) + TIME_TOLERANCE_SECONDS
    # Between two times at which as many events have begun, and as many have ended, the same ones are active.
    begun = np.searchsorted(np.sort(first), pts_seconds, side="right")
    ended = np.searchsorted(np.sort(last), pts_seconds, side="left")
    _, example, stage = np.unique(begun + ended, return_index=True, return_inverse=True)
    numbers: dict[tuple[int, ...], int] = {}
    of_stage = [
        numbers.setdefault(tuple(np.flatnonzero((first <= at) & (at <= last)).tolist()), len(numbers))
        for at in pts_seconds[example]
    ]
    return list(numbers), np.array(of_stage, np.intp)[stage.ravel()]


def _hidden_cells(mask: Mask, event: Event, rows: Spans, columns: Spans, *, dilation: int) -> np.ndarray:
    """Cells that touch a pixel of the dilated event, bool [rows, columns]; a pixel the box touches in part is in it."""
    if event.box is None:
        assert event.layer is not None
        hidden = _dilate(mask.layers[event.layer], dilation)
        return _any_between(_any_between(hidden, rows, axis=0), columns, axis=1)
    x0, y0, x1, y1 = event.box
    in_rows = (rows[0] < np.ceil(y1) + dilation) & (rows[1] > np.floor(y0) - dilation)
    in_columns = (columns[0] < np.ceil(x1) + dilation) & (columns[1] > np.floor(x0) - dilation)
    return np.outer(in_rows, in_columns)


def _dilate(hidden: np.ndarray, by: int) -> np.ndarray:
    """Grow by a square of side 2 * by + 1, one axis after the other."""
    for axis, size in enumerate(hidden.shape):
        at = np.arange(size)
        hidden = _any_between(hidden, (np.maximum(at - by, 0), np.minimum(at + by + 1, size)), axis=axis)
    return hidden


def _covered(first: float, last: float, cells: int) -> Spans:
    """First and one-past-last source pixel touched by each of ``cells`` equal parts of [first, last)."""
    edges = first + (last - first) * np.arange(cells + 1) / cells
    # An edge that is a whole number up to rounding touches no further pixel.
    edges = np.where(np.abs(edges - np.round(edges)) < 1e-6, np.round(edges), edges)
    return np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)


def _any_between(hidden: np.ndarray, spans: Spans, *, axis: int) -> np.ndarray:
    """Whether anything is hidden in each of ``spans`` along ``axis``, by differences of a running count."""
    count = np.insert(np.cumsum(hidden, axis=axis, dtype=np.int64), 0, 0, axis=axis)
    first, last = spans
    return np.take(count, last, axis=axis) > np.take(count, first, axis=axis)

"""Filling holes of a clip with pictures of another size: which frames, which parts of the frame, and how it is pasted.

Boxes are x0, y0, x1, y1 in pixels of the clip; fills are [T, 3, h, w] in [-1, 1], frames uint8 [T, H, W, 3].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidboot.boxes import IntBox

SLACK = 0.02
"""Share of a tile by which it is stretched rather than another one begun."""


class Stretch(NamedTuple):
    """Frames ``first .. stop - 1``."""

    first: int
    stop: int


def spans(hidden: Sequence[bool] | np.ndarray, cuts: Sequence[int], *, around: int) -> list[Stretch]:
    """Return the stretches of frames to fill: each hidden frame with what is ``around`` it, never across a cut.

    Args:
        hidden: whether anything is hidden in a frame, [T].
        cuts: frames that begin a shot; the first needs no mention.
        around: frames before and after that say what was hidden.
    """
    T = len(hidden)
    found: list[Stretch] = []
    for first, stop in pairwise([0, *sorted({cut for cut in cuts if 0 < cut < T}), T]):
        shot: list[Stretch] = []
        for t in np.flatnonzero(np.asarray(hidden[first:stop])) + first:
            span = Stretch(max(first, int(t) - around), min(stop, int(t) + around + 1))
            if shot and span.first <= shot[-1].stop:
                span = Stretch(shot.pop().first, span.stop)
            shot.append(span)
        found += shot
    return found


def tiles(width: int, height: int, like_width: int, like_height: int) -> list[IntBox]:
    """Cover a frame with the fewest boxes of one shape, evenly spaced along the side that is too long."""
    scale = min(width / like_width, height / like_height)
    across = _starts(width, round(like_width * scale))
    down = _starts(height, round(like_height * scale))
    return [(x0, y0, x1, y1) for y0, y1 in down for x0, x1 in across]


def _starts(size: int, length: int) -> list[tuple[int, int]]:
    count = max(1, ceil(size / length - SLACK))
    if count == 1:
        return [(0, size)]
    length = max(length, ceil(size / count))  # a box too few by `SLACK` is stretched by it
    return [(start, start + length) for start in (round(i * (size - length) / (count - 1)) for i in range(count))]


def shrink(frames: np.ndarray, box: IntBox, height: int, width: int) -> Tensor:
    """Return a box of the frames as a video of another size, by area mean: [T, 3, height, width] in [-1, 1]."""
    x0, y0, x1, y1 = box
    pixels = torch.from_numpy(np.ascontiguousarray(frames[:, y0:y1, x0:x1])).permute(0, 3, 1, 2).float()
    return F.adaptive_avg_pool2d(pixels, (height, width)) / 127.5 - 1


def inner_edge(hidden: np.ndarray, width: int) -> np.ndarray:
    """How much of the fill a pixel takes: 0 outside the mask, within it rising to 1 ``width`` pixels from its edge.

    Args:
        hidden: bool [H, W].
        width: pixels; 0 = a hard edge.

    Returns:
        float32 [H, W].
    """
    share = hidden.astype(np.float32)
    inner = torch.from_numpy(hidden)[None, None].float()
    for _ in range(width):
        # Erode; beyond the frame's border nothing is known, so nothing is kept of what lies there.
        inner = 1 - F.max_pool2d(1 - inner, 3, 1, 1)
        share += inner[0, 0].numpy()
    return share / (width + 1)


def paste(frame: np.ndarray, share: np.ndarray, fills: Mapping[IntBox, Tensor]) -> np.ndarray:
    """Lay fills, enlarged to their boxes and averaged where these overlap, over a frame.

    Args:
        frame: uint8 [H, W, 3], left as it is.
        share: of the fill in each pixel, [H, W]; where it is 0 the pixel stays exactly as it is.
        fills: [3, h, w] in [-1, 1], by box.

    Returns:
        uint8 [H, W, 3].
    """
    total = np.zeros((*frame.shape[:2], 3), np.float32)
    weight = np.zeros((*frame.shape[:2], 1), np.float32)
    for (x0, y0, x1, y1), fill in fills.items():
        size = (y1 - y0, x1 - x0)
        large = fill[None] if fill.shape[1:] == size else F.interpolate(fill[None], size, mode="bilinear")
        w = np.outer(_hat(size[0]), _hat(size[1]))[..., None]
        total[y0:y1, x0:x1] += w * large[0].permute(1, 2, 0).numpy()
        weight[y0:y1, x0:x1] += w
    levels = (total / np.maximum(weight, 1e-6)).clip(-1, 1) * 127.5 + 127.5
    taken = share[..., None] * (weight > 0)
    mixed = np.rint(frame + taken * (levels - frame))
    return np.where(taken > 0, mixed, frame).astype(np.uint8)


def _hat(size: int) -> np.ndarray:
    ramp = np.arange(1, size + 1, dtype=np.float32)
    return np.minimum(ramp, ramp[::-1])

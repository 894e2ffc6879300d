"""Marks that stand still, in one video: where the median over time of signed gradients is strong (Dekel et al. 2017).

The scene's gradients change sign as it moves and their median is near nothing; those of a mark stay. A camera that
stands still makes marks of everything, so one video alone is weak evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidboot.boxes import IntBox, area, around

SIDE = 480  # longer side at which gradients are taken, pixels; smaller videos are left as they are
COHERENCE = 0.7  # share of frames whose gradient agrees with the median, for a single video
SURROUNDINGS_STD = 6.0  # a single video's picture around a mark changes by at least this much over time, levels
MOVING_SHARE = 0.9  # share of the frame that changes so much, for a mark of a single video to need no review
HELD_SHARE = 0.75  # and its sure marks hold this share of all edges that stand still in it: nothing else does
STEADY = 0.8  # a sure mark of the first third of a video correlates with that of the last by this much
TWO_WAYS = 0.1  # least energy of its gradients across their main direction, over that along it: no line
MOST_SINGLE = 4  # marks of a single video, the strongest first: more is a camera that stands still
SINGLE_GRADIENT = 60.0  # a single video's median gradient at the edge of a mark
LEAST_EDGE_PIXELS = 24  # a mark has at least so many edge pixels at a side of 480
QUANTUM = 2  # Sobel levels per unit of the stored int8: 254 is strong whatever it is
COLOUR_CELLS = 8
RIM = 8  # pixels beside the picture's own that belong to the edge of a bar


@dataclass(frozen=True)
class StaticSummary:
    """What one video says about marks, small enough to keep for each video of a folder."""

    gradient: np.ndarray
    """Median over time of the Sobel gradient (x, y) in units of `QUANTUM`, int8 [h, w, 2]."""
    colours: np.ndarray
    """Median over time of the picture, shrunk to uint8 [8, 8, 3]: whether two videos show one scene."""
    looks: np.ndarray
    """Pictures from all over the video, shrunk likewise, uint8 [n, 8, 8, 3]: whether one is a part of the other."""

    @property
    def levels(self) -> np.ndarray:
        """The gradient in Sobel levels, float32 [h, w, 2]."""
        return self.gradient.astype(np.float32) * QUANTUM


@dataclass(frozen=True)
class Sampled:
    """Frames spread over one video, and their gradients."""

    frames: np.ndarray
    """uint8 RGB [n, h, w, 3]."""
    greys: np.ndarray
    """uint8 [n, h, w]."""
    each: np.ndarray
    """Sobel gradient (x, y) of each frame, int16 [n, h, w, 2]."""
    median: np.ndarray
    """Their median over time, int16 [h, w, 2]; nothing where bars end."""


def grid(width: int, height: int, side: int) -> tuple[int, int]:
    """Return (width, height) with the longer one at most ``side``; videos of nearly one shape get one size."""
    scale = min(1.0, side / max(width, height))
    width, height = max(8, round(width * scale)), max(8, round(height * scale))
    # 592x336 and 596x336 may carry the same mark.
    return (width, height) if max(width, height) < side else (round(width / 8) * 8, round(height / 8) * 8)


def sample(frames: Sequence[np.ndarray], inside: IntBox | None = None) -> Sampled:
    """Return frames, each uint8 RGB [h, w, 3] at `grid` size, with their gradients.

    Args:
        frames: at least one.
        inside: x0, y0, x1, y1 of the picture without bars, whose edges would be marks; default all.
    """
    greys = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    each = np.stack([gradients(grey) for grey in greys])
    median = np.partition(each, len(each) // 2, axis=0)[len(each) // 2]
    edges = np.zeros_like(median)
    # A bar's edge is no part of the light around what lies beside it. In a bar a mark is as plain as it can be.
    for part in _picture_and_bars(inside, *greys.shape[1:]):
        edges[part] = _edges_only(median[part])
    return Sampled(np.stack(frames), greys, each, edges)


def _picture_and_bars(inside: IntBox | None, height: int, width: int) -> list[tuple[slice, slice]]:
    """The rows and columns of the picture, and of each bar without its edge."""
    x0, y0, x1, y1 = inside or (0, 0, width, height)
    rows, across = slice(y0, y1), slice(0, width)
    return [
        (rows, slice(x0, x1)),
        (slice(0, max(0, y0 - RIM)), across),
        (slice(y1 + RIM, height), across),
        (rows, slice(0, max(0, x0 - RIM))),
        (rows, slice(x1 + RIM, width)),
    ]


def gradients(grey: np.ndarray) -> np.ndarray:
    """Return the Sobel gradient (x, y) of a uint8 picture, int16 [H, W, 2]."""
    return np.stack([cv2.Sobel(grey, cv2.CV_16S, 1, 0), cv2.Sobel(grey, cv2.CV_16S, 0, 1)], axis=-1)


def _edges_only(gradient: np.ndarray) -> np.ndarray:
    """Take out light that changes slowly over the picture; a stroke goes up and down again. int16 [h, w, 2]."""
    around = max(9, max(gradient.shape[:2]) // 16 | 1)
    inner = gradient[1:-1, 1:-1]  # Sobel sees no slope across the rim
    edges = np.zeros_like(gradient)
    if inner.size == 0:
        return edges
    mean = cv2.blur(inner.astype(np.float32), (around, around), borderType=cv2.BORDER_REPLICATE)
    edges[1:-1, 1:-1] = inner - np.round(mean).astype(np.int16)
    return edges


def summarise(sampled: Sampled) -> StaticSummary:
    """Return what a folder needs to know of one video."""
    small = [cv2.resize(f, (COLOUR_CELLS, COLOUR_CELLS), interpolation=cv2.INTER_AREA) for f in sampled.frames]
    gradient = np.clip(np.round(sampled.median / QUANTUM), -127, 127).astype(np.int8)
    return StaticSummary(gradient, np.median(small, axis=0).astype(np.uint8), np.stack(small[::2]))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two gradient fields of any equal shape about zero; 0 if one is nothing."""
    norm = float(np.sqrt((a * a).sum(dtype=np.float64) * (b * b).sum(dtype=np.float64)))
    return float((a * b).sum(dtype=np.float64)) / norm if norm > 0 else 0.0


def marks_in_one(sampled: Sampled) -> list[tuple[np.ndarray, float]]:
    """Return the marks seen in one video by itself, the strongest first.

    Args:
        sampled: frames spread over the video.

    Returns:
        Per mark its pixels, bool [h, w], and a score; below .5 unless it looks at the end as it did at first, has
        edges in two directions, and nearly all else moves: a standing camera holds its whole picture still, a pan the
        lines along its way, a zoom what it aims at, for a while.
    """
    if len(sampled.frames) < 6:
        return []
    edge = _still_edges(sampled)
    std = cv2.GaussianBlur(sampled.greys.astype(np.float32).std(axis=0), (0, 0), 6)
    edge &= std > SURROUNDINGS_STD
    height, width = edge.shape
    least = LEAST_EDGE_PIXELS * max(height, width) // SIDE
    marks = [pixels for pixels in regions(edge, least=least) if area(around(pixels)) <= 0.12 * width * height]
    marks.sort(key=lambda pixels: -float(np.hypot(*sampled.median[pixels].astype(np.float32).T).sum()))
    marks = marks[:MOST_SINGLE]
    steady = [_stays(sampled, pixels) for pixels in marks]
    held = sum(int((edge & pixels).sum()) for pixels, stays in zip(marks, steady, strict=True) if stays)
    all_else_moves = (std > SURROUNDINGS_STD).mean() > MOVING_SHARE
    all_else_moves &= held > HELD_SHARE * edge.sum()
    return [(pixels, 0.6 if stays and all_else_moves else 0.3) for pixels, stays in zip(marks, steady, strict=True)]


def _still_edges(sampled: Sampled) -> np.ndarray:
    """Where most frames have the strong gradient of the median, bool [h, w]."""
    median = sampled.median.astype(np.float32)
    strength = np.hypot(median[..., 0], median[..., 1])
    strong = strength > SINGLE_GRADIENT
    at = sampled.each[:, strong].astype(np.float32)  # [n, pixels, 2]
    along = (at * median[strong]).sum(-1) / strength[strong]
    still = np.zeros_like(strong)
    still[strong] = (along > 0.5 * strength[strong]).mean(axis=0) > COHERENCE
    return still


def _stays(sampled: Sampled, pixels: np.ndarray) -> bool:
    """Whether a mark looks in the first third of the video as in the last, and is more than a line."""
    thirds = np.array_split(sampled.each[:, pixels], 3)
    alike = correlation(np.median(thirds[0], axis=0), np.median(thirds[2], axis=0))
    median = sampled.median[pixels].astype(np.float64)  # [pixels, 2]
    across, along = np.linalg.eigvalsh(median.T @ median)
    return alike >= STEADY and across >= TWO_WAYS * along


def regions(edge: np.ndarray, *, least: int) -> list[np.ndarray]:
    """Group edge pixels that lie near each other, and fill what they enclose: bool [h, w] per group of ``least``."""
    height, width = edge.shape
    reach = max(1, round(max(height, width) / 48))
    near = cv2.dilate(edge.astype(np.uint8), np.ones((reach, 2 * reach + 1), np.uint8))
    count, labels = cv2.connectedComponents(near)
    groups = []
    for label in range(1, count):
        own = edge & (labels == label)
        if own.sum() >= max(4, least):
            groups.append(fill(own))
    return groups


def fill(edge: np.ndarray, *, reach: int | None = None) -> np.ndarray:
    """Close gaps between edges and fill what they enclose; bool [h, w].

    Args:
        edge: bool [h, w].
        reach: widest gap that is closed, pixels; default small ones.
    """
    height, width = edge.shape
    reach = reach or 2 * max(1, round(max(height, width) / 240)) + 1
    closed = cv2.morphologyEx(np.pad(edge.astype(np.uint8), reach), cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    outside = closed.copy()
    cv2.floodFill(outside, np.zeros((outside.shape[0] + 2, outside.shape[1] + 2), np.uint8), (0, 0), (2,))
    holes = outside == 0
    # A hole as large as a tenth of the frame is a frame around the picture, not a filled letter.
    _, labels, stats, _ = cv2.connectedComponentsWithStats(holes.astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] <= 0.1 * height * width
    small[0] = False
    filled = (closed > 0) | small[labels]
    return filled[reach:-reach, reach:-reach]

"""Marks that stand still, in one video: where the median over time of signed gradients is strong (Dekel et al. 2017).

The scene's gradients change sign as it moves and their median is near nothing; those of a mark stay. A camera that
stands still makes marks of everything, so one video alone is weak evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidboot.corruption.thresholds import StaticThresholds

QUANTUM = 2  # Sobel levels per unit of the stored int8: 254 is strong whatever it is
COLOUR_CELLS = 8


@dataclass(frozen=True)
class StaticSummary:
    """What one video says about marks, small enough to keep for each video of a folder."""

    gradient: np.ndarray
    """Median over time of the Sobel gradient (x, y) in units of `QUANTUM`, int8 [h, w, 2]."""
    colours: np.ndarray
    """Median over time of the picture, shrunk to uint8 [8, 8, 3]: whether two videos show one scene."""

    @property
    def levels(self) -> np.ndarray:
        """The gradient in Sobel levels, float32 [h, w, 2]."""
        return self.gradient.astype(np.float32) * QUANTUM


def grid(width: int, height: int, side: int) -> tuple[int, int]:
    """Return (width, height) with the longer one at most ``side``."""
    scale = min(1.0, side / max(width, height))
    return max(8, round(width * scale)), max(8, round(height * scale))


def gradients(grey: np.ndarray) -> np.ndarray:
    """Return the Sobel gradient (x, y) of a uint8 picture, int16 [H, W, 2]."""
    return np.stack([cv2.Sobel(grey, cv2.CV_16S, 1, 0), cv2.Sobel(grey, cv2.CV_16S, 0, 1)], axis=-1)


def summarise(frames: Sequence[np.ndarray]) -> StaticSummary:
    """Return the summary of frames spread over a video, each uint8 RGB [h, w, 3] at `grid` size."""
    each = np.stack([gradients(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in frames])
    median = np.median(each, axis=0)
    small = np.stack([cv2.resize(f, (COLOUR_CELLS, COLOUR_CELLS), interpolation=cv2.INTER_AREA) for f in frames])
    return StaticSummary(
        np.clip(np.round(median / QUANTUM), -127, 127).astype(np.int8), np.median(small, axis=0).astype(np.uint8)
    )


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two gradient fields of any equal shape about zero; 0 if one is nothing."""
    norm = float(np.sqrt((a * a).sum(dtype=np.float64) * (b * b).sum(dtype=np.float64)))
    return float((a * b).sum(dtype=np.float64)) / norm if norm > 0 else 0.0


def mark_in_one(
    frames: Sequence[np.ndarray], *, shots: int, thresholds: StaticThresholds
) -> list[tuple[np.ndarray, float]]:
    """Return the marks seen in one video by itself.

    Args:
        frames: spread over the video, each uint8 RGB [h, w, 3].
        shots: number of shots they come from.
        thresholds: see there.

    Returns:
        Per mark its pixels, bool [h, w], and a score; below .5 unless the video has a cut or moves strongly and the
        mark is compact.
    """
    if len(frames) < 6:
        return []
    greys = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    each = np.stack([gradients(grey) for grey in greys]).astype(np.float32)
    median = np.median(each, axis=0)
    strength = np.hypot(median[..., 0], median[..., 1])
    along = (each * median).sum(-1) / np.maximum(strength, 1)
    agrees = (along > 0.5 * strength).mean(axis=0)
    std = cv2.GaussianBlur(greys.astype(np.float32).std(axis=0), (0, 0), 6)
    edge = (strength > thresholds.single_gradient) & (agrees > thresholds.coherence)
    edge &= std > thresholds.surroundings_std
    height, width = edge.shape
    moving = float((std > thresholds.surroundings_std).mean())
    motion = float(np.median(std))
    marks = []
    for pixels in regions(edge, least=thresholds.least_edge_pixels * max(width, height) // thresholds.side):
        compact = _box_area(pixels) <= 0.12 * width * height
        sure = compact and moving > 0.9 and (shots >= 2 or motion > 25)
        marks.append((pixels, 0.6 if sure else 0.3 if compact else 0.1))
    return marks


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


def fill(edge: np.ndarray) -> np.ndarray:
    """Close small gaps between edges and fill what they enclose; bool [h, w]."""
    height, width = edge.shape
    reach = 2 * max(1, round(max(height, width) / 240)) + 1
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


def _box_area(pixels: np.ndarray) -> int:
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    return int((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1))

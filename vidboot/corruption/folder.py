"""Marks that stand still in the same place in many videos of a folder: far surer than one video can be.

Every scene has one vote. A mark on most scenes stands out of the pixelwise median of their gradients. One on few, or
one of several, is found by votes: at its edges the same clips show the same direction, which chance does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidboot.corruption.static import StaticSummary, correlation, regions
from vidboot.corruption.thresholds import StaticThresholds

MOST_CLIPS = 192  # clips that vote; more say nothing new
DIRECTIONS = 16
BLOCKS = 4  # the frame in 4x4 blocks: two clips of one scene agree in most of them, two with one mark in few


@dataclass(frozen=True)
class FolderMark:
    """A mark seen in several scenes of one shape of picture."""

    pixels: np.ndarray
    """bool [h, w] at the summaries' size."""
    template: np.ndarray
    """Its gradient, float32 [n, 2], at ``edge``."""
    edge: np.ndarray
    """Where the template is taken, bool [h, w] with n True."""
    scenes: int
    """How many scenes show it."""

    def presence(self, clip: StaticSummary) -> float:
        """Return how much a clip's gradient correlates with the mark's, -1 to 1."""
        return correlation(clip.levels[self.edge], self.template)


def folder_marks(clips: Sequence[StaticSummary], *, thresholds: StaticThresholds) -> list[FolderMark]:
    """Return the marks of clips whose pictures have one shape (all gradients [h, w, 2])."""
    votes = scenes(clips, levels=thresholds.same_scene_levels)
    if len(votes) > MOST_CLIPS:
        kept = np.random.default_rng(len(votes)).choice(len(votes), MOST_CLIPS, replace=False)
        votes = [votes[i] for i in sorted(kept)]
    if len(votes) < thresholds.least_scenes:
        return []
    fields = np.stack([np.median([clips[i].levels for i in scene], axis=0) for scene in votes]).astype(np.float32)
    marks: list[FolderMark] = []
    claimed = np.zeros(fields.shape[1:3], bool)
    for edge, subset in _candidates(fields, thresholds):
        if (edge & claimed).sum() > 0.3 * edge.sum():
            continue
        mark = _refine(fields, edge, subset, thresholds)
        if mark is not None:
            marks.append(mark)
            claimed |= cv2.dilate(mark.pixels.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            # What one mark explains speaks for no other.
            fields[:, claimed] = 0
    return marks


def scenes(clips: Sequence[StaticSummary], *, levels: float) -> list[list[int]]:
    """Group clips that show one scene (colours and edges agree with the group's first): indices per group."""
    groups: list[list[int]] = []
    for i, clip in enumerate(clips):
        for group in groups:
            first = clips[group[0]]
            alike = np.abs(clip.colours.astype(np.int16) - first.colours).mean() < levels
            if alike and _edges_agree(clip.levels, first.levels):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _edges_agree(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two gradient fields agree all over the frame, not only where a mark may be."""
    blocks = [
        correlation(p, q)
        for rows_a, rows_b in zip(np.array_split(a, BLOCKS), np.array_split(b, BLOCKS), strict=True)
        for p, q in zip(np.array_split(rows_a, BLOCKS, 1), np.array_split(rows_b, BLOCKS, 1), strict=True)
    ]
    return sum(block > 0.4 for block in blocks) >= BLOCKS * BLOCKS // 2


def _candidates(fields: np.ndarray, thresholds: StaticThresholds) -> list[tuple[np.ndarray, np.ndarray]]:
    """Edge pixels, bool [h, w], and the scenes that may show them, [m]; the best supported first."""
    everyone = np.arange(len(fields))
    found = [(edge, everyone) for edge in _edge_regions(fields, thresholds)] if len(fields) >= 4 else []
    return found + _voted(fields, thresholds)


def _edge_regions(fields: np.ndarray, thresholds: StaticThresholds) -> list[np.ndarray]:
    """Regions of edges of the median over ``fields``, by hysteresis."""
    median = np.median(fields, axis=0)
    strength = np.hypot(median[..., 0], median[..., 1])
    sigma = max(1.4826 * float(np.median(np.abs(median))), thresholds.least_gradient / thresholds.strong_sigma)
    weak = strength > max(thresholds.weak_sigma * sigma, thresholds.least_gradient / 2)
    strong = strength > max(thresholds.strong_sigma * sigma, thresholds.least_gradient)
    _, labels = cv2.connectedComponents(weak.astype(np.uint8))
    begun = np.unique(labels[strong])
    edge = np.isin(labels, begun[begun > 0])
    return _grouped(edge, thresholds)


def _grouped(edge: np.ndarray, thresholds: StaticThresholds) -> list[np.ndarray]:
    height, width = edge.shape
    least = thresholds.least_edge_pixels * max(height, width) // thresholds.side
    return [edge & pixels for pixels in regions(edge, least=least)]


def _voted(fields: np.ndarray, thresholds: StaticThresholds) -> list[tuple[np.ndarray, np.ndarray]]:
    N = len(fields)
    least = max(thresholds.least_scenes, int(np.ceil(thresholds.least_share * N)))
    strength = np.hypot(fields[..., 0], fields[..., 1])
    turn = np.arctan2(fields[..., 1], fields[..., 0]) / (2 * np.pi) * DIRECTIONS
    direction = np.floor(turn + 0.5).astype(np.int8) % DIRECTIONS
    strong = strength > thresholds.vote_gradient
    ballots = np.stack([(strong & (direction == k)).sum(axis=0) for k in range(DIRECTIONS)])  # [8, h, w]
    # An edge may lie on the border of two directions.
    both = ballots + np.roll(ballots, 1, axis=0)
    count, best = both.max(axis=0), both.argmax(axis=0)
    voters = strong & ((direction == best) | (direction == (best - 1) % DIRECTIONS))  # [N, h, w]
    found = []
    # The more scenes must agree, the less of the rest hangs on to a mark.
    for wanted in sorted({*(round(N * 0.75**k) for k in range(10)), least}, reverse=True):
        if wanted < least:
            continue
        for region in _grouped(count >= wanted, thresholds):
            subset = np.flatnonzero(voters[:, region].mean(axis=1) > 0.5)
            if len(subset) >= least:
                found.append((region, subset))
    return found


def _refine(
    fields: np.ndarray, edge: np.ndarray, subset: np.ndarray, thresholds: StaticThresholds
) -> FolderMark | None:
    """Fit the template to the scenes that show it; None if they do not agree by themselves.

    The edge was chosen because scenes agree there, so agreement on it proves little. Each scene is compared with the
    median of the others, on everything near the edge: chance leaves the pixels in between at odds.
    """
    least = max(thresholds.least_scenes, int(np.ceil(thresholds.least_share * len(fields))))
    near = cv2.dilate(edge.astype(np.uint8), _square(edge)) > 0
    local = np.clip(fields[:, near], -thresholds.most_gradient, thresholds.most_gradient)  # [N, n, 2]
    for _ in range(3):
        agreement = np.array([_agreement(local, subset, i) for i in range(len(local))])
        subset = np.flatnonzero(agreement >= thresholds.presence)
        if len(subset) < least:
            return None
    # Few scenes agree by chance somewhere, so they must agree better.
    wanted = thresholds.agreement + thresholds.few_scenes * max(0, 6 - len(subset))
    if float(np.median(agreement[subset])) < wanted:
        return None
    return _whole_mark(fields[subset], edge, thresholds)


def _whole_mark(fields: np.ndarray, edge: np.ndarray, thresholds: StaticThresholds) -> FolderMark | None:
    """The mark that begins with ``edge``: every edge near it on which the scenes that show it agree."""
    own = np.median(fields, axis=0)
    strength = np.hypot(own[..., 0], own[..., 1])
    along = (fields * own).sum(-1) / np.maximum(strength, 1)
    agree = (along > 0.4 * strength).mean(axis=0) >= 0.75
    agree &= strength > max(thresholds.least_gradient, 0.3 * float(np.percentile(strength[edge], 90)))
    reach = max(1, round(max(edge.shape) / 24))
    agree &= cv2.dilate(edge.astype(np.uint8), np.ones((8 * reach + 1, 8 * reach + 1), np.uint8)) > 0
    _, labels = cv2.connectedComponents(cv2.dilate((agree | edge).astype(np.uint8), np.ones((reach, reach), np.uint8)))
    grown = agree & np.isin(labels, np.unique(labels[edge]))
    pieces = regions(grown, least=1)
    if not pieces:
        return None
    return FolderMark(np.any(pieces, axis=0), own[grown], grown, len(fields))


def _square(edge: np.ndarray) -> np.ndarray:
    """What is near an edge: 4 px at a side of 480."""
    side = 2 * max(1, round(max(edge.shape) / 120)) + 1
    return np.ones((side, side), np.uint8)


def _agreement(local: np.ndarray, subset: np.ndarray, i: int) -> float:
    """Correlation of scene ``i`` with the median of the others of ``subset``."""
    others = subset[subset != i]
    return correlation(local[i], np.median(local[others], axis=0)) if len(others) else 0.0

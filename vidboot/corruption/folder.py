"""Marks that stand still in the same place in many videos of a folder: far surer than one video can be.

Every scene counts once. Those that agree at a place, be they all or few, show a mark there; its pixels are where
their gradients have one direction, more than they have anywhere when the scenes are moved against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np

from vidboot.corruption import kin
from vidboot.corruption.static import StaticSummary, correlation, fill, regions
from vidboot.corruption.thresholds import FolderThresholds

MOST_SCENES = 64  # that are compared; more say nothing new
SPREAD_BLOCKS = 8  # along a side, to see how far a mark is spread
BLOCKS = 4  # the frame in 4x4 blocks: two clips of one scene agree in most of them, two with one mark in few
STROKE = 240  # of these along the longer side: a mark's edges have neighbours so near
DOUBTFUL = 0.4  # score
PIECE = 12  # pixels of a faint part of a mark, at least
MOVED = 8  # times the scenes are moved against each other


@dataclass(frozen=True)
class FolderMark:
    """A mark seen in several scenes of one shape of picture."""

    pixels: np.ndarray
    """bool [h, w] at the summaries' size."""
    presence: np.ndarray
    """How surely each clip shows it, in sigma of chance, [clips]."""
    shifts: np.ndarray
    """How far from ``pixels`` each clip shows it, pixels down and right, [clips, 2]."""
    scenes: int
    """How many scenes show it."""

    @property
    def spread(self) -> float:
        """Share of the picture's blocks that it has a part in."""
        blocks = self.pixels
        for axis, size in enumerate(blocks.shape):
            edges = np.linspace(0, size, min(SPREAD_BLOCKS, size), endpoint=False).astype(int)
            blocks = np.logical_or.reduceat(blocks, edges, axis)
        return float(blocks.mean())


def folder_marks(clips: Sequence[StaticSummary], *, thresholds: FolderThresholds) -> list[FolderMark]:
    """Return the marks of clips whose pictures have one shape (all gradients [h, w, 2]), the surest first."""
    if not clips:
        return []
    votes = scenes(clips, thresholds=thresholds)
    if len(votes) > MOST_SCENES:
        kept = np.random.default_rng(len(votes)).choice(len(votes), MOST_SCENES, replace=False)
        votes = [votes[i] for i in sorted(kept)]
    unit = kin.directions(np.stack([np.median([clips[i].levels for i in scene], axis=0) for scene in votes]))
    links = {tile: kin.linked(unit, tile) for tile in kin.tiles(*unit.shape[1:3])}
    marks: list[FolderMark] = []
    while (found := kin.surest_kin(unit, links, sigma=thresholds.sure_sigma)) is not None:
        own = np.stack([kin.moved(unit[i], by) for i, by in zip(found.members, found.shifts, strict=True)])
        place = kin.place(own, found.tile, sigma=thresholds.sure_sigma)
        pixels = _common(own, place, thresholds)
        if pixels.any():
            shown_by = {k: votes[scene] for k, scene in enumerate(found.members)}
            marks.append(FolderMark(pixels, *_presence(clips, own, shown_by, pixels), len(own)))
        # What one mark explains in a scene speaks for no other.
        for i, by in zip(found.members, found.shifts, strict=True):
            unit[i][kin.moved(place, -by)] = 0
        links |= {tile: kin.linked(unit, tile) for tile in links if tile.of(place[..., None]).any()}
    return marks


def sureness(mark: FolderMark, presence: float, thresholds: FolderThresholds) -> float:
    """Return the score, 0 to 1, of a mark in a clip that shows it by ``presence`` sigma.

    It is below .5 for what takes much of the picture, which may be a room filmed more than twice, in other light, and
    for what a few scenes have in common all over the picture: they may be versions of one film.
    """
    score = round(presence / (presence + thresholds.sure_sigma), 3)
    one_film = mark.spread > thresholds.most_spread and mark.scenes < thresholds.enough_scenes
    return min(score, DOUBTFUL) if one_film or mark.pixels.mean() > thresholds.most_area else score


def _presence(
    clips: Sequence[StaticSummary], own: np.ndarray, shown_by: Mapping[int, Sequence[int]], pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How surely each clip shows what scenes [m, h, w, 2] other than its own have in common at a mark, [clips].

    And how far from there, [clips, 2].
    """
    box = kin.box_around(pixels)
    shown = kin.whitened(box.of(own))
    sure, shifts = [], []
    for i, clip in enumerate(clips):
        others = shown[[i not in shown_by[k] for k in range(len(shown))]]
        one, by = kin.siding(kin.whitened(box.of(kin.directions(clip.levels[None])))[0], others)
        sure.append(one)
        shifts.append(-by)
    return np.array(sure), np.stack(shifts)


def scenes(clips: Sequence[StaticSummary], *, thresholds: FolderThresholds) -> list[list[int]]:
    """Group clips that show one scene: indices.

    Their colours agree all but wholly with those of any other in the group, or well, and their edges, too; or one is
    made of what the other shows.
    """
    colours = np.stack([clip.colours.ravel() for clip in clips]).astype(np.float32)
    # By ranks: one bright mark in the dark makes no scene.
    unit, ranks = _unit(colours), _unit(_ranks(colours))
    looks = [_unit(_ranks(clip.looks.reshape(len(clip.looks), -1))) for clip in clips]
    every, firsts = np.concatenate(looks), np.cumsum([0, *map(len, looks)])
    groups: list[list[int]] = []
    for i, clip in enumerate(clips):
        near = np.abs(colours[:i] - colours[i]).mean(1) < thresholds.same_scene_levels
        near |= unit[:i] @ unit[i] > thresholds.same_scene_colours  # one may be brighter, or damaged
        # Where the camera moves no edge stays.
        same = ranks[:i] @ ranks[i] > thresholds.same_film_colours
        if i:
            same |= _parts(looks[i], every[: firsts[i]], firsts[:i], thresholds.same_film_colours)
        own = [
            group
            for group in groups
            if any(same[k] or (near[k] and _edges_agree(clip.levels, clips[k].levels)) for k in group)
        ]
        groups = [group for group in groups if group not in own] + [sorted([i, *chain.from_iterable(own)])]
    return sorted(groups)


def _parts(looks: np.ndarray, known: np.ndarray, firsts: np.ndarray, least: float) -> np.ndarray:
    """Say of each known video whether half of the looks at it are like some at this one, or the other way round.

    Args:
        looks: at this video, of length 1, [n, values].
        known: at the others, one after the other, [m, values].
        firsts: where each of them begins, [videos].
        least: correlation of looks that are alike.

    Returns:
        bool [videos].
    """
    alike = looks @ known.T > least  # [n, m]
    inside = np.logical_or.reduceat(alike, firsts, axis=1).mean(0)
    counts = np.diff([*firsts, len(known)])
    around = np.add.reduceat(alike.any(0).astype(float), firsts) / counts
    return np.maximum(inside, around) >= 0.5


def _ranks(rows: np.ndarray) -> np.ndarray:
    """Return the rank of each value in its row, equal ones of equal rank: what is of one brightness is like nothing."""
    return np.stack([(row > row[:, None]).sum(0) + 0.5 * (row == row[:, None]).sum(0) for row in rows])


def _unit(rows: np.ndarray) -> np.ndarray:
    """Centre each row and give it length 1: products are correlations."""
    centred = rows - rows.mean(1, keepdims=True)
    return (centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)).astype(np.float32)


def _edges_agree(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two gradient fields agree all over the frame, not only where a mark may be."""
    blocks = [
        correlation(p, q)
        for rows_a, rows_b in zip(np.array_split(a, BLOCKS), np.array_split(b, BLOCKS), strict=True)
        for p, q in zip(np.array_split(rows_a, BLOCKS, 1), np.array_split(rows_b, BLOCKS, 1), strict=True)
    ]
    return sum(block > 0.4 for block in blocks) >= BLOCKS * BLOCKS // 2


def _common(unit: np.ndarray, place: np.ndarray, thresholds: FolderThresholds) -> np.ndarray:
    """The pixels of a place where scenes [m, h, w, 2] have one direction, by hysteresis, filled: bool [h, w]."""
    rng = np.random.default_rng(len(unit))
    height, width = place.shape
    inside = kin.seen(unit)
    # A busy scene says less about each of its pixels.
    busy = [
        _blur((u**2).sum(-1), kin.TILE) / np.maximum(_blur(i, kin.TILE), 1e-3)
        for u, i in zip(unit, inside, strict=True)
    ]
    unit = unit / np.sqrt(np.maximum(busy, 1e-3))[..., None]
    fields = np.concatenate([unit, inside[..., None]], axis=-1)
    chance = []
    for _ in range(MOVED):
        ways = zip(rng.integers(height, size=len(unit)), rng.integers(width, size=len(unit)), strict=True)
        chance.append(_coherence(np.stack([np.roll(f, way, (0, 1)) for f, way in zip(fields, ways, strict=True)]))[1])
    weak, strong = np.quantile(chance, [1 - thresholds.weak_chance, 1 - thresholds.strong_chance])
    mean, sure = (field * place for field in _coherence(fields))
    begins = sure > strong
    if not begins.any():
        return np.zeros_like(place)
    # What agrees far less than the mark does is what the codec leaves around it.
    plain = np.percentile(mean[begins], 90)
    edge = (sure > weak) & (mean > thresholds.halo * plain)
    _, labels = cv2.connectedComponents(edge.astype(np.uint8))
    begun = np.unique(labels[begins & edge])
    edge = np.isin(labels, begun[begun > 0])
    least = round(thresholds.least_edge * max(height, width))
    mark = np.any(regions(edge, least=least) or [np.zeros_like(edge)], axis=0)
    if not mark.any():
        return mark
    near = round(thresholds.near * max(height, width))
    mark = with_faint_parts(mark, (sure > weak) & (mean > thresholds.faint * plain), near)
    # A disc or a plate has edges only at its rim, with gaps where busy scenes hide them.
    return fill(mark, reach=near | 1)


def with_faint_parts(mark: np.ndarray, edge: np.ndarray, near: int) -> np.ndarray:
    """Add pieces of edge that begin nowhere surely, but near a mark, and near those, bool [h, w]."""
    _, labels = cv2.connectedComponents(edge.astype(np.uint8))
    large = np.bincount(labels.ravel()) >= PIECE
    large[0] = False
    for _ in range(2):
        around = cv2.distanceTransform((~mark).astype(np.uint8), cv2.DIST_L2, 3) <= near
        mark = mark | np.isin(labels, [label for label in np.unique(labels[around]) if large[label]])
    return mark


def _coherence(fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How every two scenes agree around each pixel, of those pairs of which both say something there.

    Args:
        fields: directions, and whether the scene says something, [m, h, w, 3].

    Returns:
        Their mean agreement, [h, w], and that in units of one chance for all pixels: fewer pairs agree by chance.
    """
    unit, inside = fields[..., :2], fields[..., 2].sum(0)
    m, height, width = fields.shape[:3]
    side = 2 * round(max(height, width) / STROKE) + 1
    agree = _blur((unit.sum(0) ** 2).sum(-1) - (unit**2).sum((0, -1)), side)
    pairs = np.maximum(_blur(inside * (inside - 1), side), 1e-3)
    return agree / pairs, agree / np.sqrt(pairs * m * (m - 1))


def _blur(field: np.ndarray, side: int) -> np.ndarray:
    return cv2.blur(field.astype(np.float32), (side, side))

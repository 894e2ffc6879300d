"""Marks that stand still in the same place in many videos of a folder: far surer than one video can be.

Every scene counts once. Those that agree at a place, be they all or few, show a mark there; its pixels are where
their gradients have one direction, more than they have anywhere when the scenes are moved against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np

from vidboot.corruption import kin
from vidboot.corruption.static import StaticSummary, correlation, fill, regions

SAME_SCENE_LEVELS = 8.0  # clips whose small pictures differ by less, levels, are one scene and have one vote
SAME_SCENE_COLOURS = 0.85  # so are clips whose small pictures correlate by more: one may be brighter
SAME_FILM_COLOURS = 0.97  # those that correlate by more, rank by rank, are one scene whatever their edges say
SURE_SIGMA = 5.0  # of chance by which every two of three scenes that show one mark agree, and each with the others
USUAL_SIGMA = 4.0  # one more clip shows a mark from so many sigma on, if most scenes do
STRONG_CHANCE = 3e-4  # a mark's edge begins where scenes agree as in this share of the pixels when moved apart
WEAK_CHANCE = 1e-2  # it goes on where they agree as in this share
HALO = 0.3  # and by at least this share of what they agree by where the mark is plain: less is what the codec leaves
NEAR = 1 / 24  # of the longer side: so near a mark lies what is a faint part of it; so wide are gaps in its rim
LEAST_EDGE = 0.05  # a mark has at least so many edge pixels for each pixel of the picture's longer side
MOST_AREA = 0.35  # what takes more of the picture waits for review: a room filmed by day and by night is no mark
MOST_SPREAD = 0.5  # so does what has a part in more of 8x8 blocks of the picture,
ENOUGH_SCENES = 5  # where fewer scenes than this show it
MOST_CLIPS = 64  # that are compared; more say nothing new
SPREAD_BLOCKS = 8  # along a side, to see how far a mark is spread
BLOCKS = 4  # the frame in 4x4 blocks: two clips of one scene agree in most of them, two with one mark in few
STROKE = 240  # of these along the longer side: a mark's edges have neighbours so near
DOUBTFUL = 0.4  # score
PIECE = 6  # pixels of a faint part of a mark, at least
CHANCES = 8  # times the scenes are moved against each other


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
    """How many scenes show it,"""
    share: float
    """and which share of all that were compared."""

    @property
    def spread(self) -> float:
        """Share of the picture's blocks that it has a part in."""
        blocks = self.pixels
        for axis, size in enumerate(blocks.shape):
            edges = np.linspace(0, size, min(SPREAD_BLOCKS, size), endpoint=False).astype(int)
            blocks = np.logical_or.reduceat(blocks, edges, axis)
        return float(blocks.mean())


def folder_marks(clips: Sequence[StaticSummary]) -> list[FolderMark]:
    """Return the marks of clips whose pictures have one shape (all gradients [h, w, 2]), the surest first."""
    if not clips:
        return []
    scene_of = np.empty(len(clips), int)
    for scene, group in enumerate(scenes(clips)):
        scene_of[group] = scene
    kept = asked(scene_of)
    unit, voter = kin.directions(np.stack([clips[i].levels for i in kept])), scene_of[kept]
    links = {tile: kin.linked(unit, tile, voter) for tile in kin.tiles(*unit.shape[1:3])}
    marks: list[FolderMark] = []
    while (found := kin.surest_kin(unit, links, voter, sigma=SURE_SIGMA)) is not None:
        each = np.stack([kin.moved(unit[i], by) for i, by in zip(found.members, found.shifts, strict=True)])
        shown_by = np.unique(voter[found.members])
        own = np.stack([each[voter[found.members] == scene].mean(0) for scene in shown_by])
        place = kin.place(own, found.tile, sigma=SURE_SIGMA)
        pixels = _common(own, place)
        if pixels.any():
            presence, shifts = _presence(clips, own, scene_of, shown_by, pixels)
            marks.append(FolderMark(pixels, presence, shifts, len(own), len(own) / len(np.unique(voter))))
        # What one mark explains in a clip speaks for no other; nor may a rim of it, or this never ends.
        for i, by in zip(found.members, found.shifts, strict=True):
            unit[i][kin.moved(place, -by) | place] = 0
        links |= {tile: kin.linked(unit, tile, voter) for tile in links if tile.of(place[..., None]).any()}
    return marks


def asked(scene_of: np.ndarray) -> np.ndarray:
    """Return which clips to compare: of every scene one, then of every scene another, `MOST_CLIPS` at most."""
    shuffled = np.random.default_rng(len(scene_of)).permutation(len(scene_of))
    turn = np.zeros(len(scene_of), int)
    for scene in np.unique(scene_of):
        own = shuffled[scene_of[shuffled] == scene]
        turn[own] = np.arange(len(own))
    return np.sort(shuffled[np.argsort(turn[shuffled], kind="stable")][:MOST_CLIPS])


def needed(mark: FolderMark) -> float:
    """Return from which presence on, in sigma, a clip shows a mark: what most scenes show needs less."""
    return USUAL_SIGMA if mark.share > 0.5 else SURE_SIGMA


def sureness(mark: FolderMark, presence: float) -> float:
    """Return the score, 0 to 1, of a mark in a clip that shows it by ``presence`` sigma.

    It is below .5 for what takes much of the picture, which may be a room filmed more than twice, in other light, and
    for what a few scenes have in common all over the picture: they may be versions of one film.
    """
    score = round(presence / (presence + needed(mark)), 3)
    one_film = mark.spread > MOST_SPREAD and mark.scenes < ENOUGH_SCENES
    return min(score, DOUBTFUL) if one_film or mark.pixels.mean() > MOST_AREA else score


def _presence(
    clips: Sequence[StaticSummary], own: np.ndarray, scene_of: np.ndarray, shown_by: np.ndarray, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How surely each clip shows what scenes [m, h, w, 2] other than its own have in common at a mark, [clips].

    And how far from there, [clips, 2]. ``shown_by`` says which scenes, [m].
    """
    box = kin.box_around(pixels)
    shown = kin.whitened(box.of(own))
    sure, shifts = [], []
    for clip, scene in zip(clips, scene_of, strict=True):
        others = shown[shown_by != scene]
        one, by = kin.siding(kin.whitened(box.of(kin.directions(clip.levels[None])))[0], others)
        sure.append(one)
        shifts.append(-by)
    return np.array(sure), np.stack(shifts)


def scenes(clips: Sequence[StaticSummary]) -> list[list[int]]:
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
        near = np.abs(colours[:i] - colours[i]).mean(1) < SAME_SCENE_LEVELS
        near |= unit[:i] @ unit[i] > SAME_SCENE_COLOURS  # one may be brighter, or damaged
        # Where the camera moves no edge stays.
        same = ranks[:i] @ ranks[i] > SAME_FILM_COLOURS
        if i:
            same |= _parts(looks[i], every[: firsts[i]], firsts[:i], SAME_FILM_COLOURS)
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


def _common(unit: np.ndarray, place: np.ndarray) -> np.ndarray:
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
    for _ in range(CHANCES):
        ways = zip(rng.integers(height, size=len(unit)), rng.integers(width, size=len(unit)), strict=True)
        chance.append(_coherence(np.stack([np.roll(f, way, (0, 1)) for f, way in zip(fields, ways, strict=True)]))[1])
    weak, strong = np.quantile(chance, [1 - WEAK_CHANCE, 1 - STRONG_CHANCE])
    mean, sure = (field * place for field in _coherence(fields))
    begins = sure > strong
    if not begins.any():
        return np.zeros_like(place)
    # What agrees far less than the mark does is what the codec leaves around it.
    plain = np.percentile(mean[begins], 90)
    edge = (sure > weak) & (mean > HALO * plain)
    _, labels = cv2.connectedComponents(edge.astype(np.uint8))
    begun = np.unique(labels[begins & edge])
    least = round(LEAST_EDGE * max(height, width))
    mark = np.any(regions(np.isin(labels, begun[begun > 0]), least=least) or [np.zeros_like(edge)], axis=0)
    if not mark.any():
        return mark
    near = round(NEAR * max(height, width))
    mark = with_faint_parts(mark, edge, near)
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

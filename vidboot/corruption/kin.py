"""Scenes that have something in common at one place, found by phase: every two of them, tile by tile.

Where two pictures show one mark, the phases of their spectra agree at every frequency; what they share by chance (a
level horizon, a door post) is a line, and a line is few of the frequencies. All of them count alike here (phase
correlation, Kuglin and Hines 1975): then pixels are nearly independent, and agreement has a sigma of chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

TILE = 64  # pixels, overlapping by half
ROUNDS = 4  # in which members are added or left out
AROUND = 33  # side of a window, pixels: a gradient shorter than the root mean square in it counts less
FAINT = 8.0  # Sobel levels: so does any gradient shorter than this; longer ones count alike
REACH = 4  # pixels by which a mark may lie elsewhere in another scene: sizes differ a little, and so do crops
MOVED = 0.4  # what agreement after a move is worth: of so many moves one suits two door posts, too


@dataclass(frozen=True)
class Part:
    """A part of the picture, pixels."""

    x0: int
    y0: int
    x1: int
    y1: int

    def of(self, fields: np.ndarray) -> np.ndarray:
        """Return the part of fields [..., h, w, 2]."""
        return fields[..., self.y0 : self.y1, self.x0 : self.x1, :]


@dataclass(frozen=True)
class Kin:
    """Clips of three scenes or more that agree in one tile."""

    tile: Part
    members: np.ndarray
    """Their indices, [m]."""
    shifts: np.ndarray
    """How far each must be moved to lie on the first, pixels down and right, [m, 2]."""


@dataclass(frozen=True)
class Agreement:
    """How surely scenes show what others do, wherever they agree best."""

    sure: np.ndarray
    """In sigma of chance, [N, M]."""
    shifts: np.ndarray
    """How far the others must be moved for it, pixels down and right, [N, M, 2]."""


def directions(fields: np.ndarray) -> np.ndarray:
    """Return gradients [n, h, w, 2] no longer than 1: a strong edge of a scene says no more than one of a mark.

    And its texture, from which a mark stands out, says less.
    """
    energy = (fields**2).sum(-1)
    usual = np.sqrt(np.stack([cv2.blur(one, (AROUND, AROUND)) for one in energy]))
    return fields / np.maximum(np.maximum(np.sqrt(energy), usual), FAINT)[..., None]


def seen(unit: np.ndarray) -> np.ndarray:
    """Return where scenes [m, h, w, 2] say something, bool [m, h, w]: not in rows and columns without any gradient."""
    rows, columns = ((unit != 0).any(axis=(axis, 3)) for axis in (2, 1))
    return rows[:, :, None] & columns[:, None, :]


def whitened(unit: np.ndarray) -> np.ndarray:
    """Return `directions` [N, h, w, 2] with all frequencies alike, complex [N, h, w]: neighbours say nothing twice."""
    h, w = unit.shape[1:3]
    taper = np.outer(np.hanning(h + 2)[1:-1], np.hanning(w + 2)[1:-1])
    spectrum = np.fft.fft2((unit[..., 0] + 1j * unit[..., 1]) * taper)
    size = np.abs(spectrum)
    spectrum /= size + np.median(size, axis=(1, 2), keepdims=True) + 1e-6
    return np.fft.ifft2(spectrum, norm="ortho").astype(np.complex64)


def agreement(a: np.ndarray, b: np.ndarray) -> Agreement:
    """Return how surely each `whitened` scene of ``a`` [N, h, w] shows what each of ``b`` [M, h, w] does.

    That is their correlation, over what it would be if at each pixel they agreed or disagreed by chance: where they
    are, or, `MOVED` by at most `REACH` pixels, where they agree best.
    """
    N, M, h, w = len(a), len(b), *a.shape[1:]
    chance = 0.5 * ((np.abs(a) ** 2).reshape(N, -1) @ (np.abs(b) ** 2).reshape(M, -1).T) + 1e-9
    steps = np.arange(-REACH, REACH + 1)
    down, right = (np.exp(2j * np.pi * np.outer(steps, np.fft.fftfreq(n))).astype(np.complex64) for n in (h, w))
    at_a, at_b = (np.fft.fft2(x, norm="ortho").astype(np.complex64) for x in (a, b))
    each = np.stack([((down @ (one * at_b.conj())) @ right.T).real for one in at_a])  # [N, M, steps, steps]
    each /= np.sqrt(chance)[..., None, None]
    still = each[..., REACH, REACH]
    flat = each.reshape(N, M, -1)
    best = flat.argmax(-1)
    shifts = np.stack([steps[best // len(steps)], steps[best % len(steps)]], axis=-1)
    moves = MOVED * flat.max(-1) > still
    return Agreement(np.where(moves, MOVED * flat.max(-1), still), shifts * moves[..., None])


def moved(field: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return a field [h, w, ...] moved by ``shift`` pixels down and right, nothing where it came from."""
    height, width = field.shape[:2]
    y, x = (int(s) for s in shift)
    out = np.zeros_like(field)
    out[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = field[
        max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)
    ]
    return out


def siding(one: np.ndarray, others: np.ndarray) -> tuple[float, np.ndarray]:
    """Return how surely a `whitened` scene [h, w] shows what others [M, h, w] have in common, in sigma, and its shift.

    Of more than two the one that agrees best is left out: it may show the same room.
    """
    if len(others) > 2:
        others = np.delete(others, agreement(others, one[None]).sure.argmax(), axis=0)
    found = agreement(others.mean(0, keepdims=True), one[None])
    return found.sure.item(), found.shifts[0, 0]


def tiles(height: int, width: int) -> list[Part]:
    """Return tiles that cover a picture, the last ones at its rim."""
    h, w = min(TILE, height), min(TILE, width)
    tops, lefts = (sorted({*range(0, full - own, TILE // 2), full - own}) for full, own in ((height, h), (width, w)))
    return [Part(x, y, x + w, y + h) for y in tops for x in lefts]


def box_around(pixels: np.ndarray) -> Part:
    """Return the part of a picture around the True of ``pixels`` [h, w], as large as a tile at least."""
    (y0, y1), (x0, x1) = (_widened(np.flatnonzero(pixels.any(axis)), pixels.shape[1 - axis]) for axis in (1, 0))
    return Part(x0, y0, x1, y1)


def _widened(inside: np.ndarray, most: int) -> tuple[int, int]:
    first, last = int(inside[0]), int(inside[-1]) + 1
    by = max(TILE // 8, (TILE - (last - first)) // 2)
    return max(0, first - by), min(most, last + by)


def linked(unit: np.ndarray, tile: Part, scene_of: np.ndarray) -> Agreement:
    """Return how surely every two of clips [N, h, w, 2] agree in a tile; those of one scene, [N], say nothing."""
    own = whitened(tile.of(unit))
    links = agreement(own, own)
    links.sure[scene_of[:, None] == scene_of] = -np.inf
    return links


def surest_kin(unit: np.ndarray, every: Mapping[Part, Agreement], scene_of: np.ndarray, *, sigma: float) -> Kin | None:
    """Return the clips that agree most surely somewhere: three of which every two do, and all who side with them.

    Args:
        unit: clips, [N, h, w, 2].
        every: what is `linked` in each tile.
        scene_of: which scene each clip shows, [N]; each scene has one vote.
        sigma: least agreement.
    """
    best, found = sigma, None
    for tile, links in every.items():
        for i in np.flatnonzero((links.sure > best).sum(1) >= 2):
            sure, shifts = links.sure[i], links.shifts[i]
            # Moved onto the first, every two must lie on each other, but for a pixel of rounding.
            open_by = np.abs(shifts[:, None] + links.shifts - shifts[None]).max(-1)
            weakest = np.minimum(np.minimum(sure[:, None], sure[None, :]), links.sure)
            weakest[open_by > 1] = -np.inf
            if weakest.max() > best:
                best = float(weakest.max())
                three = np.array([i, *np.unravel_index(weakest.argmax(), weakest.shape)])
                found = tile, three, links.shifts[i][three] * (three != i)[:, None]
    if found is None:
        return None
    tile, three, shifts = found
    return Kin(tile, *_members(whitened(tile.of(unit)), three, shifts, scene_of, sigma=sigma))


def _members(
    own: np.ndarray, three: np.ndarray, shifts: np.ndarray, scene_of: np.ndarray, *, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """The clips, whitened [N, h, w], that agree with the mean of the other scenes that do, beginning with three: [m].

    And how far each must be moved to lie on the first of the three, [m, 2].
    """
    found, by = three, dict(zip(three.tolist(), shifts, strict=True))
    for _ in range(ROUNDS):
        shown = {
            s: np.mean([np.roll(own[k], by[k], (0, 1)) for k in found if scene_of[k] == s], axis=0)
            for s in {*scene_of[found].tolist()}
        }
        sided = []
        for i, scene in enumerate(scene_of.tolist()):
            others = np.mean([mean for s, mean in shown.items() if s != scene], axis=0)
            sided.append(agreement(others[None], own[[i]]))
        before, found = found, np.flatnonzero([one.sure.item() >= sigma for one in sided])
        if len(np.unique(scene_of[found])) < len(three):
            return three, shifts
        by = {i: sided[i].shifts[0, 0] for i in found}
        if np.array_equal(before, found):
            break
    return found, np.stack([by[i] for i in found])


def place(unit: np.ndarray, tile: Part, *, sigma: float) -> np.ndarray:
    """Return where scenes [m, h, w, 2] that agree in a tile agree on from there, tile by tile, bool [h, w]."""
    height, width = unit.shape[1:3]
    within = np.zeros((height, width), np.uint8)
    within[tile.y0 : tile.y1, tile.x0 : tile.x1] = 1
    inside = seen(unit)[..., None]  # [m, h, w, 1]
    for other in tiles(height, width):
        shows = other.of(inside).mean((1, 2, 3)) > 0.5
        if shows.sum() < 2:
            continue
        own = whitened(other.of(unit[shows]))
        pairs = np.triu_indices(len(own), 1)
        # A clip that shows the mark larger or smaller has its parts a little apart: so may chance.
        apart = np.roll(own, (own.shape[1] // 2, own.shape[2] // 2), (1, 2))
        links = agreement(own, own).sure[pairs] - np.median(agreement(own, apart).sure[pairs])
        # The median of n numbers of chance has 1.25 / sqrt(n) sigma; two clips of one scene do not decide it.
        if np.median(links) * np.sqrt(len(links)) >= 1.25 * sigma:
            within[other.y0 : other.y1, other.x0 : other.x1] = 1
    _, labels = cv2.connectedComponents(within)
    return labels == labels[tile.y0, tile.x0]

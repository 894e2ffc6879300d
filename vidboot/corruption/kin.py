"""Scenes that have something in common at one place, found by phase: every two of them, tile by tile.

Where two pictures show one mark, the phases of their spectra agree at every frequency; what they share by chance (a
level horizon, a door post) is a line, and a line is few of the frequencies. All of them count alike here (phase
correlation, Kuglin and Hines 1975): then pixels are nearly independent, and agreement has a sigma of chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

TILE = 64  # pixels, overlapping by half
ROUNDS = 4  # in which members are added or left out
FAINT = 8.0  # Sobel levels: shorter gradients count less, longer ones alike


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
    """Scenes that agree in one tile."""

    tile: Part
    members: np.ndarray
    """Indices of scenes, [m]."""


def directions(fields: np.ndarray) -> np.ndarray:
    """Return gradients [..., 2] no longer than 1: a strong edge of a scene says no more than one of a mark."""
    return fields / np.maximum(np.linalg.norm(fields, axis=-1, keepdims=True), FAINT)


def seen(unit: np.ndarray) -> np.ndarray:
    """Return where scenes [m, h, w, 2] say something: inside their bars, which have no gradients, bool [m, h, w]."""
    rows, columns = (_within((unit != 0).any(axis=(axis, 3))) for axis in (2, 1))
    return rows[:, :, None] & columns[:, None, :]


def _within(lit: np.ndarray) -> np.ndarray:
    """What lies between the first and the last True of each row."""
    return np.logical_or.accumulate(lit, 1) & np.logical_or.accumulate(lit[:, ::-1], 1)[:, ::-1]


def whitened(unit: np.ndarray) -> np.ndarray:
    """Return `directions` [N, h, w, 2] with all frequencies alike, complex [N, h * w]: neighbours say nothing twice."""
    N, h, w, _ = unit.shape
    taper = np.outer(np.hanning(h + 2)[1:-1], np.hanning(w + 2)[1:-1])
    spectrum = np.fft.fft2((unit[..., 0] + 1j * unit[..., 1]) * taper)
    size = np.abs(spectrum)
    spectrum /= size + np.median(size, axis=(1, 2), keepdims=True) + 1e-6
    return np.fft.ifft2(spectrum, norm="ortho").reshape(N, h * w).astype(np.complex64)


def agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how surely each `whitened` scene of ``a`` [N, F] shows what each of ``b`` [M, F] does, [N, M], in sigma.

    That is their correlation, over what it would be if at each pixel they agreed or disagreed by chance.
    """
    chance = 0.5 * ((np.abs(a) ** 2) @ (np.abs(b) ** 2).T)
    return np.real(a @ b.conj().T) / np.sqrt(chance + 1e-9)


def siding(one: np.ndarray, others: np.ndarray) -> float:
    """Return how surely a `whitened` scene [F] shows what others [M, F] have in common, in sigma.

    Of more than two the one that agrees best is left out: it may show the same room.
    """
    if len(others) > 2:
        others = np.delete(others, agreement(one[None], others).argmax(), axis=0)
    return agreement(one[None], others.mean(0, keepdims=True)).item()


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


def surest_kin(unit: np.ndarray, *, sigma: float) -> Kin | None:
    """Return the scenes that agree most surely somewhere: three of which every two do, and all who side with them."""
    height, width = unit.shape[1:3]
    best, found = sigma, None
    for tile in tiles(height, width):
        own = whitened(tile.of(unit))
        links = agreement(own, own)
        np.fill_diagonal(links, -np.inf)
        for i in np.flatnonzero((links > best).sum(1) >= 2):
            weakest = np.minimum(np.minimum(links[i][:, None], links[i][None, :]), links)
            if weakest.max() > best:
                best = float(weakest.max())
                found = tile, np.array([i, *np.unravel_index(weakest.argmax(), weakest.shape)])
    if found is None:
        return None
    tile, three = found
    return Kin(tile, _members(whitened(tile.of(unit)), three, sigma=sigma))


def _members(own: np.ndarray, start: np.ndarray, *, sigma: float) -> np.ndarray:
    """The scenes, whitened [N, F], that agree with the mean of the others that do, [m], beginning with three."""
    found = start
    for _ in range(ROUNDS):
        others = [own[found[found != i]].mean(0, keepdims=True) for i in range(len(own))]
        sure = [agreement(own[[i]], other).item() for i, other in enumerate(others)]
        before, found = found, np.flatnonzero(np.array(sure) >= sigma)
        if len(found) < len(start):
            return start
        if np.array_equal(before, found):
            break
    return found


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
        links = agreement(own, own)[np.triu_indices(len(own), 1)]
        # The median of n numbers of chance has 1.25 / sqrt(n) sigma; two clips of one scene do not decide it.
        if np.median(links) * np.sqrt(len(links)) >= 1.25 * sigma:
            within[other.y0 : other.y1, other.x0 : other.x1] = 1
    _, labels = cv2.connectedComponents(within)
    return labels == labels[tile.y0, tile.x0]

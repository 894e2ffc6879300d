"""The eight ways an mp4 can ask for its pictures to be mirrored and turned, by the matrix in its track header."""

import struct
from pathlib import Path

import numpy as np

Matrix = tuple[int, int, int, int]
"""a, b, c, d: a pixel at (x, y), y downwards, is displayed at (a x + c y, b x + d y)."""

CLOCKWISE = (0, 1, -1, 0)
MIRRORED = (-1, 0, 0, 1)
MATRICES: list[Matrix] = [
    *((a, 0, 0, d) for a in (1, -1) for d in (1, -1)),
    *((0, b, c, 0) for b in (1, -1) for c in (1, -1)),
]


def display_by(path: Path, matrix: Matrix) -> None:
    """Make an mp4 of one track ask for an orientation."""
    content = bytearray(path.read_bytes())
    a, b, c, d = (entry << 16 for entry in matrix)
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def displayed(stored: np.ndarray, matrix: Matrix) -> np.ndarray:
    """Put each stored pixel, [h, w, ...], where the matrix displays it, [H, W, ...]."""
    a, b, c, d = matrix
    y, x = np.indices(stored.shape[:2])
    rows, columns = b * x + d * y, a * x + c * y
    rows, columns = rows - rows.min(), columns - columns.min()
    shown = np.empty((rows.max() + 1, columns.max() + 1, *stored.shape[2:]), stored.dtype)
    shown[rows, columns] = stored
    return shown

"""Small moving pictures with overlays whose pixels and frames are known."""

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from vidboot.corruption.found import Found, Frames, Picture

FPS = 10.0


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Return a smooth random picture, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 170, (height // 8 + 2, width // 8 + 2, 3)).astype(np.float32)
    rows, columns = (np.linspace(0, n - 1.001, m) for n, m in zip(coarse.shape[:2], (height, width), strict=True))
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    above = coarse[top][:, left] * (1 - right) + coarse[top][:, left + 1] * right
    below = coarse[top + 1][:, left] * (1 - right) + coarse[top + 1][:, left + 1] * right
    return (above * (1 - down) + below * down).astype(np.uint8)


def panning(T: int, height: int, width: int, *, seed: int = 0, speed: int = 3) -> np.ndarray:
    """Return a picture that slides by ``speed`` pixels a frame, uint8 [T, H, W, 3]."""
    wide = texture(height, width + T * speed, seed)
    return np.stack([wide[:, t * speed : t * speed + width] for t in range(T)])


def letters(height: int, width: int, seed: int = 1) -> np.ndarray:
    """Return strokes like those of a line of text, bool [height, width]."""
    rng = np.random.default_rng(seed)
    ink = np.zeros((height, width), bool)
    x = 0
    while x < width - 2:
        ink[:, x : x + 2] = True
        bar = int(rng.integers(0, height - 1))
        step = int(rng.integers(5, 10))
        ink[bar : bar + 2, x : min(width, x + step - 2)] = True
        x += step
    ink[:, -2:] = True
    return ink


def burn(film: np.ndarray, ink: np.ndarray, x: int, y: int, first: int, last: int, *, alpha: float = 1.0) -> None:
    """Write white letters into frames ``first`` to ``last``, both included, in place."""
    height, width = ink.shape
    under = film[first : last + 1, y : y + height, x : x + width]
    under[:, ink] = np.round(under[:, ink] * (1 - alpha) + 250 * alpha).astype(np.uint8)


def shown(film: np.ndarray, since: float = 0, *, fps: float = FPS) -> Frames:
    """Yield (seconds, picture), the first at ``since``."""
    for t, frame in enumerate(film):
        yield since + t / fps, Picture(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), partial(np.copy, frame))


def as_boxes(*boxes: Sequence[float]) -> np.ndarray:
    """Return what a text detector does, float32 [n, 4]."""
    return np.array(boxes, np.float32).reshape(-1, 4)


def covers(one: Found, box: tuple[int, int, int, int]) -> bool:
    """Whether the box of what was found holds another."""
    x0, y0, x1, y1 = one.box
    return x0 <= box[0] and y0 <= box[1] and x1 >= box[2] and y1 >= box[3]

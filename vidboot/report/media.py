"""Pixels as data URLs: mosaics of videos as mp4, images and filmstrips as PNG.

Small pictures are enlarged by whole numbers, so every source pixel stays a sharp square in every browser.
"""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from vidboot.data.encode import save_video

TILE_SIDE = 128
GAP = 4


def enlarge(pixels: np.ndarray, *, side: int = TILE_SIDE) -> np.ndarray:
    """Repeat each pixel of [..., H, W, 3] until the longer side has at least ``side`` pixels."""
    factor = ceil(side / max(pixels.shape[-3:-1]))
    return pixels.repeat(factor, -3).repeat(factor, -2)


def mosaic(videos: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Put videos side by side, with black gaps.

    Args:
        videos: uint8 [T, H, W, 3] each, of one shape.
        columns: at most this many in a row.

    Returns:
        uint8 [T, rows * (H + GAP) - GAP, columns * (W + GAP) - GAP, 3].

    Raises:
        ValueError: no video, or shapes that differ.
    """
    shapes = {video.shape for video in videos}
    if len(shapes) != 1:
        raise ValueError(f"a mosaic needs videos of one shape, got {sorted(shapes)}")
    T, H, W, C = shapes.pop()
    columns = min(columns, len(videos))
    rows = ceil(len(videos) / columns)
    canvas = np.zeros((T, rows * (H + GAP) - GAP, columns * (W + GAP) - GAP, C), np.uint8)
    for i, video in enumerate(videos):
        y, x = i // columns * (H + GAP), i % columns * (W + GAP)
        canvas[:, y : y + H, x : x + W] = video
    return canvas


def filmstrip(video: np.ndarray, frames: int) -> np.ndarray:
    """Put ``frames`` frames, evenly spread over [T, H, W, 3], in one row."""
    at = np.linspace(0, len(video) - 1, min(frames, len(video))).round().astype(int)
    return mosaic([video[t : t + 1] for t in at], len(at))[0]


def video_url(frames: np.ndarray, fps: float) -> str:
    """Encode uint8 [T, H, W, 3] as an mp4 data URL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        save_video(path, frames, fps, crf=20)
        return data_url("video/mp4", path.read_bytes())


def image_url(pixels: np.ndarray) -> str:
    """Encode uint8 [H, W, 3] as a PNG data URL."""
    return data_url("image/png", iio.imwrite("<bytes>", pixels, extension=".png"))


def data_url(kind: str, content: bytes) -> str:
    """Write ``content`` of media type ``kind`` as a URL."""
    return f"data:{kind};base64,{b64encode(content).decode()}"

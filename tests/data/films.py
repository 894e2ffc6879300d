"""Tiny videos with known content, written through PyAV, and damage done to them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

KEYFRAME_EVERY = 8


def moving_square(T: int, height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Return a bright square that wanders over a smooth random picture, uint8 [T, H, W, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 160, (4, 4, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    film = np.repeat(coarse[rows][:, columns][None], T, axis=0)
    side = max(2, min(height, width) // 4)
    for t, frame in enumerate(film):
        x, y = (t * side // 4) % (width - side), (t * side // 8) % (height - side)
        frame[y : y + side, x : x + side] = 240
    return film


def write_film(
    path: Path,
    film: np.ndarray,
    *,
    fps: int = 8,
    milliseconds: Sequence[int] | None = None,
    options: dict | None = None,
) -> Path:
    """Write uint8 [T, H, W, 3] as H.264 with a key frame every 8 frames, at ``fps`` or at given times."""
    T, height, width, _ = film.shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps if milliseconds is None else 1000)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "10", "preset": "veryfast", "g": str(KEYFRAME_EVERY), **(options or {})}
        stream.codec_context.thread_count = 1
        for t in range(T):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(film[t]), format="rgb24")
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[t], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def break_packet(path: Path, number: int) -> None:
    """Overwrite one packet of a video so that it cannot be decoded."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    position, size = packets[number]
    assert position is not None
    content = bytearray(path.read_bytes())
    content[position : position + size] = b"\xff" * size
    path.write_bytes(content)

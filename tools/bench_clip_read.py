"""How much faster is a clip from the cache than from its 720p source? 16 frames of 64x64, median of many reads.

    python tools/bench_clip_read.py [--json]

The source is made here: a noisy moving picture, H.264, a key frame every 12 frames. Reading it means: open, seek to the
key frame before a random frame, decode on, shrink 16 frames. "reopened" maps the cached file anew for each clip. Times
are CPU time of this process, page cache warm.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import av
import numpy as np

from vidboot.data.cache import Entry, Spec, build, open_clip, opened
from vidboot.data.decode import Resizer, Video
from vidboot.scan import audit

CLIP_FRAMES = 16
SOURCE_FRAMES = 240
FPS = 24
SPEC = Spec(64, 64, float(FPS))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder))
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:24s} {value:12.3f}")


def measure(folder: Path) -> dict[str, float]:
    """Return milliseconds per clip from the source and from the cache, and their ratios."""
    videos, work = folder / "videos", folder / "work"
    videos.mkdir()
    source = write_source(videos / "source.mp4")
    shots = audit(videos, work)[1]
    (entry,) = build(shots, videos, work, [SPEC]).entries
    rng = np.random.default_rng(0)
    firsts = rng.integers(0, entry.frames - CLIP_FRAMES, 2000)
    assert np.array_equal(from_source(source, int(firsts[0])), from_cache(entry, int(firsts[0])))
    decoded = median_ms(lambda first: from_source(source, first), firsts[:10])
    cached = median_ms(lambda first: from_cache(entry, first), firsts)
    reopened = median_ms(lambda first: from_cache_reopened(entry, first), firsts)
    return {
        "source_ms": decoded,
        "cache_ms": cached,
        "cache_reopened_ms": reopened,
        "ratio": decoded / cached,
        "ratio_reopened": decoded / reopened,
    }


def write_source(path: Path) -> Path:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (23, 40, 3), dtype=np.uint8)
    picture = np.kron(coarse, np.ones((32, 32, 1), np.uint8))[:720]
    noise = rng.integers(0, 24, (720, 1280, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"preset": "veryfast", "g": "12"}
        for t in range(SOURCE_FRAMES):
            pixels = np.roll(picture, 4 * t, axis=1) // 2 + np.roll(noise, 7 * t, axis=0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def from_source(path: Path, first: int) -> np.ndarray:
    resize = Resizer(SPEC.height, SPEC.width)
    frames: list[np.ndarray] = []
    with Video(path) as video:
        stream = video.stream
        video.container.seek(round(first / FPS / float(stream.time_base or 1)), stream=stream)
        for decoded in video.frames():
            if decoded.pts_seconds is not None and decoded.pts_seconds > (first - 0.5) / FPS:
                frames.append(resize(decoded.picture, video.geometry(decoded.picture)))
            if len(frames) == CLIP_FRAMES:
                break
    return np.stack(frames)


def from_cache_reopened(entry: Entry, first: int) -> np.ndarray:
    opened.cache_clear()
    return from_cache(entry, first)


def from_cache(entry: Entry, first: int) -> np.ndarray:
    frames, _, _ = open_clip(entry, first, first + CLIP_FRAMES)
    return frames.copy()


def median_ms(read: Callable[[int], np.ndarray], firsts: np.ndarray) -> float:
    """Milliseconds of CPU per call."""
    times = []
    for first in firsts:
        start = time.process_time_ns()
        read(int(first))
        times.append((time.process_time_ns() - start) / 1e6)
    return median(times)


if __name__ == "__main__":
    sys.exit(main())

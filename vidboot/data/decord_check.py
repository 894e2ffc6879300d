"""Whether decord may be trusted with a file: it is only where it was seen to read the frames PyAV reads.

decord returns wrong frames on several valid formats without an error, so a few frames are read in random and in
sequential order and compared. The reader is closed at once: an open one reads ahead without limit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vidboot.data.decode import orientation
from vidboot.data.geometry import Orientation

SAMPLES = 8
GRID = 16
MOST_DIFFERENT = 3.0  # mean difference of grid cells, in levels of 255
MOST_PIXELS_PER_FRAME = 1920 * 1088
MOST_PIXELS = 100_000_000  # in all frames: above, the check costs more than it is worth
CODECS = ("h264", "hevc", "mpeg4", "vp8", "vp9")
PIXEL_FORMATS = ("yuv420p", "yuvj420p")


class Samples:
    """A few frames spread over a video whose length is not known before its end."""

    def __init__(self) -> None:
        self.stride = 1
        self.pictures: dict[int, VideoFrame] = {}

    def offer(self, index: int, picture: VideoFrame) -> None:
        """Keep frame ``index`` if it falls on the stride, which doubles whenever too many are kept."""
        if index % self.stride:
            return
        self.pictures[index] = picture
        if len(self.pictures) > SAMPLES:
            self.stride *= 2
            self.pictures = {i: p for i, p in self.pictures.items() if i % self.stride == 0}


def fingerprint(rgb: np.ndarray) -> np.ndarray:
    """Return the mean green of at most 16x16 cells, [h, w]."""
    green = rgb[:, :, 1]
    height, width = (min(GRID, n) for n in green.shape)
    rows = np.linspace(0, green.shape[0], height, endpoint=False).astype(int)
    columns = np.linspace(0, green.shape[1], width, endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(green, rows, axis=0, dtype=np.float32), columns, axis=1)
    return sums / np.outer(np.diff(rows, append=green.shape[0]), np.diff(columns, append=green.shape[1]))


def worth_checking(codec: str, picture: VideoFrame, frames: int) -> bool:
    """Return whether decord reads such a stream at all, and cheaply enough to see it agree."""
    pixels = picture.width * picture.height
    upright = orientation(picture) == Orientation()
    known = codec in CODECS and picture.format.name in PIXEL_FORMATS
    return known and upright and pixels <= MOST_PIXELS_PER_FRAME and pixels * frames <= MOST_PIXELS


def agrees(path: Path, frames: int, samples: Samples, last: VideoFrame) -> bool:
    """Return whether decord counts ``frames`` and reads the sampled ones and the last one as PyAV did."""
    pictures = {**samples.pictures, frames - 1: last}
    indices = sorted(pictures)
    # A jump first, then the end, the start, and on from there.
    order = [indices[len(indices) // 2], frames - 1, *indices[:2]]
    theirs = _read(path, order, frames)
    if theirs is None:
        return False
    to_rgb = VideoReformatter()
    ours = (to_rgb.reformat(pictures[i], format="rgb24", threads=1).to_ndarray() for i in order)
    return all(_alike(fingerprint(our), their) for our, their in zip(ours, theirs, strict=True))


def _read(path: Path, order: list[int], frames: int) -> list[np.ndarray] | None:
    try:
        import decord
    except ImportError:
        return None
    try:
        with _reader(path) as video:
            if len(video) != frames:
                return None
            return [fingerprint(video[i].asnumpy()) for i in order]
    except (RuntimeError, IndexError, decord.DECORDError):
        return None


@contextmanager
def _reader(path: Path) -> Iterator:
    import decord

    readers = [decord.VideoReader(str(path), num_threads=1)]
    try:
        yield readers[0]
    finally:
        readers.clear()


def _alike(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.shape == theirs.shape and float(np.abs(ours - theirs).mean()) <= MOST_DIFFERENT

"""What must be known of a clip before its pixels are changed: who it is, when each frame is shown, where it is cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av.error
import numpy as np

from vidboot.data import shots, times
from vidboot.data.decode import Resizer, Thumbnailer, Video


@dataclass(frozen=True)
class Survey:
    """One clip, all of whose frames are of one size and have square pixels."""

    path: Path
    sha256: str
    width: int
    height: int
    """As displayed, px."""
    bits: int
    """Of the finest component of a pixel; `pictures` gives 8."""
    pts_seconds: np.ndarray
    """Of every frame, on the file's own, repaired clock, [T]."""
    own_clock: bool
    """Whether nothing had to be repaired of it: else a sound that follows the file's clock no longer fits."""
    last_seconds: float
    """How long the last frame is shown, as long as the usual one where the file says nothing that can be believed."""
    cuts: tuple[int, ...]
    """First frame of each shot but the first."""

    @property
    def fps(self) -> float:
        """Frames per second, at least a little more than none."""
        return times.frame_rate(self.pts_seconds) or times.DEFAULT_FPS

    @property
    def evenly_timed(self) -> bool:
        """Whether each frame is shown within a quarter of a frame of where its number says."""
        expected = self.pts_seconds[0] + np.arange(len(self.pts_seconds)) / self.fps
        return bool((np.abs(self.pts_seconds - expected) * self.fps < 0.25).all())


def survey(path: Path) -> Survey:
    """Decode a clip once.

    Raises:
        ValueError: it is no video that can be decoded, its frames change their size, its pixels are not square, or
            it is in high dynamic range.
    """
    try:
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        with Video(path) as video:
            seconds, last_seconds, thumbnails, sizes = _decode(video)
            average_fps, aspect, hdr, bits = video.average_fps, video.pixel_aspect, video.hdr, video.bits
    except (OSError, LookupError, UnicodeDecodeError, av.error.FFmpegError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path} cannot be read as a video: {cause}") from error
    if not seconds:
        raise ValueError(f"{path} has no frame that can be decoded")
    if len(sizes) > 1:
        raise ValueError(f"the frames of {path} change their size: {', '.join(f'{w}x{h}' for w, h in sorted(sizes))}")
    if aspect != 1:
        raise ValueError(f"the pixels of {path} are not square ({aspect}): store it with square pixels first")
    if hdr:
        raise ValueError(f"{path} is in high dynamic range, which would be lost: store it in standard range first")
    raw_seconds = np.array(seconds, np.float64)
    pts_seconds = times.repair(raw_seconds, average_fps).round(6)
    own_clock = times.same_clock(raw_seconds, pts_seconds)
    usual = float(times.frame_seconds(pts_seconds)[-1])
    if not 0 < last_seconds <= max(10 * usual, times.LONGEST_GAP_SECONDS):
        last_seconds = usual
    side = shots.THUMBNAIL
    found = shots.find_cuts(np.frombuffer(thumbnails, np.uint8).reshape(-1, side, side), pts_seconds)
    cuts = tuple(int(cut) for cut in found)
    return Survey(path, sha256, *sizes.pop(), bits, pts_seconds, own_clock, last_seconds, cuts)


def _decode(video: Video) -> tuple[list[float], float, bytearray, set[tuple[int, int]]]:
    seconds, last_seconds, thumbnails, sizes = [], 0.0, bytearray(), set()
    thumbnail = Thumbnailer(shots.THUMBNAIL)
    for decoded in video.frames():
        seconds.append(np.nan if decoded.pts_seconds is None else decoded.pts_seconds)
        thumbnails += thumbnail(decoded.picture).tobytes()
        sizes.add(video.geometry(decoded.picture).size)
        last_seconds = float((decoded.picture.duration or 0) * (decoded.picture.time_base or 0))
    # mp4 times packets as they are decoded: where pictures are reordered the duration of the last is another's.
    if seconds and (after := video.end_seconds - seconds[-1]) > times.ROUNDING_SECONDS:
        last_seconds = after
    return seconds, last_seconds, thumbnails, sizes


def pictures(clip: Survey) -> Iterator[np.ndarray]:
    """Yield every frame upright at its own size, uint8 RGB [H, W, 3]."""
    as_shown = Resizer(clip.height, clip.width)
    with Video(clip.path) as video:
        for decoded in video.frames():
            yield as_shown(decoded.picture, video.geometry(decoded.picture))

"""Frames to a video file: H.264 in mp4, streamed, so memory does not grow with the length of the video.

Frames are uint8 RGB [T, H, W, 3] here; `to_uint8` comes from the nets' [T, C, H, W] in [-1, 1].
"""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import av
import numpy as np
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from vidboot.files import check_writable, part_path

if TYPE_CHECKING:
    from torch import Tensor

# Readers that ignore colour tags assume BT.601, so write that matrix and tag it.
_SMPTE170M = 6
# What its red, green and blue are, and their curve: those of nearly all videos, and of screens.
_BT709 = 1
MP4 = (".mp4", ".m4v")
# For small pictures x264's macroblock tree reads memory nobody wrote: about one file in a thousand then differs.
_REPEATABLE = "mbtree=0"


def to_uint8(video: Tensor) -> np.ndarray:
    """Turn one video, [T, C, H, W] in [-1, 1] (clipped), into frames, uint8 [T, H, W, C]."""
    if video.ndim != 4:
        raise ValueError(f"one video is [T, C, H, W], got {tuple(video.shape)}")
    levels = (video.detach().float() + 1).mul(127.5).round().clamp(0, 255)
    return levels.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def from_uint8(frames: np.ndarray) -> Tensor:
    """Turn frames, uint8 [T, H, W, C], into a video, [T, C, H, W] in [-1, 1], of memory of its own."""
    import torch

    return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def check_mp4(path: Path) -> None:
    """Raise ValueError unless an mp4 can be written at ``path``."""
    check_writable(path)
    if path.suffix.lower() not in MP4:
        raise ValueError(f"cannot write {path}: what is written is mp4, so name it .mp4")


class VideoWriter:
    """Write frames to an mp4 (libx264, yuv420p); the file appears at ``path`` only when it is whole.

    The same frames and settings give the same bytes. Use it as a context manager: leaving it normally finishes the
    file, leaving it by an exception removes what was written. An odd width or height is padded to even by repeating
    the last column or row.

    Args:
        path: file to write, replaced if it exists; its folder must exist.
        width: frame width, px.
        height: frame height, px.
        fps: frames per second.
        crf: x264's constant rate factor, 0 (nearly lossless) to 51.
        preset: x264's trade of speed for size.
        pix_fmt: yuv420p plays everywhere and halves the resolution of colour, yuv444p keeps it; rgb24 stores the
            very pixels, without any loss, for readers that know H.264's High 4:4:4 profile.
        ticks: timestamps per second, where frames come with times of their own; None = evenly spaced frames.
        last_seconds: how long the last frame is shown, at some cost in size; None = one tick, or else a frame.
        threads: encoder threads, 0 = one per core.

    Raises:
        ValueError: ``path`` cannot be written, or a number is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        fps: float | Fraction,
        *,
        crf: float = 18,
        preset: str = "medium",
        pix_fmt: Literal["yuv420p", "yuv444p", "rgb24"] = "yuv420p",
        ticks: int | None = None,
        last_seconds: float | None = None,
        threads: int = 0,
    ) -> None:
        if width < 1 or height < 1 or fps <= 0 or not 0 <= crf <= 51:
            raise ValueError(f"width, height and fps are positive, crf in 0..51; got {width, height, fps, crf}")
        self.path = Path(path)
        self.frames_written = 0
        self._size = height, width
        self._ticks = ticks
        self._last_seconds = last_seconds
        self._held: list[Packet] = []
        check_writable(self.path)
        self._container = av.open(
            os.path.abspath(part_path(self.path)), "w", format="mp4", options={"movflags": "+faststart"}
        )
        rate = Fraction(fps).limit_denominator(1001)
        options = {"crf": str(crf), "preset": preset, "x264-params": _REPEATABLE}
        if exact := pix_fmt == "rgb24":
            options = {"qp": "0", "preset": preset}
        if last_seconds is not None:
            # An mp4 ends with the picture that is decoded last: it has to be the one shown last.
            options["bf"] = "0"
        self._stream = self._container.add_stream("libx264rgb" if exact else "libx264", rate=rate, options=options)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = pix_fmt
        context = self._stream.codec_context
        context.thread_count = threads
        context.time_base = self._time_base = 1 / rate if ticks is None else Fraction(1, ticks)
        self._reformatter = VideoReformatter()
        if exact:
            return
        context.colorspace, context.color_primaries, context.color_trc = _SMPTE170M, _BT709, _BT709
        context.color_range = ColorRange.MPEG

    def __enter__(self) -> Self:
        return self

    def write(self, frames: np.ndarray, pts_seconds: np.ndarray | None = None) -> None:
        """Append ``frames``, uint8 [T, H, W, 3], any T; with ``ticks`` their times too, [T], increasing.

        Raises:
            ValueError: wrong type or size, or times without ``ticks`` or the other way round.
            OSError: the disk is full or gone.
        """
        height, width = self._size
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (height, width, 3):
            raise ValueError(f"frames are uint8 [T, {height}, {width}, 3], got {frames.dtype} {frames.shape}")
        if height % 2 or width % 2:
            frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if (pts_seconds is None) != (self._ticks is None):
            raise ValueError("frames come with times where the writer has ticks, and only there")
        for i, rgb in enumerate(frames):
            at = self.frames_written if pts_seconds is None else round(float(pts_seconds[i]) / self._time_base)
            self._encode(rgb, at)

    def _encode(self, rgb: np.ndarray, pts: int) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        if self._stream.pix_fmt != "rgb24":
            frame = self._reformatter.reformat(
                frame, format=self._stream.pix_fmt, dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
            )
        frame.pts, frame.time_base = pts, self._time_base
        packets = [*self._held, *self._stream.encode(frame)]
        self._container.mux(packets[:-1])
        self._held = packets[-1:]  # the last one is told how long it lasts
        self.frames_written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        whole = False
        try:
            if kind is None:
                if not self.frames_written:
                    raise ValueError(f"cannot write {self.path}: no frame was given")
                packets = [*self._held, *self._stream.encode(None)]
                if self._last_seconds is not None:
                    packets[-1].duration = max(1, round(self._last_seconds / self._time_base))
                self._container.mux(packets)
                self._container.close()
                part_path(self.path).replace(self.path)
                whole = True
        finally:
            if not whole:
                self._discard()

    def _discard(self) -> None:
        with contextlib.suppress(OSError):  # the error that brought us here is the one to report
            self._container.close()
        part_path(self.path).unlink(missing_ok=True)


def save_video(
    path: Path,
    frames: np.ndarray,
    fps: float | Fraction,
    *,
    crf: float = 18,
    preset: str = "medium",
    pix_fmt: Literal["yuv420p", "yuv444p"] = "yuv420p",
    threads: int = 0,
) -> None:
    """Write ``frames``, uint8 [T, H, W, 3], to a file of their own; see `VideoWriter`."""
    _, height, width, _ = frames.shape
    with VideoWriter(path, width, height, fps, crf=crf, preset=preset, pix_fmt=pix_fmt, threads=threads) as writer:
        writer.write(frames)


def save_tiny(path: Path, frames: np.ndarray, fps: float | Fraction) -> None:
    """Write a video of a few dozen pixels nearly without loss: one thread, a few milliseconds.

    At 32x32 the half-resolution colour of yuv420p would be by far the largest error (31 dB against 43 dB).
    """
    save_video(path, frames, fps, crf=10, preset="veryfast", pix_fmt="yuv444p", threads=1)

"""One video through every detector with one decode: what a worker of ``vidboot mask`` does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from vidboot.boxes import around, clipped
from vidboot.corruption.bars import DOUBTFUL, SURE, find_bars, or_panel
from vidboot.corruption.found import Found, Frames, Picture, watch
from vidboot.corruption.looks import SIDES
from vidboot.corruption.ocr import OcrDetector
from vidboot.corruption.static import SIDE, grid, marks_in_one, sample, summarise
from vidboot.corruption.still import Changes, find_frozen
from vidboot.corruption.text import find_text
from vidboot.corruption.tophat import TextDetector, tophat_boxes
from vidboot.data.decode import Video
from vidboot.data.geometry import Orientation
from vidboot.detections import Detected, write

VERSION = 28  # of what one video by itself tells: another with each change of a number that a detector decides by
SAMPLES = 24  # frames spread over a video, in which bars and marks are looked for
MOST_LUMA_BYTES = 300_000_000  # of whole frames kept to look for bars: of 8K only nine


@dataclass(frozen=True)
class Job:
    """One video to look at."""

    path: str
    """Absolute or relative to the current directory."""
    width: int
    """Display size, as the audit says."""
    height: int
    pts_seconds: np.ndarray
    """Of every frame, [T] float64."""
    cuts: tuple[float, ...]
    """Seconds of the frames that begin another picture."""
    text_model: str | None
    """The .onnx of the text detector; None for the one without a model."""


def detect(job: Job, out: str, key: str) -> Iterator[bool]:
    """Look at a video and write the result to ``out``, SHA256.npz; yields whether the file is still that video."""
    cv2.setNumThreads(1)
    found = look(job)
    with open(job.path, "rb") as content:
        same = hashlib.file_digest(content, "sha256").hexdigest() == Path(out).stem
    if same:
        write(Path(out), found, key)
    yield same


def look(job: Job) -> Detected:
    """Decode a video once and return what every detector finds."""
    wanted = _spread(len(job.pts_seconds), SAMPLES)
    at_full_size = min(SAMPLES, max(4, MOST_LUMA_BYTES // (job.width * job.height)))
    wanted_whole = _spread(len(job.pts_seconds), at_full_size)
    luma: list[np.ndarray] = []
    small: list[np.ndarray] = []
    size = grid(job.width, job.height, SIDE)

    shrink = _Shrink("rgb24")

    def keep(index: int, picture: VideoFrame, orientation: Orientation) -> None:
        if index in wanted_whole:
            luma.append(orientation.upright(picture.to_ndarray(format="gray")))
        if index in wanted:
            small.append(shrink(picture, orientation, *size))

    changes = Changes()
    frames = watch(_frames(job, keep), changes)
    text = find_text(frames, text_detector(job.text_model), cuts=job.cuts)
    lines = [_scaled(one, job, _work_size(job)) for one in text]
    frozen = [_scaled(one, job, (1, 1)) for one in find_frozen(changes)]
    bars = [or_panel(bar, lines) for bar in _bars(job, luma)] if luma else []
    found = [*lines, *frozen, *bars]
    if not small:
        return Detected(tuple(found), None)
    sampled = sample(small, _inside(bars, job, size))
    for pixels, score in marks_in_one(sampled):
        layer = enlarged(pixels, job.width, job.height)
        if not _is_text(layer, lines):
            found.append(_throughout(job, kind="mark", box=around(layer), layer=layer, score=score))
    return Detected(tuple(found), summarise(sampled))


def _inside(bars: Sequence[Found], job: Job, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The picture without its bars and their edges, at ``size``; None without bars."""
    if not bars:
        return None
    x0, y0, x1, y1 = 0.0, 0.0, float(job.width), float(job.height)
    for bar in bars:
        left, top, right, bottom = bar.box
        if bottom - top >= job.height:
            x0, x1 = (max(x0, right), x1) if left == 0 else (x0, min(x1, left))
        else:
            y0, y1 = (max(y0, bottom), y1) if top == 0 else (y0, min(y1, top))
    x, y = size[0] / job.width, size[1] / job.height
    return (
        int(x0 * x) + 4 * (x0 > 0),
        int(y0 * y) + 4 * (y0 > 0),
        int(x1 * x) - 3 * (x1 < job.width),
        int(y1 * y) - 3 * (y1 < job.height),
    )


def _is_text(layer: np.ndarray, lines: Sequence[Found]) -> bool:
    """Whether text that was found already covers a mark."""
    left = layer.copy()
    for line in lines:
        x0, y0, x1, y1 = (round(v) for v in line.box)
        left[y0:y1, x0:x1] = False
    return left.sum() < 0.2 * layer.sum()


def text_detector(model: str | None) -> TextDetector:
    """Return the OCR detector of this .onnx, or the one without a model."""
    return OcrDetector(Path(model)) if model else tophat_boxes


def _spread(frames: int, count: int) -> set[int]:
    return set(np.unique(np.linspace(0, frames - 1, min(count, frames)).round().astype(int)).tolist())


def _work_size(job: Job) -> tuple[int, int]:
    """(width, height) of the frames text is looked for in: a short side of at most the largest the detector wants."""
    scale = min(1.0, max(SIDES) / min(job.width, job.height))
    return max(2, round(job.width * scale)), max(2, round(job.height * scale))


def _frames(job: Job, keep: Callable[[int, VideoFrame, Orientation], None]) -> Frames:
    size = _work_size(job)
    grey, colours = _Shrink("gray"), _Shrink("rgb24")
    with Video(job.path) as video:
        for decoded in video.frames():
            if decoded.index >= len(job.pts_seconds):
                return
            orientation = video.geometry(decoded.picture).orientation
            keep(decoded.index, decoded.picture, orientation)
            shown = decoded.picture, orientation, *size
            yield float(job.pts_seconds[decoded.index]), Picture(grey(*shown), partial(colours, *shown))


class _Shrink:
    """Whole pictures, upright, at a size of at most their own, uint8; ``format`` is of FFmpeg, gray or rgb24."""

    def __init__(self, format: str) -> None:
        self._reformatter = VideoReformatter()
        self._format = format

    def __call__(self, picture: VideoFrame, orientation: Orientation, width: int, height: int) -> np.ndarray:
        w, h = orientation.sides(width, height)
        small = self._reformatter.reformat(picture, w, h, self._format, interpolation=Interpolation.AREA, threads=1)
        return np.ascontiguousarray(orientation.upright(small.to_ndarray()))


def _bars(job: Job, luma: Sequence[np.ndarray]) -> list[Found]:
    shape = luma[0].shape
    same = [frame for frame in luma if frame.shape == shape]
    bars = find_bars(same, shots=1 + len(job.cuts))
    if bars is None:
        return []
    found = []
    height, width = shape
    for (left, top, right, bottom), score in ((bars.sure, SURE), (bars.doubtful, DOUBTFUL)):
        boxes = {
            (0, 0, left, height),
            (0, 0, width, top),
            (width - right, 0, width, height),
            (0, height - bottom, width, height),
        }
        whole = [box for box in sorted(boxes) if box[0] < box[2] and box[1] < box[3]]
        found += [_scaled(_throughout(job, kind="bar", box=box, score=score), job, (width, height)) for box in whole]
    return found


def _throughout(job: Job, **what: Any) -> Found:
    return Found(first_seconds=float(job.pts_seconds[0]), last_seconds=float(job.pts_seconds[-1]), **what)


def _scaled(found: Found, job: Job, size: tuple[int, int]) -> Found:
    x, y = job.width / size[0], job.height / size[1]
    x0, y0, x1, y1 = found.box
    box = clipped((x0 * x, y0 * y, x1 * x, y1 * y), job.width, job.height)
    return replace(found, box=tuple(round(v, 2) for v in box))  # type: ignore[arg-type]


def enlarged(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a mask at the source's size: a pixel is hidden if the larger pixel it lies in is, bool [height, width]."""
    return cv2.resize(pixels.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0

"""The marks of a training folder as templates: what a model that leaks would paint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidboot import masks
from vidboot.boxes import IntBox, iou
from vidboot.config import Config
from vidboot.corruption.ocr import OcrDetector, find_model
from vidboot.data import cache
from vidboot.data.cache import Entry, open_clip
from vidboot.data.encode import to_uint8
from vidboot.data.records import read_shots
from vidboot.decisions import extent
from vidboot.masks import Event, Mask
from vidboot.metrics import Template, mark_template

FindText = Callable[[np.ndarray], Sequence[Any]]
"""A frame, uint8 [H, W, 3] -> the lines of text in it."""

FRAMES_PER_SHOT = 8
SHOTS_PER_MARK = 64
LEAST_SHOTS = 4
"""Of fewer a scene could pass for a mark."""
SAME_PLACE = 0.5
"""Marks whose boxes overlap by more than this (IoU) are one."""
TEXT_SIDE = 192
"""Short side at which frames are looked at for text: lines as large as subtitles are."""
TEXT_FRAMES = 100
"""Frames in which text is looked for, at most."""


def templates(work: Path, masks_folder: Path, config: Config) -> list[Template]:
    """Return a template of each mark that masks of a working folder's videos name, at the size of the video we want.

    A mark counts from `LEAST_SHOTS` shots on. Subtitles have none: each reads otherwise.

    Raises:
        ValueError: a mask file is broken.
    """
    groups: list[tuple[IntBox, list[np.ndarray]]] = []
    for entry, mask, event in _marked(work, masks_folder, config):
        box = _box_in(entry, mask, event)
        frames = _frames(entry, event) if box else np.empty(0)
        if box is None or not len(frames):
            continue
        group = next((g for g in groups if iou(g[0], box) > SAME_PLACE), None)
        if group is None:
            groups.append(group := (box, []))
        if len(group[1]) < SHOTS_PER_MARK:
            x0, y0, x1, y1 = group[0]
            group[1].append(frames[:, y0:y1, x0:x1])
    return [_template(np.concatenate(shots), box) for box, shots in groups if len(shots) >= LEAST_SHOTS]


def _template(frames: np.ndarray, box: IntBox) -> Template:
    """The template of what frames show within a box, uint8 [T, h, w, 3]."""
    x0, y0, x1, y1 = box
    videos = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    return mark_template(videos, (0, 0, x1 - x0, y1 - y0))._replace(row=y0, column=x0)


def text_finder() -> FindText | None:
    """Return the text detector of [ocr], one line per box; None where it is not installed."""
    model = find_model()
    if model is None:
        return None
    detect = OcrDetector(model)
    return lambda frame: list(detect(frame, TEXT_SIDE))


def text_hits(videos: Tensor, find_text: FindText) -> float:
    """Lines of text found per 100 frames, in frames spread over all videos, [B, T, C, H, W]."""
    frames = to_uint8(videos.flatten(0, 1)[:: -(-videos.shape[:2].numel() // TEXT_FRAMES)])
    return 100 * sum(len(find_text(frame)) for frame in frames) / len(frames)


def _marked(work: Path, masks_folder: Path, config: Config) -> Iterator[tuple[Entry, Mask, Event]]:
    video = config.video
    spec = cache.Spec(video.height, video.width, video.fps)
    for _, entry in cache.plan(read_shots(work), work, [spec]):
        path = masks.mask_path(masks_folder, entry.sha256)
        if entry.cached and path.is_file():
            mask = masks.load(path, sha256=entry.sha256)
            for event in mask.events:
                if event.kind == "mark" and masks.hides(event):
                    yield entry, mask, event


def _box_in(entry: Entry, mask: Mask, event: Event) -> IntBox | None:
    """The mark's box and one pixel around it, in pixels of the cached frames; None if they do not show it."""
    left, top, right, bottom = entry.crop(mask.width, mask.height)
    across, down = entry.width / (right - left), entry.height / (bottom - top)
    x0, y0, x1, y1 = extent(mask, event)
    box = (
        max(0, int(np.floor((x0 - left) * across)) - 1),
        max(0, int(np.floor((y0 - top) * down)) - 1),
        min(entry.width, int(np.ceil((x1 - left) * across)) + 1),
        min(entry.height, int(np.ceil((y1 - top) * down)) + 1),
    )
    return box if box[2] - box[0] >= 3 and box[3] - box[1] >= 3 else None


def _frames(entry: Entry, event: Event) -> np.ndarray:
    """A few frames of a shot that show an event, evenly spread, uint8 [T, H, W, 3]."""
    frames, pts_seconds, valid = open_clip(entry, 0, entry.frames)
    shown = np.flatnonzero((pts_seconds >= event.first_seconds) & (pts_seconds <= event.last_seconds) & valid)
    if not len(shown):
        return np.empty(0)
    at = shown[np.linspace(0, len(shown) - 1, min(FRAMES_PER_SHOT, len(shown))).round().astype(int)]
    return np.asarray(frames[at])

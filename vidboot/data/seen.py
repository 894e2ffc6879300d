"""What masks leave visible of cached shots, frame by frame and pixel by pixel."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from vidboot import masks, visibility
from vidboot.data.cache import Entry, open_clip
from vidboot.views import LowRes, restrict_seen


def visible_in(entry: Entry, mask: Path, first: int, frames: int) -> np.ndarray:
    """What a mask leaves visible of frames of a shot, uint8 [frames, H, W]."""
    distinct, which = _distinct_visible_in(entry, mask, first, frames)
    return distinct[which]


def _distinct_visible_in(entry: Entry, mask: Path, first: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Do as ``visible_in``, but return what differs once, [K, H, W], and which of that each frame shows, [frames]."""
    packed, which = _mask_of_shot(entry, mask, mask.stat().st_mtime_ns)
    used, which = np.unique(which[first : first + frames], return_inverse=True)
    return np.unpackbits(packed[used], axis=2, count=entry.width), which


def beside(mask: Path, finer: Entry, first: int, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make pixels that a mask touches anew of what it leaves of the finer ones, and say which can be trusted.

    Args:
        mask: of the video.
        finer: the shot at a larger size.
        first: index of the first frame.
        frames: of the shot from there on, uint8 [T, H, W, 3]; left as they are.

    Returns:
        Frames, and uint8 [T, H, W], 1 = trust this pixel.
    """
    T, H, W, _ = frames.shape
    factor = finer.height // H
    visible, which = _distinct_visible_in(finer, mask, first, T)
    touched = (visible.reshape(-1, H, factor, W, factor).min((2, 4)) == 0)[which]
    trusted = np.ones((T, H, W), np.uint8)
    if not touched.any():
        return frames, trusted
    t, y, x = (slice(at.min(), at.max() + 1) for at in touched.nonzero())
    tall, wide = (slice(factor * s.start, factor * s.stop) for s in (y, x))
    pixels = torch.from_numpy(open_clip(finer, first, first + T)[0][t, tall, wide].copy()).movedim(-1, 1).float()
    shown = torch.from_numpy(visible[which[t], None, tall, wide])
    seen, enough = restrict_seen(LowRes(factor), pixels[None], shown[None])
    frames = frames.copy()
    again = seen[0].movedim(1, -1).round().byte().numpy()
    frames[t, y, x] = np.where(touched[t, y, x, None], again, frames[t, y, x])
    trusted[t, y, x] = enough[0, :, 0].numpy()
    return frames, trusted


@lru_cache(maxsize=512)
def _mask_of_shot(entry: Entry, mask: Path, mtime_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """Rasterise the mask of a whole shot: what differs, bits of [K, H, W], and which of it each frame shows, [T].

    Packed, as a caption that travels differs ten times a second. ``mtime_ns`` makes a changed mask file count at once.
    """
    loaded = masks.load(mask, sha256=entry.sha256)
    height, width = entry.height, entry.width
    box = entry.crop(loaded.width, loaded.height)
    _, pts_seconds, _ = open_clip(entry, 0, entry.frames)
    distinct, which = visibility.distinct_visible(loaded, pts_seconds, box, height, width)
    return np.packbits(distinct, axis=2), which

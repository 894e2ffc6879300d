"""Three small films that a test can know all about, one of them with a mask, and what their cache shows."""

import torch
from torch import Tensor

from vidboot.data.cache import Entry, open_clip

SIDE, FPS = 16, 8
LENGTHS = {"a.mp4": 8, "b.mp4": 24, "c.mp4": 40}
BOX = (2, 9, 7, 13)
HIDDEN_SECONDS = (1.0, 1.5)


def frames_of(entry: Entry) -> Tensor:
    frames = torch.from_numpy(open_clip(entry, 0, entry.frames)[0].copy())
    return frames.permute(0, 3, 1, 2).float() / 127.5 - 1


def expected_visible(entry: Entry) -> Tensor:
    """Of a whole shot: the box and one pixel around it are hidden while the event lasts, both ends included."""
    visible = torch.ones(entry.frames, 1, SIDE, SIDE, dtype=torch.uint8)
    if entry.source == "b.mp4":
        first, last = (int(seconds * FPS) for seconds in HIDDEN_SECONDS)
        x0, y0, x1, y1 = BOX
        visible[first : last + 1, :, y0 - 1 : y1 + 1, x0 - 1 : x1 + 1] = 0
    return visible

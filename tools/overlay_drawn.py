"""What an overlay is, and what is true of it: RGBA pictures, masks of letters and of all that is burnt in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VISIBLE = 0.1  # a pixel is burnt in if the overlay's opacity there is more


@dataclass
class Drawn:
    """One overlay as float RGBA [H, W, 4] in [0, 1], and where its letters are, bool [H, W]."""

    rgba: np.ndarray
    glyph: np.ndarray


@dataclass
class BurntEvent:
    """The truth of one overlay, frames ``first`` to ``last``, both included."""

    what: str
    first: int
    last: int
    glyph: np.ndarray
    """bool [1 or last - first + 1, H, W]: letters, lines, their outline."""
    overlay: np.ndarray
    """Everything burnt in: also plates and shadows."""
    text: str = ""
    note: dict[str, Any] = field(default_factory=dict)


@dataclass
class Burnt:
    """Frames with overlays, and what they are."""

    frames: np.ndarray
    events: list[BurntEvent]


Draw = Callable[[int], Drawn | None]  # frame number within the event


def apply(
    burnt: Burnt, kind: str, first: int, last: int, draw: Draw, *, moving: bool, text: str = "", note: Any = None
) -> None:
    """Burn one event into its frames, and note what is true of it."""
    glyphs, overlays = [], []
    for k in range(last - first + 1):
        drawn = draw(k)
        frame = burnt.frames[first + k]
        if drawn is None:
            drawn = Drawn(np.zeros((*frame.shape[:2], 4), np.float32), np.zeros(frame.shape[:2], bool))
        opacity = drawn.rgba[..., 3:]
        frame[:] = np.round(frame * (1 - opacity) + drawn.rgba[..., :3] * 255 * opacity).astype(np.uint8)
        if moving or k == 0:
            shown = opacity[..., 0] > VISIBLE
            glyphs.append(drawn.glyph & shown)
            overlays.append(shown)
    burnt.events.append(BurntEvent(kind, first, last, np.stack(glyphs), np.stack(overlays), text, note or {}))

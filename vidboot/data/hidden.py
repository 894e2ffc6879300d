"""What masks hide of the videos of a folder, where and when, as the audit sees it: without reading any layer."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidboot.boxes import Box
from vidboot.data.geometry import center_crop_box
from vidboot.data.records import Shot
from vidboot.trust import TIME_TOLERANCE_SECONDS, default_dilation, hides


@dataclass(frozen=True, slots=True)
class Hidden:
    """A box outside of which an event hides nothing."""

    first_seconds: float
    last_seconds: float
    """Both included."""
    frame: tuple[int, int] = (0, 0)
    """Display width and height of what the box lies in, pixels."""
    box: Box | None = None
    """In display pixels, not grown yet; None if it may be anywhere."""

    def in_sight(self, shot: Shot, height: int, width: int) -> bool:
        """Whether it hides something of what a net sees of a shot: its centred crop of the aspect height by width."""
        first, last = shot.pts_seconds[0] - TIME_TOLERANCE_SECONDS, shot.pts_seconds[-1] + TIME_TOLERANCE_SECONDS
        if self.first_seconds > last or self.last_seconds < first:
            return False
        if self.box is None or self.frame != (shot.width, shot.height):
            return True
        by = default_dilation(*self.frame)
        left, top, right, bottom = center_crop_box(shot.width, shot.height, height, width)
        x0, y0, x1, y1 = self.box
        across = math.floor(x0) - by < right and math.ceil(x1) + by > left
        return across and math.floor(y0) - by < bottom and math.ceil(y1) + by > top


def hidden_by_masks(masks: Path) -> dict[str, Sequence[Hidden]]:
    """Return what the masks in a folder, if there is one, hide, by SHA-256 of the video.

    Blank and damaged frames are not among it: the scan leaves them out of the shots, or out of what is trusted of them.

    Raises:
        ValueError: one of them is no mask file.
    """
    return {path.stem: _of_file(path) for path in masks.glob("*.json")}


def _of_file(path: Path) -> Sequence[Hidden]:
    try:
        mask = json.loads(path.read_text(encoding="utf-8"))
        return [_hidden(mask, event) for event in mask.get("events", ()) if _counts(event)]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a mask file: {error!r}") from None


def _counts(event: Mapping[str, Any]) -> bool:
    marks = event["kind"] not in ("blank", "damaged")
    return marks and hides(event.get("status", "auto"), event.get("score", 1.0))


def _hidden(mask: Mapping[str, Any], event: Mapping[str, Any]) -> Hidden:
    box, around = event.get("box"), mask.get("layer_boxes", ())
    if box is None and event.get("layer", 0) < len(around):
        box = around[event["layer"]]
    frame = mask.get("width", 0), mask.get("height", 0)
    return Hidden(event["first_seconds"], event["last_seconds"], frame, tuple(box) if box else None)

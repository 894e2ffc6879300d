"""What was found and what a person decided, merged into one mask: decisions survive every new detection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidboot.boxes import Box, around
from vidboot.corruption.found import Found
from vidboot.data.records import FileRecord
from vidboot.decisions import gathered, merge
from vidboot.masks import Event, Mask


def merged(file: FileRecord, found: Sequence[Found], before: Mask | None, kinds: Sequence[str]) -> Mask:
    """Return the new mask: what a person decided stays, and what was found again at the same place and time gives way.

    Args:
        file: the video.
        found: by the detectors, boxes and layers in its pixels.
        before: the mask there is.
        kinds: that were looked for; events of other kinds stay too.
    """
    fresh = _mask(file, found)
    if before is None:
        return fresh
    others = [(before, event) for event in before.events if event.status == "auto" and event.kind not in kinds]
    again = merge(fresh, before)
    return gathered(fresh, [*others, *((again, event) for event in again.events)])


def _mask(file: FileRecord, found: Sequence[Found]) -> Mask:
    events: list[Event] = []
    layers: list[np.ndarray] = []
    taken: set[str] = set()
    placed = [(one, around(one.layer) if one.box is None and one.layer is not None else one.box) for one in found]
    for one, box in sorted(placed, key=lambda pair: (pair[0].first_seconds, pair[0].kind, pair[1])):
        assert box is not None
        event = Event(
            id=_name(one, box, taken),
            kind=one.kind,
            first_seconds=round(one.first_seconds, 6),
            last_seconds=round(one.last_seconds, 6),
            box=None if one.layer is not None else box,
            layer=None if one.layer is None else len(layers),
            score=round(one.score, 3),
        )
        taken.add(event.id)
        layers += [] if one.layer is None else [one.layer]
        events.append(event)
    stacked = np.stack(layers) if layers else np.zeros((0, 0, 0), bool)
    return Mask(file.sha256, file.width, file.height, tuple(events), stacked)


def _name(one: Found, box: Box, taken: set[str]) -> str:
    """A name made of what the event is, so that the same event found again has the same one."""
    name = f"{one.kind}-{one.first_seconds:.2f}-{round(box[0])}-{round(box[1])}"
    return next(n for k in range(len(taken) + 1) if (n := name if k == 0 else f"{name}-{k}") not in taken)

"""What was found and what a person decided, merged into one mask: decisions survive every new detection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidboot import masks
from vidboot.corruption.found import Found
from vidboot.data.records import FileRecord
from vidboot.decisions import merge


def merged(file: FileRecord, found: Sequence[Found], before: masks.Mask | None, kinds: Sequence[str]) -> masks.Mask:
    """Return the new mask: what a person decided stays, and what was found again at the same place and time gives way.

    Args:
        file: the video.
        found: by the detectors, boxes and layers in its pixels.
        before: the mask there is.
        kinds: that were looked for; events of other kinds stay too.
    """
    events: list[masks.Event] = []
    layers: list[np.ndarray] = []

    def add(event: masks.Event, layer: np.ndarray | None) -> None:
        if layer is not None:
            event = event.model_copy(update={"layer": len(layers)})
            layers.append(layer)
        events.append(event)

    for event in before.events if before else ():
        if event.status == "auto" and event.kind not in kinds:
            assert before is not None
            add(event, None if event.layer is None else before.layers[event.layer])
    taken = {event.id for event in events}
    for one in sorted(found, key=lambda one: (one.first_seconds, one.kind, _extent(one.box, one.layer))):
        extent = _extent(one.box, one.layer)
        name = _name(one, extent, taken)
        taken.add(name)
        new = masks.Event(
            id=name,
            kind=one.kind,
            first_seconds=round(one.first_seconds, 6),
            last_seconds=round(one.last_seconds, 6),
            box=one.box if one.layer is None else (0, 0, 1, 1),
            score=round(one.score, 3),
        )
        if one.layer is not None:
            new = new.model_copy(update={"box": None})
        add(new, one.layer)
    stacked = np.stack(layers) if layers else np.zeros((0, 0, 0), bool)
    together = masks.Mask(file.sha256, file.width, file.height, tuple(events), stacked)
    return merge(together, before) if before else together


def _extent(box: masks.Box | None, layer: np.ndarray | None) -> masks.Box:
    if layer is None:
        assert box is not None
        return box
    rows, columns = np.flatnonzero(layer.any(1)), np.flatnonzero(layer.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _name(one: Found, extent: masks.Box, taken: set[str]) -> str:
    """A name made of what the event is, so that the same event found again has the same one."""
    name = f"{one.kind}-{one.first_seconds:.2f}-{round(extent[0])}-{round(extent[1])}"
    return next(n for k in range(len(taken) + 1) if (n := name if k == 0 else f"{name}-{k}") not in taken)

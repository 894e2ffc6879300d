"""All that was found of a video, and what a person decided, merged into one mask: decisions survive every detection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidboot.boxes import around
from vidboot.corruption.found import Found, of_mark
from vidboot.data.records import FileRecord
from vidboot.decisions import gathered, merge
from vidboot.detections import Detected
from vidboot.masks import Event, Mask
from vidboot.trust import SURE


def all_found(
    file: FileRecord,
    pts_seconds: np.ndarray,
    detected: Detected,
    across: Sequence[tuple[np.ndarray, float]],
    kinds: Sequence[str],
) -> list[Found]:
    """Join what was found in a video by itself, what its folder says of it, and the frames that the scan found broken.

    Args:
        file: the video.
        pts_seconds: of every frame, [T].
        detected: in the video by itself.
        across: marks that several videos of the folder share: their pixels, bool [height, width], and how sure it is.
        kinds: that are looked for; others are left out.
    """
    found = [one for one in detected.found if one.kind in kinds]
    for pixels, score in across:
        # What the folder says of a place replaces what was said of it before, unless that is surer.
        found = [
            one
            for one in found
            if one.layer is None or one.score > score or (one.layer & pixels).sum() < 0.5 * one.layer.sum()
        ]
        first, last, box = float(pts_seconds[0]), float(pts_seconds[-1]), around(pixels)
        found.append(Found(kind="mark", first_seconds=first, last_seconds=last, box=box, layer=pixels, score=score))
        if score >= SURE:
            found = [one for one in found if not of_mark(one, pixels)]
    frame = (0.0, 0.0, float(file.width), float(file.height))
    for kind, spans in (("blank", file.blank), ("damaged", file.damaged)):
        if kind in kinds:
            for first, last in spans:
                on, off = float(pts_seconds[first]), float(pts_seconds[last])
                found.append(Found(kind=kind, first_seconds=on, last_seconds=off, box=frame))  # type: ignore[arg-type]
    return found


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
    for one in sorted(found, key=lambda one: (one.first_seconds, one.kind, one.box)):
        event = Event(
            id=_name(one, taken),
            kind=one.kind,
            first_seconds=round(one.first_seconds, 6),
            last_seconds=round(one.last_seconds, 6),
            box=None if one.layer is not None else one.box,
            layer=None if one.layer is None else len(layers),
            score=round(one.score, 3),
        )
        taken.add(event.id)
        layers += [] if one.layer is None else [one.layer]
        events.append(event)
    stacked = np.stack(layers) if layers else np.zeros((0, 0, 0), bool)
    return Mask(file.sha256, file.width, file.height, tuple(events), stacked)


def _name(one: Found, taken: set[str]) -> str:
    """A name made of what the event is, so that the same event found again has the same one."""
    name = f"{one.kind}-{one.first_seconds:.2f}-{round(one.box[0])}-{round(one.box[1])}"
    return next(n for k in range(len(taken) + 1) if (n := name if k == 0 else f"{name}-{k}") not in taken)

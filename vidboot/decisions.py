"""What a person decided of the events in mask files, and how it outlives another detection.

A decision lives in the mask file, as the event's status. Beside an event that was drawn anew the file keeps what had
been found, rejected and named ID + FOUND: by it another detection of the same thing is known again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vidboot.boxes import Box, around, iou
from vidboot.masks import Event, Kind, Mask, Status
from vidboot.trust import TIME_TOLERANCE_SECONDS

SCHEMA = 1
FOUND = "~found"
"""Ends the id of what a person's own box stands in for."""
LEAST_OVERLAP = 0.5
"""Two events are one if they are of one kind and their times and their boxes overlap by more than this (IoU)."""


class Decision(BaseModel):
    """What a person said of one event."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the video."""
    id: str
    """Of the event when it was reviewed; another detection may have named it anew."""
    kind: Kind
    first_seconds: float
    last_seconds: float
    seen: Box
    """Where it was when it was reviewed: its box, or the box around its layer."""
    status: Status
    """``auto`` takes a decision back."""
    box: Box | None = None
    """The new box; with ``edited``, and only with it."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.box is None) == (self.status == "edited"):
            raise ValueError(f"the decision on {self.id!r} has a box if it is 'edited', and only then")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    version: Literal[1] = Field(alias="schema")
    decisions: tuple[Decision, ...]


def read(path: Path) -> dict[str, list[Decision]]:
    """Return the decisions of a file, by the SHA-256 of the video.

    Raises:
        ValueError: there is no such file, it is half-written or of another schema, or decides one event twice.
    """
    try:
        content = _File.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"there is no decisions file {path}") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder, not a decisions file") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path} is not a decisions file: {where + ': ' if where else ''}{first['msg']}") from error
    by_video: dict[str, list[Decision]] = {}
    for decision in content.decisions:
        earlier = by_video.setdefault(decision.sha256, [])
        if any(other.id == decision.id for other in earlier):
            raise ValueError(f"{path} decides twice on event {decision.id!r} of {decision.sha256[:12]}…")
        earlier.append(decision)
    return by_video


class Seen(NamedTuple):
    """What an event is known by."""

    kind: Kind
    first_seconds: float
    last_seconds: float
    box: Box

    @property
    def end_seconds(self) -> float:
        """When it is over: both end frames belong to an event, so that one frame alone still has a duration."""
        return self.last_seconds + 2 * TIME_TOLERANCE_SECONDS


def extent(mask: Mask, event: Event) -> Box:
    """Return the event's box, or the box around its layer; a layer that hides nothing has an empty one."""
    if event.box is not None:
        return event.box
    assert event.layer is not None
    return around(mask.layers[event.layer])


def overlap(a: Seen, b: Seen) -> float:
    """How surely two events are one: IoU in time times IoU of the boxes, 0 unless both exceed `LEAST_OVERLAP`."""
    if a.kind != b.kind:
        return 0.0
    in_time = iou((a.first_seconds, 0, a.end_seconds, 1), (b.first_seconds, 0, b.end_seconds, 1))
    in_space = iou(a.box, b.box)
    return in_time * in_space if min(in_time, in_space) > LEAST_OVERLAP else 0.0


def merge(found: Mask, decided: Mask) -> Mask:
    """Put what a detection found beside what a person decided before.

    Decided events stay as they are, found again or not. A found event that is one of them (see `overlap`; each decided
    event stands for one found event, the surest pairs first) is left out, so that what was rejected stays rejected and
    what was redrawn keeps its new box. All others come in as found; one whose id is taken gets a new one.

    Raises:
        ValueError: the masks are of different videos.
    """
    if (found.sha256, found.width, found.height) != (decided.sha256, decided.width, decided.height):
        raise ValueError(f"the masks are of different videos: {found.sha256[:12]}… and {decided.sha256[:12]}…")
    kept = [event for event in decided.events if event.status != "auto"]
    known = _pairs([_seen(found, event) for event in found.events], [_seen(decided, event) for event in kept])
    parts = [(decided, event) for event in kept]
    taken = {event.id for event in kept} | {event.id for event in found.events}
    ids = {event.id for event in kept}
    for i, event in enumerate(found.events):
        if i in known:
            continue
        if event.id in ids:
            event = event.model_copy(update={"id": _free(event.id, taken)})
        taken.add(event.id)
        parts.append((found, event))
    return gathered(found, parts)


def _seen(mask: Mask, event: Event) -> Seen:
    return Seen(event.kind, event.first_seconds, event.last_seconds, extent(mask, event))


def _pairs(found: Sequence[Seen], kept: Sequence[Seen]) -> set[int]:
    """Return which of ``found`` are among ``kept``, one to one."""
    first, end = np.array([b.first_seconds for b in kept]), np.array([b.end_seconds for b in kept])
    overlaps = (
        (overlap(a, kept[j]), i, j)
        for i, a in enumerate(found)
        for j in np.flatnonzero((first < a.end_seconds) & (a.first_seconds < end)).tolist()
    )
    paired: set[int] = set()
    taken: set[int] = set()
    for _, i, j in sorted((pair for pair in overlaps if pair[0] > 0), reverse=True):
        if i not in paired and j not in taken:
            paired.add(i)
            taken.add(j)
    return paired


def _free(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}.{number}" in taken:
        number += 1
    return f"{name}.{number}"


def gathered(like: Mask, parts: Iterable[tuple[Mask, Event]]) -> Mask:
    """Build one mask of events from several, each layer kept once."""
    layers: list[np.ndarray] = []
    numbers: dict[bytes, int] = {}
    events = []
    for mask, event in parts:
        if event.layer is not None:
            layer = mask.layers[event.layer]
            number = numbers.setdefault(np.packbits(layer).tobytes(), len(layers))
            if number == len(layers):
                layers.append(layer)
            event = event.model_copy(update={"layer": number})
        events.append(event)
    held = np.stack(layers) if layers else np.zeros((0, 0, 0), bool)
    return Mask(like.sha256, like.width, like.height, tuple(events), held)


def applied(mask: Mask, decisions: Iterable[Decision]) -> Mask:
    """Return the mask with decisions on its events; applying them again changes nothing.

    An event is looked for by its id; if another detection has given that id to something else, by what it is.

    Raises:
        ValueError: the mask has no such event, or a new box lies outside the frame.
    """
    events = {event.id: event for event in mask.events}
    for decision in decisions:
        name = _find(mask, events, decision)
        event, found = events[name], events.pop(name + FOUND, events[name])
        if decision.status == "edited":
            events[name] = event.model_copy(update={"box": decision.box, "layer": None, "status": "edited"})
            events[name + FOUND] = found.model_copy(update={"id": name + FOUND, "status": "rejected"})
        else:
            events[name] = found.model_copy(update={"id": name, "status": decision.status})
    return Mask(mask.sha256, mask.width, mask.height, tuple(events.values()), mask.layers)


def _find(mask: Mask, events: dict[str, Event], decision: Decision) -> str:
    """Name the event that a decision is on."""
    wanted = Seen(decision.kind, decision.first_seconds, decision.last_seconds, decision.seen)

    def likeness(name: str) -> float:
        return overlap(wanted, _seen(mask, events.get(name + FOUND, events[name])))

    names = [name for name in events if not name.endswith(FOUND)]
    if decision.id in names and likeness(decision.id) > 0:
        return decision.id
    best = max(names, key=likeness, default=None)
    if best is None or likeness(best) == 0:
        raise ValueError(
            f"the mask of {mask.sha256[:12]}… has no event {decision.id!r}: no {decision.kind} from "
            f"{decision.first_seconds:g} s to {decision.last_seconds:g} s at {decision.seen}"
        )
    return best

"""Mask files: which pixels of one video cannot be trusted, and when.

``SHA256.json`` holds events and names the layers beside it, what is not a box: ``SHA256.DIGEST.npz``. Both are
undilated; `visibility` dilates. Times are the file's own timestamps, boxes are [x0, y0, x1, y1) in display pixels of
the source.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vidboot import trust
from vidboot.boxes import Box, around
from vidboot.files import part_path, replacing, write_text

SCHEMA = 1
Kind = Literal["subtitle", "mark", "bar", "frozen", "blank", "damaged", "other"]
Status = Literal["auto", "accepted", "rejected", "edited"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Event(BaseModel):
    """One thing that hides pixels from its first frame to its last, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str
    """Name of the event, unique in its file."""
    kind: Kind
    first_seconds: float
    """Timestamp of the first frame that shows it."""
    last_seconds: float
    """Timestamp of the last frame that shows it."""
    box: Box | None = None
    """x0, y0, x1, y1 in source display pixels; either this or ``layer``."""
    layer: Annotated[int, Field(ge=0)] | None = None
    """Index into the layers of the .npz."""
    score: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How sure the detector was, 0 to 1."""
    status: Status = "auto"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.box is None) == (self.layer is None):
            raise ValueError(f"event {self.id!r} needs either a box or a layer")
        if self.last_seconds < self.first_seconds:
            raise ValueError(f"event {self.id!r} ends at {self.last_seconds} s, before {self.first_seconds} s")
        return self


class _MaskFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = Field(alias="schema")
    sha256: Digest
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    events: tuple[Event, ...] = ()
    layers_sha256: Digest | None = None
    """Of the layers beside it, whose file is named by it; None: not known, in old files."""
    layer_boxes: tuple[Box, ...] | None = None
    """Around what each layer hides, for readers who do not want its pixels; None: not known."""


def hides(event: Event) -> bool:
    """Whether an event hides its pixels."""
    return trust.hides(event.status, event.score)


def waits(event: Event) -> bool:
    """Whether an event hides nothing until a person has decided on it."""
    return event.status == "auto" and not hides(event)


@dataclass(frozen=True)
class Mask:
    """The mask of one video.

    Args:
        sha256: of the video file, 64 hexadecimal digits.
        width: display width of the source, px.
        height: display height of the source, px.
        events: in any order, ids unique.
        layers: bool [L, height, width], True = hidden.

    Raises:
        ValueError: an event lies outside the frame or names a layer that is not there.
    """

    sha256: str
    width: int
    height: int
    events: tuple[Event, ...] = ()
    layers: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), bool), compare=False)

    def __post_init__(self) -> None:
        ids = [event.id for event in self.events]
        if len(set(ids)) < len(ids):
            raise ValueError(f"event ids are not unique: {ids}")
        if len(self.layers) and self.layers.shape[1:] != (self.height, self.width):
            raise ValueError(f"layers are {self.layers.shape[1:]}, the frame is {self.height}x{self.width}")
        for event in self.events:
            self._check(event)

    def digest(self) -> str:
        """Name what the mask says: another digest is another mask."""
        return hashlib.sha256(repr(self.events).encode() + np.packbits(self.layers).tobytes()).hexdigest()

    def _check(self, event: Event) -> None:
        if event.layer is not None and event.layer >= len(self.layers):
            raise ValueError(f"event {event.id!r} names layer {event.layer} of {len(self.layers)}")
        if event.box is not None:
            x0, y0, x1, y1 = event.box
            if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
                raise ValueError(f"event {event.id!r}: box {event.box} is outside the frame {self.width}x{self.height}")


def mask_path(folder: Path, sha256: str) -> Path:
    """Where the mask of a video lives, in a folder of masks."""
    return folder / f"{sha256}.json"


def load(path: Path, *, sha256: str | None = None) -> Mask:
    """Read the mask file at ``path``.

    Args:
        path: the .json file; layers come from the .npz beside it that it names.
        sha256: of the video the mask is wanted for, if known.

    Raises:
        ValueError: the file is half-written, breaks a rule, or belongs to another video.
        FileNotFoundError: there is no such file.
    """
    try:
        content = _MaskFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path} is not a mask file: {where + ': ' if where else ''}{first['msg']}") from error
    if sha256 is not None and content.sha256 != sha256:
        raise ValueError(f"{path} is the mask of another video: {content.sha256[:12]}…, not {sha256[:12]}…")
    needs_layers = any(event.layer is not None for event in content.events)
    none = np.zeros((0, 0, 0), bool)
    layers = _load_layers(path, content.layers_sha256) if needs_layers else none
    try:
        return Mask(content.sha256, content.width, content.height, content.events, layers)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _load_layers(path: Path, sha256: str | None) -> np.ndarray:
    """Read the layers of the mask file at ``path``."""
    file = _unnamed(path) if sha256 is None else _layers_path(path, sha256)
    try:
        with np.load(file if file.exists() else _unnamed(path)) as arrays:
            layers = arrays["layers"].astype(bool)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} does not hold the layers of {path.name}: {error}") from error
    if sha256 not in (None, _digest(layers)):
        raise ValueError(f"{file} does not hold the layers of {path.name}, but others")
    return layers


def _layers_path(path: Path, sha256: str) -> Path:
    return path.with_name(f"{path.stem}.{sha256[:12]}.npz")


def _unnamed(path: Path) -> Path:
    """Where layers were before their file was named by what it holds."""
    return path.with_suffix(".npz")


def _digest(layers: np.ndarray) -> str:
    return hashlib.sha256(repr(layers.shape).encode() + np.packbits(layers).tobytes()).hexdigest()


def save(path: Path, mask: Mask) -> None:
    """Write ``mask`` to ``path`` (.json, and .npz if it has layers): a kill leaves the old mask or the new one."""
    digest = _digest(mask.layers) if len(mask.layers) else None
    content = _MaskFile(
        schema=SCHEMA,
        sha256=mask.sha256,
        width=mask.width,
        height=mask.height,
        events=mask.events,
        layers_sha256=digest,
        layer_boxes=tuple(around(layer) for layer in mask.layers) or None,
    )
    text = json.dumps(content.model_dump(mode="json", by_alias=True, exclude_none=True), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    layers_path = _layers_path(path, digest) if digest else None
    if layers_path:
        with replacing(layers_path) as part, part.open("wb") as file:
            np.savez_compressed(file, layers=mask.layers)
    write_text(path, text + "\n")
    for left in _all_layers(path):
        if left != layers_path:
            left.unlink(missing_ok=True)


def _all_layers(path: Path) -> list[Path]:
    """Whatever layers lie beside a mask file: its own, an older mask's, and what a kill left half-written."""
    named = _layers_path(path, "*")
    return [_unnamed(path), *path.parent.glob(named.name), *path.parent.glob(part_path(named).name)]

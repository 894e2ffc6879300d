"""Mask files: which pixels of one video cannot be trusted, and when.

``SHA256.json`` holds events, ``SHA256.npz`` beside it the layers that are not boxes. Both are undilated; `visible`
dilates. Times are the file's own timestamps, boxes are [x0, y0, x1, y1) in display pixels of the source.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vidboot import trust
from vidboot.boxes import Box

SCHEMA = 1
# A timestamp written by one reader and compared by another may differ by a rounding of its time base.
TIME_TOLERANCE_SECONDS = 1e-3
Spans = tuple[np.ndarray, np.ndarray]  # first and one-past-last source pixel of each cell
Kind = Literal["subtitle", "mark", "bar", "frozen", "blank", "damaged", "other"]
Status = Literal["auto", "accepted", "rejected", "edited"]


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
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    version: Literal[1] = Field(default=SCHEMA, alias="schema")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    events: tuple[Event, ...] = ()
    layers_sha256: str | None = None
    """Of the layers beside it; None: not known."""


def hides(event: Event) -> bool:
    """Whether an event hides its pixels."""
    return trust.hides(event.status, event.score)


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


def load(path: Path, *, sha256: str | None = None) -> Mask:
    """Read the mask file at ``path``.

    Args:
        path: the .json file; layers come from the .npz beside it.
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
    layers = _load_layers(path, content.layers_sha256) if needs_layers else np.zeros((0, 0, 0), bool)
    try:
        return Mask(content.sha256, content.width, content.height, content.events, layers)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _load_layers(path: Path, sha256: str | None) -> np.ndarray:
    """Read the layers that belong to a mask file: those beside it, or those it was killed before giving their name."""
    layers_path = path.with_suffix(".npz")
    for file in (layers_path, _part(layers_path)):
        try:
            with np.load(file) as arrays:
                layers = arrays["layers"].astype(bool)
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            continue
        if sha256 is None or _digest(layers) == sha256:
            return layers
    raise ValueError(f"{layers_path} does not hold the layers its .json names")


def _digest(layers: np.ndarray) -> str:
    return hashlib.sha256(repr(layers.shape).encode() + np.packbits(layers).tobytes()).hexdigest()


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def save(path: Path, mask: Mask) -> None:
    """Write ``mask`` to ``path`` (.json, and .npz if it has layers): a kill leaves the old mask or the new one."""
    layers_path, digest = path.with_suffix(".npz"), _digest(mask.layers) if len(mask.layers) else None
    content = _MaskFile(
        sha256=mask.sha256, width=mask.width, height=mask.height, events=mask.events, layers_sha256=digest
    )
    text = json.dumps(content.model_dump(mode="json", by_alias=True, exclude_none=True), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(mask.layers):
        _settle(path)
        with _part(layers_path).open("wb") as file:
            np.savez_compressed(file, layers=mask.layers)
    _part(path).write_text(text + "\n", encoding="utf-8")
    os.replace(_part(path), path)
    if len(mask.layers):
        os.replace(_part(layers_path), layers_path)


def _settle(path: Path) -> None:
    """Give the layers of a mask file their name, where a kill came before it: others are about to take their place."""
    part = _part(path.with_suffix(".npz"))
    if part.exists() and path.exists():
        sha256 = _MaskFile.model_validate_json(path.read_bytes()).layers_sha256
        try:
            with np.load(part) as arrays:
                mine = _digest(arrays["layers"].astype(bool)) == sha256
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            mine = False
        if mine:
            os.replace(part, path.with_suffix(".npz"))


def default_dilation(width: int, height: int) -> int:
    """Pixels by which hidden regions grow on load, for the halo of compression: .6 % of the shorter side, at least 3.

    Below a short side of 240, where 3 pixels would hide whole letters of the scene, 1/80 of it, at least 1.
    """
    side = min(width, height)
    return max(math.ceil(0.006 * side), min(3, math.ceil(side / 80)))


def visible(
    mask: Mask,
    pts_seconds: Sequence[float] | np.ndarray,
    crop_box: Box,
    height: int,
    width: int,
    *,
    dilation: int | None = None,
) -> np.ndarray:
    """Rasterise the mask for frames that show ``crop_box`` of the source at ``height`` x ``width``.

    A cell is trusted only if every source pixel it touches, even in part, is. What events hide is said by `hides`.

    Args:
        mask: of the source.
        pts_seconds: timestamps, [T].
        crop_box: x0, y0, x1, y1 in source display pixels, may be fractional.
        height: rows of the result.
        width: columns of the result.
        dilation: source pixels by which hidden regions grow; default `default_dilation`.

    Returns:
        uint8 [T, height, width], 1 = trust this pixel.

    Raises:
        ValueError: ``crop_box`` is empty or outside the source.
    """
    distinct, which = distinct_visible(mask, pts_seconds, crop_box, height, width, dilation=dilation)
    return distinct[which]


def distinct_visible(
    mask: Mask,
    pts_seconds: Sequence[float] | np.ndarray,
    crop_box: tuple[float, float, float, float],
    height: int,
    width: int,
    *,
    dilation: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Do as ``visible``, but return what differs once, [K, height, width], and which of that each frame shows, [T]."""
    x0, y0, x1, y1 = crop_box
    if not (0 <= x0 < x1 <= mask.width and 0 <= y0 < y1 <= mask.height):
        raise ValueError(f"{crop_box = } is outside the frame {mask.width}x{mask.height}")
    if dilation is None:
        dilation = default_dilation(mask.width, mask.height)
    kept = [event for event in mask.events if hides(event)]
    active = _active(kept, np.asarray(pts_seconds, np.float64))  # [T, events]
    used = np.flatnonzero(active.any(axis=0))
    if not len(used):
        return np.ones((1, height, width), np.uint8), np.zeros(len(pts_seconds), np.intp)
    rows, columns = _covered(y0, y1, height), _covered(x0, x1, width)
    hidden = np.stack([_hidden_cells(mask, kept[i], rows, columns, dilation=dilation) for i in used])
    together, which = np.unique(active[:, used], axis=0, return_inverse=True)
    distinct = np.stack([hidden[present].any(axis=0) for present in together])
    return (~distinct).astype(np.uint8), which.ravel()


def _active(events: Sequence[Event], pts_seconds: np.ndarray) -> np.ndarray:
    first = np.array([event.first_seconds for event in events]) - TIME_TOLERANCE_SECONDS
    last = np.array([event.last_seconds for event in events]) + TIME_TOLERANCE_SECONDS
    return (pts_seconds[:, None] >= first) & (pts_seconds[:, None] <= last)


def _hidden_cells(mask: Mask, event: Event, rows: Spans, columns: Spans, *, dilation: int) -> np.ndarray:
    """Cells that touch a pixel of the dilated event, bool [rows, columns]; a pixel the box touches in part is in it."""
    if event.box is None:
        assert event.layer is not None
        hidden = _dilate(mask.layers[event.layer], dilation)
        return _any_between(_any_between(hidden, rows, axis=0), columns, axis=1)
    x0, y0, x1, y1 = event.box
    in_rows = (rows[0] < np.ceil(y1) + dilation) & (rows[1] > np.floor(y0) - dilation)
    in_columns = (columns[0] < np.ceil(x1) + dilation) & (columns[1] > np.floor(x0) - dilation)
    return np.outer(in_rows, in_columns)


def _dilate(hidden: np.ndarray, by: int) -> np.ndarray:
    """Grow by a square of side 2 * by + 1, one axis after the other."""
    for axis, size in enumerate(hidden.shape):
        at = np.arange(size)
        hidden = _any_between(hidden, (np.maximum(at - by, 0), np.minimum(at + by + 1, size)), axis=axis)
    return hidden


def _covered(first: float, last: float, cells: int) -> Spans:
    """First and one-past-last source pixel touched by each of ``cells`` equal parts of [first, last)."""
    edges = first + (last - first) * np.arange(cells + 1) / cells
    # An edge that is a whole number up to rounding touches no further pixel.
    edges = np.where(np.abs(edges - np.round(edges)) < 1e-6, np.round(edges), edges)
    return np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)


def _any_between(hidden: np.ndarray, spans: Spans, *, axis: int) -> np.ndarray:
    """Whether anything is hidden in each of ``spans`` along ``axis``, by differences of a running count."""
    count = np.insert(np.cumsum(hidden, axis=axis, dtype=np.int64), 0, 0, axis=axis)
    first, last = spans
    return np.take(count, last, axis=axis) > np.take(count, first, axis=axis)


def cells(shown: np.ndarray, patch: int) -> np.ndarray:
    """Mean of ``shown`` over ``patch`` x ``patch`` pixels: 1 = all visible, 0 = all hidden, else in part.

    Args:
        shown: uint8 or bool [T, H, W].
        patch: pixels; H and W are divisible by it.

    Returns:
        float32 [T, H // patch, W // patch].

    Raises:
        ValueError: the frame is not divisible by ``patch``.
    """
    T, H, W = shown.shape
    if H % patch or W % patch:
        raise ValueError(f"frame {H}x{W} is not divisible by {patch = }")
    return shown.reshape(T, H // patch, patch, W // patch, patch).mean(axis=(2, 4), dtype=np.float32)


def latent(shown: np.ndarray, patch: int, group: int) -> np.ndarray:
    """Return which cells of a causal video latent are visible: only those all of whose pixels and frames are.

    Args:
        shown: uint8 or bool [T, H, W]; H and W are divisible by ``patch``.
        patch: pixels per cell along each side.
        group: frames per cell after the first frame, which has cells of its own; the last group may be shorter.

    Returns:
        uint8 [1 + ceil((T - 1) / group), H // patch, W // patch].

    Raises:
        ValueError: the frame is not divisible by ``patch``, or a number is below 1.
    """
    if group < 1 or len(shown) < 1:
        raise ValueError(f"a latent has at least one frame per cell and one frame, got {group = }, T = {len(shown)}")
    whole = cells(shown != 0, patch) == 1
    starts = [0, *range(1, len(shown), group)]
    return np.logical_and.reduceat(whole, starts, axis=0).astype(np.uint8)

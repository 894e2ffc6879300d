"""What was found in one video by itself: one file per video, whole or not there, of events and the summary that the
folder-wide search needs. So a run that is killed looks at no video twice."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidboot.corruption.found import Found
from vidboot.corruption.static import StaticSummary
from vidboot.files import replacing

FOLDER = "detections"


@dataclass(frozen=True)
class Detected:
    """What was found in one video by itself, boxes and layers in pixels of the source."""

    found: tuple[Found, ...]
    static: StaticSummary | None


def write(path: Path, detected: Detected, key: str) -> None:
    """Write a result, whole or not at all; ``key`` names the settings it was made with."""
    layers = [one.layer for one in detected.found if one.layer is not None]
    strokes = [one.strokes for one in detected.found if one.strokes is not None]
    events = [
        {"kind": one.kind, "first_seconds": one.first_seconds, "last_seconds": one.last_seconds, "score": one.score}
        | {
            "box": one.box,
            "layer": one.layer is not None,
            "strokes": None if one.strokes is None else one.strokes.shape,
        }
        for one in detected.found
    ]
    arrays: dict[str, np.ndarray] = {"header": np.array(json.dumps({"key": key, "events": events}))}
    if layers:
        arrays["layers"] = np.stack(layers)
    if strokes:
        arrays["strokes"] = np.concatenate([np.packbits(one) for one in strokes])
    if detected.static is not None:
        arrays |= {
            "gradient": detected.static.gradient,
            "colours": detected.static.colours,
            "looks": detected.static.looks,
        }
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read(path: Path, key: str) -> Detected | None:
    """Return a result of the same settings; None if there is none whole."""
    try:
        return _read(path, key)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _read(path: Path, key: str) -> Detected | None:
    with np.load(path) as arrays:
        header = json.loads(str(arrays["header"]))
        if header["key"] != key:
            return None
        layers = iter(arrays["layers"]) if "layers" in arrays else iter(())
        strokes, at, found = arrays["strokes"] if "strokes" in arrays else np.zeros(0, np.uint8), 0, []
        for event in header["events"]:
            event |= {"box": tuple(event["box"]), "layer": next(layers) if event["layer"] else None}
            if event["strokes"]:
                h, w = event["strokes"]
                packed = strokes[at : at + -(-h * w // 8)]
                at += len(packed)
                event["strokes"] = np.unpackbits(packed, count=h * w).reshape(h, w).astype(bool)
            found.append(Found(**event))
        static = StaticSummary(*(arrays[k] for k in ("gradient", "colours", "looks"))) if "gradient" in arrays else None
    return Detected(tuple(found), static)

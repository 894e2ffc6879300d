"""Masks of a small video for tests."""

from typing import Any

import numpy as np

from vidboot.masks import Event, Mask

SHA = "a" * 64


def subtitle(name: str = "s", *, first: float = 1, last: float = 2, **fields: Any) -> Event:
    where = {} if "layer" in fields else {"box": (2, 6, 9, 8)}
    return Event.model_validate(
        {"id": name, "kind": "subtitle", "first_seconds": first, "last_seconds": last, **where, **fields}
    )


def mask(*events: Event, width: int = 12, height: int = 10, layers: np.ndarray | None = None) -> Mask:
    if layers is None:
        return Mask(SHA, width, height, events)
    return Mask(SHA, width, height, events, layers)

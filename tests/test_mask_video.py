"""What one video by itself tells, and how that is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vidboot import detections
from vidboot.corruption.found import Found


def test_what_was_found_is_read_as_it_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layer = rng.random((9, 16)) < 0.5
    times: dict[str, Any] = {"first_seconds": 0.0, "last_seconds": 1.0}
    lines = [
        Found(kind="subtitle", box=(1.0, 2.0, 3.5, 4.0), strokes=rng.random((h, w)) < 0.5, score=0.7, **times)
        for h, w in ((3, 5), (8, 8), (1, 1))
    ]
    found = (
        lines[0],
        Found(kind="mark", box=(0, 0, 16, 9), layer=layer, **times),
        *lines[1:],
        Found(kind="bar", box=(0, 0, 9, 1), **times),
    )
    path = tmp_path / "a.npz"
    detections.write(path, detections.Detected(found, None), "key")
    again = detections.read(path, "key")
    assert again is not None
    for one, then in zip(again.found, found, strict=True):
        assert replace(one, strokes=None, layer=None) == replace(then, strokes=None, layer=None)
        for now, before in ((one.strokes, then.strokes), (one.layer, then.layer)):
            assert (now is None) == (before is None)
            np.testing.assert_array_equal(now, before)
    assert detections.read(path, "other") is None

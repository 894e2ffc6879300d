"""What one video by itself tells, and how that is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidboot import detections, mask_video
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


@pytest.mark.parametrize(
    ("box", "seconds", "score"),
    [((10, 2, 60, 8), 2, 0.8), ((10, 2, 60, 8), 0.8, 0.4), ((10, 2, 60, 14), 2, 0.4)],
    ids=["stands on it", "for a moment", "reaches out of it"],
)
def test_a_bar_alone_is_sure_where_a_line_of_text_stands_on_it(
    box: tuple[float, float, float, float], seconds: float, score: float
) -> None:
    bar = Found(kind="bar", first_seconds=0, last_seconds=9, box=(0, 0, 160, 10), score=0.4)
    line = Found(kind="subtitle", first_seconds=1, last_seconds=1 + seconds, box=box, score=0.3)
    assert mask_video._or_panel(bar, [line]).score == score
    assert mask_video._or_panel(replace(bar, score=0.9), [line]).score == 0.9

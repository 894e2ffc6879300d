"""A restored clip keeps its time: of every frame, of the last, and of what is heard."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from restoring import FPS, call, clip, decoded, move
from sounds import packets, with_tone

from vidboot import restore
from vidboot.data.encode import VideoWriter


def retime(path: Path, pts_seconds: np.ndarray, **how: Any) -> None:
    frames, _ = decoded(path)
    _, height, width, _ = frames.shape
    with VideoWriter(path, width, height, FPS, ticks=90_000, **how) as writer:
        writer.write(frames, pts_seconds)


def lasting(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.duration or 0) / av.time_base


@pytest.mark.parametrize("steps", [[0.125], [0.1, 0.3, 0.2], [5, 20]], ids=["even", "uneven", "slides"])
def test_the_last_frame_stands_as_long_as_it_did(untrained_run: Path, tmp_path: Path, steps: list[float]) -> None:
    path, mask = clip(tmp_path)
    at = np.insert(np.cumsum(np.resize(steps, 29)), 0, 0.0)
    retime(path, at, last_seconds=10)
    move(mask, path)
    assert lasting(path) == pytest.approx(at[-1] + 10, abs=1e-3)
    assert call(untrained_run, tmp_path).exit_code == 0
    assert lasting(tmp_path / "out.mp4") == pytest.approx(lasting(path), abs=min(steps))
    np.testing.assert_allclose(decoded(tmp_path / "out.mp4")[1], at, atol=1e-3)


def test_the_clips_sound_comes_along_in_time(untrained_run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path)
    assert json.loads(call(untrained_run, tmp_path).stdout)["sound"] is False
    with_tone(path)
    move(mask, path)
    assert json.loads(call(untrained_run, tmp_path).stdout)["sound"] is True
    assert packets(tmp_path / "out.mp4") == packets(path)
    assert len(decoded(tmp_path / "out.mp4")[0]) == 30


def test_a_sound_that_would_be_out_of_time_is_left_out_and_that_is_told(untrained_run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path)
    retime(path, np.arange(30) / FPS + 300 * (np.arange(30) >= 15))
    with_tone(path)
    move(mask, path)
    result = json.loads(call(untrained_run, tmp_path).stdout)
    assert result["sound"] is False
    assert "without sound, which would be out of time" in restore.sentence(result)
    with av.open(str(tmp_path / "out.mp4")) as written:
        assert not written.streams.audio

"""Decord is believed to read a file only if it shows the pictures that PyAV does."""

from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from films import moving_square, write_film
from orientations import MATRICES, Matrix, display_by

from vidboot.data import decord_check
from vidboot.data.decode import Video
from vidboot.data.probe import probe
from vidboot.data.records import Scanned


def test_decord_is_not_trusted_when_it_reads_other_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(tmp_path / "a.mp4", moving_square(20, 32, 32))
    monkeypatch.setattr(decord_check, "_read", lambda path, order, frames: [np.zeros((16, 16))] * len(order))
    *_, last = probe(str(tmp_path), "a.mp4", {})
    assert isinstance(last, Scanned)
    assert last.file.reader == "pyav"


def test_decord_is_trusted_when_it_reads_the_same_frames(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    write_film(tmp_path / "a.mp4", moving_square(20, 32, 32))
    *_, last = probe(str(tmp_path), "a.mp4", {})
    assert isinstance(last, Scanned)
    assert last.file.reader == "decord"


@pytest.mark.parametrize("matrix", MATRICES)
def test_decord_which_shows_pictures_as_stored_is_not_asked_about_others(tmp_path: Path, matrix: Matrix) -> None:
    display_by(write_film(tmp_path / "a.mp4", moving_square(2, 32, 32)), matrix)
    with Video(tmp_path / "a.mp4") as video:
        picture = next(video.frames()).picture
    assert decord_check.worth_checking("h264", picture, 2) == (matrix == (1, 0, 0, 1))


def test_samples_are_few_and_spread() -> None:
    samples = decord_check.Samples()
    picture = VideoFrame(16, 16, "yuv420p")
    for i in range(1000):
        samples.offer(i, picture)
    assert 4 <= len(samples.pictures) <= 8
    assert max(samples.pictures) >= 500

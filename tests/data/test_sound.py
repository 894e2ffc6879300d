"""A sound is carried over as it is, at its own time, or the file is left as it was."""

from pathlib import Path

import av
import numpy as np
import pytest
from sounds import packets, with_tone

from vidboot.data.encode import save_video
from vidboot.data.sound import add_sound


def silent(path: Path) -> Path:
    save_video(path, np.zeros((16, 16, 16, 3), np.uint8), 8)
    return path


def test_packets_are_the_same_bytes_shifted_in_time(tmp_path: Path) -> None:
    source, path = silent(tmp_path / "source.mp4"), silent(tmp_path / "out.mp4")
    with_tone(source)
    assert add_sound(path, source, start_seconds=0.25)
    expected = [(round(at - 0.25, 3), content) for at, content in packets(source) if at >= 0.25]
    heard = packets(path)
    assert [content for _, content in heard] == [content for _, content in expected]
    np.testing.assert_allclose([at for at, _ in heard], [at for at, _ in expected], atol=2e-3)


@pytest.mark.parametrize("codec", [None, "wavpack"])
def test_without_a_sound_that_mp4_holds_the_file_stays_as_it_was(tmp_path: Path, codec: str | None) -> None:
    source, path = silent(tmp_path / "source.mp4"), silent(tmp_path / "out.mp4")
    if codec:
        with_tone(source, codec=codec, container="matroska")
    before = path.read_bytes()
    assert not add_sound(path, source, start_seconds=0.0)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4", "source.mp4"]


def test_a_source_with_unreadable_tags_still_gives_its_sound(tmp_path: Path) -> None:
    source, path = silent(tmp_path / "source.mp4"), silent(tmp_path / "out.mp4")
    with_tone(source)
    tagged = source.read_bytes().replace(b"SoundHandler", b"SoundH\xe9ndl\xe9r")
    assert tagged != source.read_bytes()
    source.write_bytes(tagged)
    assert add_sound(path, source, start_seconds=0.0)
    assert packets(path)


def test_sound_of_another_clock_is_none(tmp_path: Path) -> None:
    source, path = silent(tmp_path / "source.mp4"), silent(tmp_path / "out.mp4")
    with_tone(source)
    assert not add_sound(path, source, start_seconds=-1e6)
    with av.open(str(path)) as written:
        assert not written.streams.audio

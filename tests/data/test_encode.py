"""What `VideoWriter` puts on disk is what it was given, or nothing."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
import torch

from vidboot.data.decode import Video
from vidboot.data.encode import VideoWriter, save_tiny, save_video, to_uint8
from vidboot.data.sound import add_sound
from vidboot.files import check_writable
from vidboot.synthetic import video


def gradient(frames: int, height: int, width: int) -> np.ndarray:
    """Smooth grey frames, each brighter than the last, so that order and content survive compression."""
    ramp = np.linspace(0, 100, height)[:, None] + np.linspace(0, 50, width)
    video = ramp + 3 * np.arange(frames)[:, None, None]
    return video[..., None].repeat(3, -1).astype(np.uint8)


def decode(path: Path) -> tuple[np.ndarray, list[float]]:
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    return np.stack([f.to_ndarray(format="rgb24") for f in decoded]), [float(f.time or 0) for f in decoded]


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (2, 2), (1, 5)])
def test_a_file_holds_the_frames_it_was_given_at_their_times(tmp_path: Path, height: int, width: int) -> None:
    frames = gradient(20, height, width)
    with VideoWriter(tmp_path / "a.mp4", width, height, 8) as writer:
        writer.write(frames[:1])
        writer.write(frames[1:1])
        writer.write(frames[1:])
    decoded, seconds = decode(tmp_path / "a.mp4")
    assert decoded.shape == (20, height + height % 2, width + width % 2, 3)
    assert np.abs(decoded[:, :height, :width].astype(int) - frames).max() <= 12
    assert seconds == [t / 8 for t in range(20)]


def test_odd_sizes_repeat_the_last_row_and_column(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", gradient(3, 5, 7), 8, crf=0)
    decoded, _ = decode(tmp_path / "a.mp4")
    assert np.abs(decoded[:, 5].astype(int) - decoded[:, 4]).max() <= 2
    assert np.abs(decoded[:, :, 7].astype(int) - decoded[:, :, 6]).max() <= 2


def test_the_index_comes_before_the_frames(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", gradient(4, 16, 16), 8)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("fps", [8, 23.976, 29.97, 30000 / 1001, 60])
def test_the_frame_rate_is_kept(tmp_path: Path, fps: float) -> None:
    save_video(tmp_path / "a.mp4", gradient(30, 16, 16), fps)
    _, seconds = decode(tmp_path / "a.mp4")
    assert np.abs(np.diff(seconds) - 1 / fps).max() < 1e-4


def test_a_file_names_its_matrix_its_colours_and_their_curve(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", gradient(4, 16, 16), 8)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (6, 1, 1)


@pytest.mark.parametrize("ticks", [None, 90_000])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "rgb24"])
@pytest.mark.parametrize("T", [1, 2, 30])
def test_the_last_frame_lasts_as_long_as_asked(
    tmp_path: Path, T: int, pix_fmt: Literal["yuv420p", "rgb24"], ticks: int | None
) -> None:
    path, at = tmp_path / "a.mp4", np.arange(T) / 8
    with VideoWriter(path, 16, 16, 8, pix_fmt=pix_fmt, ticks=ticks, last_seconds=10) as writer:
        writer.write(gradient(T, 16, 16), at if ticks else None)
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx((at[-1] + 10) * av.time_base, abs=1000)
    assert decode(path)[1] == pytest.approx(at, abs=1e-4)


def test_saturated_colours_survive_a_tiny_file(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (1, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    save_tiny(tmp_path / "a.mp4", frames.repeat(8, 0), 8)
    error = decode(tmp_path / "a.mp4")[0].astype(float) - frames
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38


def test_the_same_frames_always_give_the_same_bytes(tmp_path: Path) -> None:
    """Small moving pictures, files encoded at the same time: where the encoder once read stray memory."""
    frames, _ = video(0, 3_000_000, frames=32, height=64, width=64)

    def encode(number: int) -> bytes:
        save_tiny(tmp_path / f"{number}.mp4", frames, 8)
        return (tmp_path / f"{number}.mp4").read_bytes()

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(encode, range(200)))) == 1


def test_an_interrupted_run_leaves_nothing_half_written(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", gradient(4, 16, 16), 8)
    before = (tmp_path / "a.mp4").read_bytes()

    def interrupted() -> None:
        with VideoWriter(tmp_path / "a.mp4", 16, 16, 8) as writer:
            writer.write(gradient(100, 16, 16))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == before


def test_a_video_without_frames_is_an_error_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frame"), VideoWriter(tmp_path / "a.mp4", 16, 16, 8):
        pass
    assert not list(tmp_path.iterdir())


def test_a_colon_in_a_bare_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("10:30.mp4", "2026-11-22T10:30.mp4"):
        save_tiny(Path(name), gradient(3, 16, 16), 8)
        assert not add_sound(Path(name), Path(name), start_seconds=0)  # it has none
        with Video(name) as written:
            assert len(list(written.frames())) == 3


def test_an_unwritable_path_is_refused_before_any_frame(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "no" / "a.mp4", tmp_path / "folder.mp4", tmp_path / "file" / "a.mp4"):
        with pytest.raises(ValueError, match="cannot write"):
            VideoWriter(path, 16, 16, 8)


@pytest.mark.parametrize("frames", [gradient(2, 16, 17), gradient(2, 16, 16)[0], gradient(2, 16, 16) / 255])
def test_wrong_frames_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="frames are uint8"), VideoWriter(tmp_path / "a.mp4", 16, 16, 8) as writer:
        writer.write(frames)


FULL_DISK = """
import resource, signal, sys
import numpy as np
from vidboot.data.encode import save_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
try:
    save_video(__import__("pathlib").Path(sys.argv[1]), noise, 8)
except OSError as error:
    print("OSError", "torch" in sys.modules)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set")
def test_a_full_disk_is_an_oserror_leaves_no_file_and_torch_is_never_imported(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "a.mp4"], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["OSError", "False"]
    assert not list(tmp_path.iterdir())


def test_to_uint8_maps_minus_one_to_black_and_one_to_white() -> None:
    video = torch.tensor([-1.0, 0.0, 1.0, -7.0, 7.0]).view(5, 1, 1, 1).expand(5, 3, 2, 4)
    frames = to_uint8(video)
    assert frames.shape == (5, 2, 4, 3)
    assert frames[:, 0, 0, 0].tolist() == [0, 128, 255, 0, 255]
    with pytest.raises(ValueError, match=r"\[T, C, H, W\]"):
        to_uint8(video[None])


def test_asking_whether_a_file_can_be_written_leaves_the_work_of_others(tmp_path: Path) -> None:
    download = tmp_path / "a.mp4.part"
    download.write_text("half a film")
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 8) as writer:
        writer.write(np.zeros((2, 16, 16, 3), np.uint8))
        check_writable(tmp_path / "a.mp4")
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "a.mp4.part"}
    assert download.read_text() == "half a film"

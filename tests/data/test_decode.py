import shutil
import sys
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
from av.video.frame import VideoFrame
from films import KEYFRAME_EVERY, break_packet, moving_square, write_film
from orientations import MATRICES, MIRRORED, Matrix, display_by, displayed

from vidboot.data.decode import UNTAGGED, Resizer, Video, orientation
from vidboot.data.geometry import Geometry, Orientation, center_crop_box, detail


def decode(path: Path, height: int, width: int) -> list[np.ndarray]:
    resize = Resizer(height, width)
    with Video(path) as video:
        return [resize(d.picture, video.geometry(d.picture)) for d in video.frames()]


def box_mean(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mean over the exact, fractional area of each target pixel, [height, width, 3] float64."""
    rows, columns = (_coverage(n, m) for n, m in zip(image.shape, (height, width), strict=False))
    return np.moveaxis(rows @ np.moveaxis(image.astype(np.float64), 2, 0) @ columns.T, 0, 2)


def _coverage(n: int, m: int) -> np.ndarray:
    edges, pixels = np.linspace(0, n, m + 1), np.arange(n)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(covered, 0, 1) * m / n


@pytest.mark.parametrize("size", [(64, 64), (63, 65), (31, 17), (120, 160)])
def test_resizing_is_the_box_mean(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    x0, y0, x1, y1 = center_crop_box(320, 240, *size)
    picture = VideoFrame.from_ndarray(image, format="rgb24")
    shrunk = Resizer(*size)(picture, Geometry(320, 240, Orientation(), Fraction(1)))
    error = shrunk - box_mean(image[y0:y1, x0:x1], *size)
    assert np.abs(error).mean() < 0.5
    assert np.abs(error).max() < 1.5


def test_shrinking_video_does_not_darken_it(tmp_path: Path) -> None:
    film = np.full((9, 96, 128, 3), 131, dtype=np.uint8)
    (first, *_) = decode(write_film(tmp_path / "grey.mp4", film), 32, 32)
    assert abs(first.mean() - 131) <= 1


COLOURS = np.array([[40, 40, 40], [128, 128, 128], [200, 200, 200], [180, 60, 40], [40, 120, 60], [60, 70, 170]])


@pytest.mark.parametrize(
    ("curve", "least", "most"), [("smpte2084", 0.95, 1.05), ("arib-std-b67", 0.7, 1.0)], ids=["PQ", "HLG"]
)
def test_high_dynamic_range_becomes_standard(curve: str, least: float, most: float) -> None:
    patches = np.repeat(np.repeat(COLOURS[None], 32, 0), 32, 1).astype(np.uint8)
    height, width, _ = patches.shape
    standard = VideoFrame.from_ndarray(patches, format="rgb24")
    standard.color_trc = standard.color_primaries = 1
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=standard.format, time_base=Fraction(1, 25))
    wide = graph.add("scale", f"out_transfer={curve}:out_primaries=bt2020:out_color_matrix=bt2020nc:out_range=tv")
    graph.link_nodes(source, wide, graph.add("format", "yuv420p10le"), graph.add("buffersink")).configure()
    graph.push(standard)
    high = graph.pull()
    assert isinstance(high, VideoFrame)
    for size in [(height, width), (height // 2, width // 2)]:
        shown = Resizer(*size)(high, Geometry(width, height, Orientation(), Fraction(1)))
        centres = shown[size[0] // 2, size[1] // 12 :: size[1] // 6].astype(float)
        assert (centres >= least * COLOURS - 2).all()
        assert (centres <= most * COLOURS + 2).all()


@pytest.mark.parametrize(("lines", "matrix"), [(720, "bt709"), (576, "bt601")])
@pytest.mark.parametrize("named", [False, True])
def test_a_picture_that_does_not_name_its_matrix_is_taken_for_what_players_take_it_for(
    lines: int, matrix: str, named: bool
) -> None:
    patches = np.repeat(np.repeat(COLOURS[None], lines, 0), lines // 6, 1).astype(np.uint8)
    height, width, _ = patches.shape
    rgb = VideoFrame.from_ndarray(patches, format="rgb24")
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=rgb.format, time_base=Fraction(1, 25))
    coded = graph.add("scale", f"out_color_matrix={matrix}:out_range=tv")
    graph.link_nodes(source, coded, graph.add("format", "yuv444p"), graph.add("buffersink")).configure()
    graph.push(rgb)
    picture = graph.pull()
    assert isinstance(picture, VideoFrame)
    if not named:
        picture.colorspace = UNTAGGED
    shown = Resizer(32, 32)(picture, Geometry(width, height, Orientation(), Fraction(1)))
    centres = shown[16, [int((k + 0.5) * 32 / 6) for k in range(6)]].astype(int)
    assert np.abs(centres - COLOURS).max() <= 3


def test_a_picture_is_never_magnified(tmp_path: Path) -> None:
    path = write_film(tmp_path / "small.mp4", moving_square(3, 32, 32))
    with pytest.raises(ValueError, match=r"32x32.*too small for 33x33"):
        decode(path, 33, 33)


@pytest.mark.parametrize("matrix", MATRICES)
def test_pictures_are_shown_as_the_display_matrix_asks(tmp_path: Path, matrix: Matrix) -> None:
    stored = write_film(tmp_path / "stored.mp4", moving_square(9, 64, 96))
    # A copy, as the encoder does not give the same bytes twice.
    oriented = Path(shutil.copy(stored, tmp_path / "oriented.mp4"))
    display_by(oriented, matrix)
    expected = [displayed(plain, matrix) for plain in decode(stored, 32, 48)]
    np.testing.assert_array_equal(decode(oriented, *expected[0].shape[:2]), expected)


def test_a_picture_that_was_asked_for_its_orientation_is_freed_with_its_last_user(tmp_path: Path) -> None:
    path = write_film(tmp_path / "mirrored.mp4", moving_square(2, 64, 96))
    display_by(path, MIRRORED)
    with Video(path) as video:
        picture = next(video.frames()).picture
    users = sys.getrefcount(picture)
    assert orientation(picture) == Orientation(mirrored=True)
    assert sys.getrefcount(picture) == users


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_a_box_of_the_displayed_picture_is_found_in_the_stored_one(turns: int, mirrored: bool) -> None:
    stored = np.arange(6 * 10).reshape(6, 10)
    orientation = Orientation(turns, mirrored)
    shown = orientation.upright(stored)
    geometry = Geometry(10, 6, orientation, Fraction(1))
    assert geometry.size == shown.shape[::-1]
    x0, y0, x1, y1 = geometry.stored_box((1, 2, 4, 5))
    np.testing.assert_array_equal(orientation.upright(stored[y0:y1, x0:x1]), shown[2:5, 1:4])


def test_stretched_pixels_are_no_detail() -> None:
    geometry = Geometry(64, 64, Orientation(), Fraction(2))
    assert geometry.size == (128, 64)
    assert detail(*geometry.size, geometry.stretch, 64, 64) == 0.5


@pytest.mark.parametrize("size", [(640, 360), (359, 641), (17, 16), (1, 9)])
@pytest.mark.parametrize("target", [(64, 64), (32, 48), (7, 3)])
def test_the_crop_is_central_and_as_large_as_it_can_be(size: tuple[int, int], target: tuple[int, int]) -> None:
    width, height = size
    x0, y0, x1, y1 = center_crop_box(width, height, *target)
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert x1 - x0 == width or y1 - y0 == height
    assert abs(x0 - (width - x1)) <= 1
    assert abs(y0 - (height - y1)) <= 1


@pytest.mark.parametrize("number", [3, 13, 22])
def test_a_broken_packet_costs_only_its_frames(tmp_path: Path, number: int) -> None:
    # No B-frames: packets and frames then have the same order.
    path = write_film(tmp_path / "film.mp4", moving_square(32, 64, 64), options={"bf": "0"})
    whole = decode(path, 64, 64)
    break_packet(path, number)
    with Video(path) as video:
        damaged = [decoded.damaged for decoded in video.frames()]
    broken = decode(path, 64, 64)
    next_key = (number // KEYFRAME_EVERY + 1) * KEYFRAME_EVERY
    assert len(broken) == len(whole) - 1
    assert damaged == [number <= i < next_key - 1 for i in range(31)]
    for i, frame in enumerate(broken):
        if not damaged[i]:
            np.testing.assert_array_equal(frame, whole[i] if i < number else whole[i + 1])


def test_times_come_from_the_file(tmp_path: Path) -> None:
    milliseconds = [0, 40, 200, 240, 900, 1000]
    path = write_film(tmp_path / "vfr.mkv", moving_square(6, 32, 32), milliseconds=milliseconds)
    with Video(path) as video:
        assert [decoded.pts_seconds for decoded in video.frames()] == pytest.approx([ms / 1000 for ms in milliseconds])

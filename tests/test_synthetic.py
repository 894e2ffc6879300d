"""Procedural videos: the truth they claim is the truth they show."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.error import InvalidDataError

from vidboot import masks, visibility
from vidboot.data.encode import save_tiny
from vidboot.synthetic import COLOURS, SPECIES, FolderSizes, WrittenFile, burn_subtitle, video, write_folder

SIZES = FolderSizes(clips=6, low_res=3, full=2, subtitled=2, truncated=1, held_out=2, long_frames=64)


def shown_species(frame: np.ndarray) -> int:
    """Species of the brightest pixels of one frame."""
    ink = frame.reshape(-1, 3).astype(float) / 255
    brightest = ink[np.argsort(-np.ptp(ink, axis=1))[:10]].mean(0)
    return int(np.argmin(((COLOURS - brightest) ** 2).sum(1)))


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_video_depends_on_seed_and_index_alone() -> None:
    frames, _ = video(3, 5, frames=9)
    np.testing.assert_array_equal(video(3, 5, frames=20)[0][:9], frames)
    np.testing.assert_array_equal(video(3, 5, frames=4, first=5)[0], frames[5:])
    assert (video(3, 6, frames=9)[0] != frames).any()
    assert (video(4, 5, frames=9)[0] != frames).any()


@pytest.mark.parametrize("index", range(12))
def test_a_video_keeps_its_species_however_long_it_is(index: int) -> None:
    frames, truth = video(0, index, frames=1024)
    assert {shown_species(frame) for frame in frames[::93]} == {truth.scene.species}


def test_species_take_turns_so_that_no_folder_is_short_of_one() -> None:
    shown = [video(0, index, frames=1)[1].scene.species for index in range(3 * len(SPECIES))]
    assert shown == 3 * list(range(len(SPECIES)))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 48), (33, 130)])
@pytest.mark.parametrize("index", range(4))
def test_the_sprite_is_where_the_truth_says(index: int, height: int, width: int) -> None:
    frames, truth = video(0, index, frames=40, height=height, width=width)
    top, bottom = np.array(truth.scene.background) * 255
    backdrop = top + (bottom - top) * ((np.arange(height) + 0.5) / height)[:, None]
    ink = np.abs(frames - backdrop[:, None]).sum(-1)  # [T, H, W]
    ink[ink < 6] = 0
    x = (ink.sum(1) * (np.arange(width) + 0.5)).sum(1) / ink.sum((1, 2))
    y = (ink.sum(2) * (np.arange(height) + 0.5)).sum(1) / ink.sum((1, 2))
    assert np.abs(np.stack([x, y], 1) - truth.centres).max() < 0.5


def test_speed_is_constant_between_bounces_and_the_sprite_stays_inside() -> None:
    for index in range(20):
        _, truth = video(1, index, frames=200)
        assert (truth.centres >= truth.scene.radius * 32 - 1e-9).all()
        assert (truth.centres <= 32 - truth.scene.radius * 32 + 1e-9).all()
        speed = np.abs(np.diff(truth.centres, axis=0))
        free = np.isclose(speed, np.abs(truth.scene.velocity) * np.array(32))
        assert free.mean() > 0.85  # a frame with a bounce moves less
        assert 0.8 <= np.hypot(*truth.scene.velocity) * 32 <= 1.9


def test_a_small_rendering_is_a_low_res_view_of_the_sharp_one() -> None:
    for index in range(8):
        sharp, _ = video(0, index, frames=20)
        small, _ = video(0, index, frames=20, height=16, width=16)
        view = sharp.reshape(20, 16, 2, 16, 2, 3).mean((2, 4))
        assert np.sqrt(np.mean((view - small) ** 2)) < 3


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 16), (144, 256)])
def test_a_subtitle_shows_in_its_frames_and_its_box_and_nowhere_else(height: int, width: int) -> None:
    frames, _ = video(0, 0, frames=10, height=height, width=width)
    burnt, (x0, y0, x1, y1) = burn_subtitle(frames, 7, 3, 8)
    changed = (burnt != frames).any(-1)
    assert changed.any((1, 2)).tolist() == [False] * 3 + [True] * 5 + [False] * 2
    rows, columns = np.nonzero(changed.any(0))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)
    assert y0 > height / 2
    assert (burnt[3:8] == 245).all(-1).any((1, 2)).all()


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (3, 3), (0, 11)])
def test_a_subtitle_outside_the_video_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="not within"):
        burn_subtitle(video(0, 0, frames=10)[0], 7, first, last)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[WrittenFile]]:
    root = tmp_path_factory.mktemp("folder")
    written = write_folder(
        root / "videos", SIZES, seed=0, held_out_path=root / "held_out", work=root / "work", encode=save_tiny
    )
    return root, written


def test_a_folder_holds_what_was_asked_for(folder: tuple[Path, list[WrittenFile]]) -> None:
    root, written = folder
    assert len(list((root / "videos").iterdir())) == 14
    assert len(list((root / "held_out").iterdir())) == 2
    assert len({file.scene for file in written}) == len(written)
    shapes = {"clip": (16, 32), "low_res": (64, 16), "full": (64, 32), "subtitled": (64, 32), "held_out": (64, 32)}
    for file in written:
        if file.role != "truncated":
            frames, side = shapes[file.role]
            assert decode(file.path).shape == (frames, side, side, 3)


def test_files_are_almost_what_was_rendered(folder: tuple[Path, list[WrittenFile]]) -> None:
    clip = folder[1][0]
    error = decode(clip.path).astype(float) - video(0, 0, frames=16)[0]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38


def test_the_truncated_file_cannot_be_opened(folder: tuple[Path, list[WrittenFile]]) -> None:
    [truncated] = [file for file in folder[1] if file.role == "truncated"]
    with pytest.raises(InvalidDataError):
        decode(truncated.path)


def test_each_subtitled_file_has_a_mask_that_hides_its_text(folder: tuple[Path, list[WrittenFile]]) -> None:
    root, written = folder
    loaded = [masks.load(path) for path in (root / "work" / "masks").glob("*.json")]
    for file in (file for file in written if file.role == "subtitled"):
        [mask] = [mask for mask in loaded if mask.events == file.subtitles]
        shown = visibility.visible(mask, np.arange(64) / 8, (0, 0, 32, 32), 32, 32)
        clean, _ = video(0, 3_000_000 + int(file.path.stem[-5:]), frames=64)
        wrong = np.abs(decode(file.path).astype(int) - clean).max(-1) > 40
        assert wrong.any()
        assert not (wrong & (shown == 1)).any()
        assert shown.mean() > 0.7


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    sizes = FolderSizes(clips=1, low_res=0, full=0, subtitled=1, truncated=0, held_out=0, long_frames=32)
    content = []
    for name in ("a", "b"):
        write_folder(tmp_path / name, sizes, held_out_path=tmp_path, work=tmp_path, encode=save_tiny)
        content.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert content[0] == content[1]

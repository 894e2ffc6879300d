"""What each shot of a folder teaches the net of sharp video."""

import shutil
from pathlib import Path

from vidboot import scan
from vidboot.config import Config
from vidboot.data.cache import Entry
from vidboot.data.encode import save_tiny
from vidboot.data.mixture import Mixture, shares
from vidboot.data.progress import silent
from vidboot.synthetic import FolderSizes, write_folder
from vidboot.training_data import Folder, TrainingData, spared

WINDOW, LONG = 8, 64


def entries(side: int, **frames: int) -> list[Entry]:
    return [Entry(f"{side}-{name}.npy", name, name, 0, n, side, side, 12.0, (side, side)) for name, n in frames.items()]


def data_of(sharp: dict[str, int], small: dict[str, int], *, long_window: int = LONG) -> TrainingData:
    """Of sharp videos, none of them clean, which the low-res view sees too, and of small ones, which it alone sees."""
    config = Config().model_dump()
    config["clip"] |= {"window": WINDOW, "long_window": long_window}
    return TrainingData(
        config=Config.model_validate(config),
        low=entries(8, **sharp, **small),
        sharp=entries(32, **sharp),
        full=[],
        held_out=frozenset("h"),
        masks=None,
        work=Path(),
    )


def mixture(sharp: dict[str, int], small: dict[str, int], *, long_window: int = LONG) -> Mixture:
    return data_of(sharp, small, long_window=long_window).mixture()


def names(pool_entries: object) -> set[str]:
    assert isinstance(pool_entries, list)
    return {entry.source for entry in pool_entries}


def test_long_sharp_videos_and_long_small_ones_teach_what_lasts_and_all_sharp_ones_teach_clips() -> None:
    made = mixture({"a": 5, "b": 20, "c": 70, "d": 64}, {"e": 90, "f": 12, "g": 6})
    assert names(made.clips.entries) == {"a", "b", "c", "d"}
    assert names(made.full.entries) == {"c", "d"}
    assert names(made.small.entries) == {"e", "f"}
    assert made.shares == shares(clips=2, small=2, full=2)
    assert (made.clips.longest, made.longest) == (WINDOW, LONG)


def test_the_net_sees_as_far_as_any_video_lasts() -> None:
    assert mixture({"a": 8, "b": 30}, {"e": 40}).longest == 40
    assert names(mixture({"a": 8, "b": 30}, {"e": 20}).full.entries) == {"b"}


def test_where_nothing_is_long_or_nothing_long_is_wanted_only_clips_are_drawn() -> None:
    for made in (mixture({"a": 8, "b": 8}, {"e": 7}), mixture({"a": 90}, {"e": 90}, long_window=0)):
        assert made.shares == (1, 0, 0)
        assert made.longest == WINDOW


def test_the_views_are_joined_by_what_every_sharp_video_shows_in_a_window() -> None:
    pool = data_of({"a": 7, "b": WINDOW, "c": 90, "h": 90}, {"e": 90}).gate_pool(0)
    assert names(pool.entries) == {"a", "b", "c"}
    assert {pool.shape(2, seed=0, stage="gate0", step=step) for step in range(20)} == {(2, WINDOW)}
    assert data_of({"a": 7}, {"e": 90}).gate_pool(0).longest == 4  # whole groups of the coarser level
    assert data_of({}, {"e": 90}).gate_pool(0).longest == 0


def test_a_folder_without_sharp_videos_has_nothing_to_teach_it() -> None:
    assert mixture({}, {"e": 5}).longest == 0
    assert mixture({}, {"e": 90}).clips.longest == 0


def test_a_crowd_of_middling_clips_does_not_put_a_few_long_videos_in_every_batch() -> None:
    crowd = {f"clip{i}": 12 for i in range(1000)}
    assert mixture({**crowd, "long": 64}, {}).shares[2] < 0.01


def of_views(**files: int) -> list[tuple[str, str]]:
    return [(view, f"{view}{number:03}") for view, count in files.items() for number in range(count)]


def test_partial_videos_are_measured_on_before_marked_and_full_ones() -> None:
    assert spared(of_views(low_res=40, short_clip=4, masked=40, full=40), 0.05) == {
        "low_res000",
        "low_res001",
        "short_clip000",
    }


def test_where_every_video_is_marked_or_all_of_many_are_full_those_are_measured_on() -> None:
    assert spared(of_views(masked=10, full=3), 0.05) == {"masked000"}
    assert spared(of_views(low_res=3, full=40), 0.05) == {"full000", "full001"}
    assert spared(of_views(full=20), 0.05) == spared(of_views(full=20), 0.01) == {"full000"}


def test_few_full_videos_are_all_trained_on() -> None:
    assert spared(of_views(full=19), 0.05) == spared(of_views(low_res=40, full=40), 0) == frozenset()
    assert spared([("short_clip", name) for name in "abcd"] + [("full", name) for name in "abcd"], 0.5) == frozenset()


def test_of_every_view_a_file_is_left_to_train_on() -> None:
    assert spared(of_views(low_res=1, short_clip=5), 0.95) == {f"short_clip{i:03}" for i in range(4)}
    assert spared(of_views(low_res=1, full=2), 0.95) == frozenset()


def data_of_folder(videos: Path) -> TrainingData:
    files, shots = scan.usable(videos, videos.with_suffix(".work"))
    config = Config.model_validate({"video": {"frames": 16, "height": 32, "width": 32, "fps": 8.0}})
    return TrainingData.of(Folder(videos, videos.with_suffix(".work"), files, shots), config, silent)


def test_the_same_files_are_the_same_data_whatever_they_are_called(tmp_path: Path) -> None:
    sizes, videos = FolderSizes(0, 0, 4, 0, 0, 0, long_frames=16), tmp_path / "videos"
    write_folder(videos, sizes, held_out_path=tmp_path / "none", work=tmp_path / "work", encode=save_tiny)
    renamed = Path(shutil.copytree(videos, tmp_path / "renamed"))
    first, *_ = sorted(renamed.iterdir())
    last = first.rename(renamed / "zz.mp4")
    before, after = data_of_folder(videos), data_of_folder(renamed)
    assert [entry.sha256 for entry in after.sharp] == [entry.sha256 for entry in before.sharp]
    assert after.digest == before.digest
    last.unlink()
    assert data_of_folder(renamed).digest != before.digest


def test_what_is_measured_on_is_no_full_video_to_train_on(tmp_path: Path) -> None:
    sizes = FolderSizes(0, 0, 20, 0, 0, 0, long_frames=16)
    write_folder(tmp_path / "videos", sizes, held_out_path=tmp_path / "none", work=tmp_path / "work", encode=save_tiny)
    data = data_of_folder(tmp_path / "videos")
    assert len(data.held_out) == 1
    assert {entry.sha256 for entry in data.full} == {entry.sha256 for entry in data.sharp} - data.held_out

"""What each policy trains on, and what none may see: on records alone, nothing is decoded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vidboot import config as configs
from vidboot.curation import direct_only, filtered, split, upscaled, usable, views_only
from vidboot.data.ledger import kept_by_filtering
from vidboot.data.records import FileRecord, Shot
from vidboot.errors import WorkFailed
from vidboot.training_data import Folder

CONFIG = configs.read(preset="smoke")  # 16 frames of 16 x 16 at 8 fps


def film(name: str, *, frames: int = 40, side: int = 16, copy_of: str = "", **change: Any) -> tuple[FileRecord, Shot]:
    sha256 = f"content of {copy_of or name}"
    seconds = frames / 8
    file = FileRecord(path=name, status="usable", frames=frames, seconds=seconds, sha256=sha256)
    shot = Shot(
        path=name,
        sha256=sha256,
        shot=0,
        first=0,
        last=frames - 1,
        width=side,
        height=side,
        stretch=1.0,
        fps=8.0,
        seconds=seconds,
        pts_seconds=tuple(i / 8 for i in range(frames)),
    )
    damaged = change.pop("damaged", ())
    return replace(file, damaged=damaged), replace(shot, damaged=damaged, **change)


def folder_of(work: Path, *films: tuple[FileRecord, Shot], marked: tuple[str, ...] = ()) -> Folder:
    (work / "masks").mkdir(parents=True, exist_ok=True)
    event = {"kind": "mark", "first_seconds": 1.0, "last_seconds": 2.0, "status": "accepted"}
    for name in marked:
        (work / "masks" / f"content of {name}.json").write_text(
            json.dumps({"width": 64, "height": 64, "events": [event]})
        )
    return Folder(work / "videos", work, [file for file, _ in films], [shot for _, shot in films])


@pytest.fixture
def mixed(tmp_path: Path) -> Folder:
    """Every kind of file; only ``full`` and ``longer`` are long, sharp and clean."""
    films = (
        film("full"),
        film("longer", frames=60),
        film("short", frames=8),
        film("small", side=8),
        film("smallest", side=3),
        film("small and short", side=8, frames=8),
        film("marked"),
        film("small and marked", side=8),
        film("damaged", damaged=((3, 4),)),
        film("slow", fps=4.0),
    )
    return folder_of(tmp_path, *films, marked=("marked", "small and marked"))


def many(work: Path, count: int = 12) -> Folder:
    films = [film(f"{i}.mp4") for i in range(count)]
    copies = [film(f"copy {i}.mp4", copy_of=f"{i}.mp4") for i in range(count)]
    return folder_of(work, *films, film("small.mp4", side=8), *copies)


def paths(folder: Folder) -> set[str]:
    return {shot.path for shot in folder.shots}


@pytest.mark.parametrize("seed", range(5))
def test_no_source_is_on_both_sides_under_any_name(tmp_path: Path, seed: int) -> None:
    rest, held_out = split(many(tmp_path), CONFIG.model_copy(update={"seed": seed}))
    aside = {shot.sha256 for shot in held_out}
    assert len(aside) == len(held_out) == 5
    assert not aside & {shot.sha256 for shot in rest.shots}
    assert not aside & {file.sha256 for file in rest.files}
    assert len(rest.shots) == 2 * (12 - 5) + 1


def test_the_split_depends_on_contents_and_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    folder = many(tmp_path)
    renamed = replace(
        folder,
        files=[replace(file, path=f"z{file.path}") for file in folder.files][::-1],
        shots=[replace(shot, path=f"z{shot.path}") for shot in folder.shots][::-1],
    )
    chosen = {shot.sha256 for shot in split(folder, CONFIG)[1]}
    assert chosen == {shot.sha256 for shot in split(renamed, CONFIG)[1]}
    others = [{s.sha256 for s in split(folder, CONFIG.model_copy(update={"seed": n}))[1]} for n in (1, 2, 3)]
    assert any(other != chosen for other in others)


def test_only_full_clean_videos_are_set_aside(mixed: Folder) -> None:
    rest, held_out = split(mixed, CONFIG)
    assert {shot.path for shot in held_out} == {"full", "longer"}
    assert paths(rest) == paths(mixed) - {"full", "longer"}


def test_the_longest_shot_of_a_file_is_measured(tmp_path: Path) -> None:
    (file, short), (_, long) = film("a"), film("a", frames=50)
    folder = folder_of(tmp_path, (file, short), film("b"), film("small", side=8))
    folder = replace(folder, shots=[*folder.shots, replace(long, shot=1)])
    assert {shot.seconds for shot in split(folder, CONFIG)[1]} == {5.0, 50 / 8}


def test_too_few_full_videos_are_told_with_how_many_there_are(tmp_path: Path, mixed: Folder) -> None:
    with pytest.raises(WorkFailed, match=r"has 2 full videos .16x16x16@8.* needs 3 to measure on"):
        split(mixed, CONFIG, held_out=3)
    with pytest.raises(WorkFailed, match="has 0 full videos"):
        split(folder_of(tmp_path, film("small", side=8)), CONFIG)
    with pytest.raises(WorkFailed, match="no shot of it can be used"):
        split(folder_of(tmp_path, film("a"), film("b"), film("blink", frames=1)), CONFIG)
    with pytest.raises(ValueError, match="must be at least 2"):
        split(mixed, CONFIG, held_out=1)


def test_filter_is_what_the_ledger_says_filtering_keeps(mixed: Folder) -> None:
    kept = filtered(mixed, CONFIG)
    assert paths(kept) == {"full", "longer"}
    assert sum(shot.seconds for shot in kept.shots) == kept_by_filtering(mixed.files, mixed.lines(CONFIG))


def test_keep_trains_on_everything_but_what_can_teach_nothing(mixed: Folder) -> None:
    assert paths(usable(mixed, CONFIG)) == paths(mixed) - {"smallest", "slow"}


def test_upscale_adds_the_small_and_the_marked_that_are_long_and_heeds_no_mask(mixed: Folder) -> None:
    read = upscaled(mixed, CONFIG)
    assert paths(read) == {"full", "longer", "small", "smallest", "marked", "small and marked"}
    assert {line.view for line in read.lines(CONFIG) if line.shot is not None} == {"full"}
    assert not read.heed_masks


def test_the_others_train_one_net_and_vidboot_all_but_that_one() -> None:
    direct, views = direct_only(CONFIG, steps=77), views_only(CONFIG)
    assert direct.data.held_out == 0 < views.data.held_out
    assert (direct.low_res.train.steps, direct.clip.train.steps, direct.direct.steps) == (0, 0, 77)
    assert views.direct.steps == 0
    assert views.model_copy(update={"direct": CONFIG.direct}) == CONFIG
    assert direct.clip.net == CONFIG.clip.net

"""Other versions of a film are found, and other films are not."""

from pathlib import Path

import numpy as np
import pytest
from data.films import moving_square, write_film

from vidboot.data.cache import Entry, Spec, build
from vidboot.scan import audit
from vidboot.synthetic import burn_subtitle
from vidboot.twins import versions


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Entry]:
    root = tmp_path_factory.mktemp("twins")
    (root / "videos").mkdir()
    film = moving_square(48, 64, 64, seed=1)
    halved = film.reshape(48, 32, 2, 32, 2, 3).mean((2, 4)).astype(np.uint8)
    films = {
        "film": film,
        "smaller": halved,
        "cut": film[16:32],
        "subtitled": burn_subtitle(film, 0, 0, 40)[0],
        **{f"other {seed}": moving_square(48, 64, 64, seed=seed) for seed in (2, 3, 4)},
    }
    for name, frames in films.items():
        write_film(root / "videos" / f"{name}.mp4", frames, options={"crf": "30"} if name == "smaller" else None)
    shots = audit(root / "videos", root / "work", workers=1)[1]
    built = build(shots, root / "videos", root / "work", [Spec(16, 16, 8.0)], workers=1)
    return {entry.source.removesuffix(".mp4"): entry for entry in built.entries}


def found(entries: dict[str, Entry], *names: str) -> set[str]:
    among = {name: entry for name, entry in entries.items() if name not in names}
    shas = versions([entries[name] for name in names], list(among.values()))
    return {name for name, entry in among.items() if entry.sha256 in shas}


@pytest.mark.parametrize("name", ["film", "smaller", "subtitled", "cut"])
def test_every_version_of_a_film_is_found_from_every_other(entries: dict[str, Entry], name: str) -> None:
    assert found(entries, name) == {"film", "smaller", "cut", "subtitled"} - {name}


def test_a_film_of_which_a_scene_is_a_small_part_is_another_version(tmp_path: Path) -> None:
    """The camera goes on to what the scene does not show."""
    (tmp_path / "videos").mkdir()
    wide = np.random.default_rng(0).integers(0, 256, (4, 200, 3), dtype=np.uint8).repeat(16, 0).repeat(8, 1)
    film = np.stack([wide[:, 8 * t : 8 * t + 64] for t in range(160)])
    half_grey = np.stack([np.concatenate([frame[:32], np.full_like(frame[32:], 90)]) for frame in film[::-1][:48]])
    films = {"long": film, "scene": film[40:60], "titled": half_grey, "other": moving_square(48, 64, 64, seed=7)}
    films["other titled"] = np.concatenate([films["other"][:, :32], np.full_like(film[:48, 32:], 90)], 1)
    for name, frames in films.items():
        write_film(tmp_path / "videos" / f"{name}.mp4", frames)
    shots = audit(tmp_path / "videos", tmp_path / "work", workers=1)[1]
    built = build(shots, tmp_path / "videos", tmp_path / "work", [Spec(16, 16, 8.0)], workers=1)
    entries = {entry.source.removesuffix(".mp4"): entry for entry in built.entries}
    assert found(entries, "scene") == {"long"}
    assert "other titled" not in found(entries, "titled")


def test_other_films_are_not(entries: dict[str, Entry]) -> None:
    assert found(entries, "other 2", "other 3") == set()
    assert versions([], list(entries.values())) == set()


def test_nights_and_white_pages_are_not_one_film(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for seed in (5, 6):
        film = moving_square(48, 64, 64, seed=seed)
        write_film(tmp_path / "videos" / f"night {seed}.mp4", film // 16)
        write_film(tmp_path / "videos" / f"page {seed}.mp4", 239 + film // 16)
    shots = audit(tmp_path / "videos", tmp_path / "work", workers=1)[1]
    entries = build(shots, tmp_path / "videos", tmp_path / "work", [Spec(16, 16, 8.0)], workers=1).entries
    for entry in entries:
        assert versions([entry], [other for other in entries if other != entry]) == set()

"""The comparison end to end in seconds: equal budgets, one split, and a page; interrupted or not, the same numbers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vidboot import arithmetic, scan
from vidboot import compare as story
from vidboot import config as configs
from vidboot.__main__ import app
from vidboot.curation import KEEP, RIVALS, filtered, split, upscaled
from vidboot.data import cache
from vidboot.data.encode import save_tiny
from vidboot.data.progress import silent
from vidboot.synthetic import FolderSizes, write_folder
from vidboot.training_data import Folder, TrainingData

FILMS = FolderSizes(
    clips=3, low_res=2, full=4, subtitled=1, truncated=1, held_out=0, side=16, low_res_side=8, short_frames=8
)
FEW_FILMS = FolderSizes(
    clips=3, low_res=0, full=2, subtitled=0, truncated=0, held_out=0, side=16, low_res_side=8, short_frames=8
)
SETTINGS = (
    "precision=float32",
    *(f"{stage}.steps={steps}" for stage, steps in (("low_res.train", 4), ("clip.train", 4), ("residual.train", 1))),
    *("low_res.levels=0", "sampler.levels=2", "direct.report_every=2", "direct.checkpoint_seconds=0"),
)
CONFIG = configs.read(preset="smoke", settings=SETTINGS)


def make(root: Path, films: FolderSizes) -> Path:
    write_folder(root / "videos", films, held_out_path=root / "none", work=root / "work", encode=save_tiny, workers=1)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("compare"), FILMS)


@contextlib.contextmanager
def quiet(_: str) -> Iterator[Any]:
    yield silent


def compare(root: Path, out: str, rows: Callable[[dict[str, Any]], None] = lambda row: None) -> dict[str, Any]:
    return story.compare(root / "videos", root / out, root / "work", CONFIG, samples=2, rows=rows, part=quiet)


@pytest.fixture(scope="module")
def result(root: Path) -> dict[str, Any]:
    return compare(root, "out")


def test_every_policy_gets_the_same_arithmetic_to_half_a_step(result: dict[str, Any]) -> None:
    flops = {name: of["flops"] for name, of in result["policies"].items()}
    assert set(flops) == {"keep", "filter", "upscale"}
    assert flops["filter"] == flops["upscale"]
    assert abs(flops["filter"] - flops["keep"]) <= arithmetic.full_step(CONFIG, CONFIG.video.frames) / 2


def test_what_is_measured_was_trained_on_by_none(result: dict[str, Any], root: Path) -> None:
    folder = Folder(root / "videos", root / "work", *scan.audit(root / "videos", root / "work"))
    held_out = split(folder, CONFIG)[1]
    assert [shot.path for shot in held_out] == result["held_out"]
    measured = {Path(entry.path).name for _, entry in cache.plan(held_out, root / "work", [cache.Spec(16, 16, 8.0)])}
    assert len(measured) == 2
    for policy in ("keep", "filter", "upscale"):
        trained_on = json.loads((root / "out" / policy / "run.json").read_text())["sharp"]
        assert trained_on
        assert not measured & set(trained_on)


def test_no_version_of_what_is_measured_on_is_trained_on_however_small_and_none_is_measured_twice(
    tmp_path: Path,
) -> None:
    config = configs.read(preset="smoke", settings=("video.height=64", "video.width=64", "low_res.factor=4"))
    (tmp_path / "videos").mkdir()
    for number in range(5):
        rng = np.random.default_rng(number)
        film = rng.integers(0, 255, (40, 3, 3, 3), dtype=np.uint8)
        for name, side in (("film", 64), ("again", 72), ("thumb", 8)):  # 8 is less than the low-res view's 16
            frames = np.stack([cv2.resize(frame, (side, side)) for frame in film])
            save_tiny(tmp_path / "videos" / f"{name}{number}.mp4", frames, 8)
    whole = Folder(tmp_path / "videos", tmp_path / "work", *scan.audit(tmp_path / "videos", tmp_path / "work"))
    # Of four of the ten full files at least two are other films, and one film is left to train on.
    folder, measured, _ = story.set_aside(whole, config, held_out=4)
    numbers = [Path(shot.path).stem[-1] for shot in measured]
    assert len(numbers) == len(set(numbers)) >= 2
    drawn = {Path(shot.path).stem[-1] for shot in split(whole, config, held_out=4)[1]}
    for policy in (KEEP, *RIVALS):
        assert not {Path(shot.path).stem[-1] for shot in policy.selected(folder, config).shots} & drawn, policy.name


def test_every_number_has_its_interval_and_the_losses_are_paired(result: dict[str, Any]) -> None:
    for name, of in result["policies"].items():
        loss = of["held_out_loss"]
        assert loss["low"] <= loss["value"] <= loss["high"]
        assert ("loss_over_keep" in of) == (name != "keep")
        assert {"lag_correlation", "motion_energy", "spread", "high_band_energy"} <= of.keys()
        assert of["missed_nats_per_dimension"].keys() == {"value", "low", "high"}
    ratio = result["policies"]["filter"]["loss_over_keep"]["value"]
    losses = [result["policies"][name]["held_out_loss"]["value"] for name in ("filter", "keep")]
    assert ratio == pytest.approx(losses[0] / losses[1])
    assert "Too few videos" in result["verdict"]  # two prove nothing


def test_the_page_shows_all_policies_side_by_side(result: dict[str, Any]) -> None:
    page = Path(result["page"]).read_text()
    assert page.count("<video ") == 4
    for words in ("real", "keep", "filter", "upscale", "lower bound", "matrix products", "90 %"):
        assert words in page


def test_an_interrupted_comparison_goes_on_and_ends_with_the_same_numbers(result: dict[str, Any], root: Path) -> None:
    stages = []

    def interrupt(row: dict[str, Any]) -> None:
        stages.append((row["stage"], row["step"]))
        if stages[-1] in (("keep clip", 4), ("filter direct", 2)):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            compare(root, "again", interrupt)
    again = compare(root, "again", lambda row: stages.append((row["stage"], row["step"])))
    assert stages.count(("keep residual_fold0", 1)) == 1
    told = [json.dumps({**numbers, "page": "", "seconds": 0}) for numbers in (again, result)]  # a nan equals no other
    assert told[0] == told[1]
    assert (root / "again" / "compare.json").read_bytes() == (root / "out" / "compare.json").read_bytes()


def test_upscale_trains_on_enlarged_and_on_marked_videos_without_a_mask(result: dict[str, Any], root: Path) -> None:
    folder = Folder(root / "videos", root / "work", *scan.audit(root / "videos", root / "work"))
    data = TrainingData.of(upscaled(folder, CONFIG), CONFIG, silent)
    sources = {entry.source.split("_")[0] for entry in data.full}
    assert sources == {"full", "low", "subtitled"}
    marked = [entry for entry in data.full if entry.source.startswith("subtitled")]
    assert data.full_pool(marked).batch(2, seed=0, stage="direct", step=0).visible is None
    kept = TrainingData.of(folder, CONFIG, silent)
    marked = [entry for entry in kept.sharp if entry.source.startswith("subtitled")]
    assert kept.full_pool(marked).batch(2, seed=0, stage="direct", step=0).visible is not None
    clean = TrainingData.of(filtered(folder, CONFIG), CONFIG, silent)
    assert {entry.source for entry in clean.full} >= {e.source for e in data.full if e.source.startswith("full")}
    between = [entry for entry in clean.full if entry.source.startswith("subtitled")]  # shots without a subtitle
    assert len(between) < len(marked)
    assert clean.full_pool(between).batch(8, seed=0, stage="direct", step=0).visible is None


def call(root: Path, *more: str) -> Any:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    paths = [str(root / "videos"), "--out", str(root / "out"), "--work", str(root / "work")]
    return CliRunner().invoke(app, ["compare", *paths, "--preset", "smoke", "--samples", "2", *settings, *more])


def test_where_filtering_leaves_nothing_the_page_says_so_and_the_others_are_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = call(make(tmp_path, FEW_FILMS), "--json")
    assert "to tell ways of training apart takes 5" in caplog.text
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert result["policies"]["filter"] == {"clips": 0, "seconds": 0, "finds": "filtering leaves 0 clips"}
    assert result["policies"]["upscale"]["finds"] == "upscaling leaves 0 clips"
    assert result["verdict"].startswith("Only vidboot can train on this folder")
    assert "filtering leaves 0 clips" in Path(result["page"]).read_text()


def test_a_folder_that_holds_something_else_is_left_alone(root: Path) -> None:
    page = root / "mine" / "report.html"
    page.parent.mkdir()
    page.write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no comparison"):
        compare(root, "mine")
    assert [path.read_text() for path in page.parent.iterdir()] == ["mine"]


def test_too_few_samples_are_told_before_anything_is_trained(root: Path) -> None:
    with pytest.raises(ValueError, match="at least 8 frames and 2 samples"):
        story.compare(root / "videos", root / "few", root / "work", CONFIG, samples=1, rows=print, part=quiet)
    assert not (root / "few").exists()


def test_a_folder_without_enough_full_videos_is_one_sentence(root: Path) -> None:
    done = call(root, "--set", "video.frames=1000", "--set", "low_res.levels=0")
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    *_, sentence = done.stderr.strip().split("\n")
    assert sentence.startswith(f"vidboot: {root / 'videos'} has 0 full videos (1000x16x16@8")

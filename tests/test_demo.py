"""The demo in miniature: every part of the way from a folder to a page."""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from vidboot import config as configs
from vidboot import demo as story
from vidboot.data.progress import silent


def run_demo(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the result, and the rows of its training with the part under which each was told."""
    rows: list[dict[str, Any]] = []
    under: list[str] = []

    @contextlib.contextmanager
    def part(name: str) -> Iterator[Any]:
        under.append(name)
        yield silent
        under.remove(name)

    def tell(row: dict[str, Any]) -> None:
        rows.append({**row, "under": list(under)})

    config = configs.read(preset="smoke", settings=story.SETTINGS)
    return story.demo(out, config, story.sizes_of("smoke"), rows=tell, part=part), rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("demo")
    result, rows = run_demo(out)
    assert rows
    assert not any(row["under"] for row in rows), "a bar of another part stands over the training"
    return out, result


def test_the_demo_says_what_it_made_and_measured(made: tuple[Path, dict[str, Any]]) -> None:
    _, result = made
    assert {"video", "report", "run", "seconds", "lag_correlation", "held_out_loss"} <= result.keys()
    assert set(result["lag_correlation"]) == {"real", "full", "clips_only"}
    assert set(result["held_out_loss"]) == {"full", "composition", "clips_only", "direct"}
    assert result["lag_correlation"]["real"] > 0.9
    json.dumps(result)


def test_the_video_has_every_frame_and_plays_in_a_browser(made: tuple[Path, dict[str, Any]]) -> None:
    with av.open(str(made[1]["video"]), "r") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert sum(1 for _ in container.decode(stream)) == story.sizes_of("smoke").frames


def test_the_page_shows_every_policy_and_the_file_that_was_refused(made: tuple[Path, dict[str, Any]]) -> None:
    page = Path(made[1]["report"]).read_text()
    for policy in ("real", "full", "clips-only", "low-res-only", "direct"):
        assert f">{policy}" in page
    assert "truncated_00000.mp4" in page


CLAIM = "A shape keeps its identity"


def measured(full: float, clips: float, *, motion: float = 1.0) -> dict[str, Any]:
    alike = {"real": 1.0, "full": 1.0, "clips-only": 1.0}
    memory = {"real": 1.0, "full": full, "clips-only": clips}
    return {"lag": 48, "lag_correlation": memory, "spread": alike, "high_band_energy": alike} | {
        "motion_energy": alike | {"full": motion}
    }


def test_identity_is_claimed_only_of_videos_that_remember_what_clips_do_not_and_that_move() -> None:
    assert story.verdict(measured(0.95, 0.2)).startswith(CLAIM)
    for forgets in (measured(0.85, 0.2), measured(0.95, 0.6), measured(float("nan"), 0.2)):
        assert "has not learnt" in story.verdict(forgets)
    still = story.verdict(measured(0.98, 0.2, motion=0.01))
    assert CLAIM not in still
    assert "its motion energy 0.01 should lie between" in still
    assert "keep an unknown share of" in story.verdict(measured(float("nan"), 0.2))


def test_an_untrained_run_does_not_claim_to_keep_identity(made: tuple[Path, dict[str, Any]]) -> None:
    assert CLAIM not in Path(made[1]["report"]).read_text()


def test_the_demo_run_again_trains_nothing_and_measures_the_same(made: tuple[Path, dict[str, Any]]) -> None:
    out, first = made
    again, rows = run_demo(out)
    assert rows == []
    assert json.dumps({**again, "seconds": 0}) == json.dumps({**first, "seconds": 0})


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    with pytest.raises(ValueError, match="is not empty and holds no demo"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["videos"]


def test_a_preset_without_videos_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(ValueError, match="'base'; it has for tiny, smoke"):
        story.sizes_of("base")


def test_videos_over_real_ones_that_stand_still_are_no_number_and_no_error() -> None:
    alike = {"real": 0.5, "full": 1.0}
    numbers = dict.fromkeys(("lag_correlation", "spread", "high_band_energy", "held_out_loss"), alike)
    evaluation: Any = SimpleNamespace(numbers={**numbers, "motion_energy": {"real": 0.0, "full": 1.0}})
    over_real = story._result(evaluation, evaluation)["over_real"]
    assert over_real["spread"] == {"full": 2}
    assert math.isnan(over_real["motion_energy"]["full"])

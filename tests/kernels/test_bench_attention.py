"""The benchmark of a GPU, where there is none: it refuses, and its dry run goes through."""

import json
import sys
from pathlib import Path

import bench_attention as bench
import pytest
import torch

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_it_refuses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench_attention.py", "--all"])
    assert bench.main() == 2
    assert "needs a CUDA device" in capsys.readouterr().err


def test_a_dry_run_measures_small_shapes_and_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench_attention.py", "--dry-run"])
    before = (ROOT / "kernels" / "README.md").read_text()
    assert bench.main() == 0
    shown = capsys.readouterr().out
    assert all(str(shape) in shown for shape in (*bench.SMALL, *bench.SMALL_STEPS))
    assert "whose times mean nothing" in shown
    assert (ROOT / "kernels" / "README.md").read_text() == before
    assert not list(tmp_path.iterdir())


def test_as_json_it_prints_one_object_of_all_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "train_step", lambda *_, compiled: 25.0)
    monkeypatch.setattr(sys, "argv", ["bench_attention.py", "--dry-run", "--json"])
    assert bench.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["shape"] for row in found["rows"]} == {str(shape) for shape in (*bench.SMALL, *bench.SMALL_STEPS)}
    assert found["train_step_ms"]["with SDPA"] == 25.0


def test_what_fails_is_left_out_and_what_others_took_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(backend: str, *_: object, compiled: bool) -> float:
        if backend == "sdpa" and not compiled:
            raise Exception  # as triton's own are, and without a word
        return 50.0 if backend == "sdpa" else 25.0

    monkeypatch.setattr(bench, "train_step", step)
    monkeypatch.setattr(sys, "argv", ["bench_attention.py", "--dry-run"])
    assert bench.main() == 0
    out, err = capsys.readouterr()
    assert (
        "with kernels 25.0 ms, with kernels, compiled 25.0 ms, with SDPA, compiled 50.0 ms; ratio 2.00, compiled."
        in out
    )
    assert "a training step with SDPA is left out: Exception" in err


def test_the_readme_has_a_row_for_each_shape() -> None:
    readme = (ROOT / "kernels" / "README.md").read_text()
    for shape in (*bench.SHAPES, *bench.STEPS):
        assert all(f"| {shape} | {name} |" in readme for name in ("forward", "both"))

"""The files of a run: whole or not there, and never another program's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import vidboot.run
from vidboot.errors import WorkFailed
from vidboot.run import SCHEMA, Run, load_tensors, save_tensors


def new_run(path: Path) -> Run:
    return Run.create(path, {"config": {}})


def test_a_save_that_fails_half_way_leaves_the_previous_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip" / "checkpoint.safetensors"
    save_tensors(path, {"a": torch.arange(3)}, step=1)

    def half(tensors: object, file: Path, metadata: object) -> None:
        file.write_bytes(b"half of a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(vidboot.run, "save_file", half)
    with pytest.raises(KeyboardInterrupt):
        save_tensors(path, {"a": torch.arange(4)}, step=2)
    tensors, facts = load_tensors(path)
    assert tensors["a"].tolist() == [0, 1, 2]
    assert facts == {"step": 1}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_who_reads_a_file_while_it_is_saved_anew_reads_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": torch.arange(3)})
    before = path.read_bytes()
    with path.open("rb") as reader:
        save_tensors(path, {"a": torch.arange(500)})
        assert reader.read() == before
    assert len(load_tensors(path)[0]["a"]) == 500


@pytest.mark.parametrize("cut", [1, 2, 3, 12])
def test_a_line_of_metrics_cut_short_is_left_out(tmp_path: Path, cut: int) -> None:
    run = new_run(tmp_path / "run")
    for step in (1, 2):
        run.log({"stage": "clip", "step": step, "held_out_bands": {"0.02": 1.0}})
    path = run.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert [row["step"] for row in run.metrics()] == [1]


def test_only_what_will_be_written_again_is_forgotten(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    for name, step in (("clip", 1), ("low_res0", 2), ("clip", 2), ("clip", 3)):
        run.log({"stage": name, "step": step})
    run.forget("clip", 1)
    assert [(row["stage"], row["step"]) for row in run.metrics()] == [("clip", 1), ("low_res0", 2)]


def test_a_foreign_folder_is_no_place_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        new_run(tmp_path)
    (tmp_path / "run" / ".run.json.partial").parent.mkdir()
    (tmp_path / "run" / ".run.json.partial").write_text("what a kill left")
    assert new_run(tmp_path / "run").record["schema"] == SCHEMA
    (tmp_path / "run.json").write_text(json.dumps({"schema": SCHEMA - 1}))
    with pytest.raises(ValueError, match=f"is a run of schema {SCHEMA - 1}; this vidboot reads schema {SCHEMA}"):
        Run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        Run(tmp_path)


def test_a_damaged_file_of_weights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip" / "weights.safetensors"
    save_tensors(path, {"a": torch.arange(30)})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(WorkFailed, match="is damaged: delete it"):
        load_tensors(path)

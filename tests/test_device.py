"""A run computes in the precision it began in, but where that is many times slower."""

from pathlib import Path

import pytest
import torch

from vidboot import config as configs
from vidboot import device
from vidboot.build import Parts
from vidboot.run import Run

CPU = torch.device("cpu")


@pytest.mark.parametrize(("slowness", "begun_in"), [(0.3, "bfloat16"), (0.99, "bfloat16"), (1.01, "float32")])
def test_a_run_begins_in_the_faster_precision(monkeypatch: pytest.MonkeyPatch, slowness: float, begun_in: str) -> None:
    monkeypatch.setattr(device, "_slowness_of_bfloat16", lambda device: slowness)
    assert device.faster_precision(CPU) == begun_in


@pytest.mark.parametrize(
    ("begun_in", "setting", "slowness", "computed_in"),
    [
        ("bfloat16", "auto", 100.0, torch.float32),
        ("bfloat16", "auto", 2.0, torch.bfloat16),  # so near that another measurement may say otherwise
        ("bfloat16", "bfloat16", 100.0, torch.bfloat16),
        ("float32", "auto", 0.1, torch.float32),
    ],
)
def test_a_run_from_elsewhere_is_computed_in_float32_only_where_its_own_precision_is_much_slower_and_was_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    begun_in: str,
    setting: str,
    slowness: float,
    computed_in: torch.dtype,
) -> None:
    monkeypatch.setattr(device, "_slowness_of_bfloat16", lambda device: slowness)
    config = configs.read(preset="smoke", settings=[f"precision={setting}", "device=cpu"])
    record = {"config": config.model_dump(mode="json"), "precision": begun_in, "mean": [0, 0, 0], "spread": 0.1}
    run = Run.create(tmp_path / "run", {**record, "clip_frames": 8})
    assert Parts.of(run).precision == computed_in
    assert Parts.of(run).clip().precision == computed_in

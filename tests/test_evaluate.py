"""What stands for real video, where seams are looked for, and gates on a run of seconds."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from command import check_refused, vidboot

from vidboot.build import Model
from vidboot.composition import whole
from vidboot.evaluate import real_shots
from vidboot.run import Run
from vidboot.scan import audit
from vidboot.training_data import Folder


def test_a_gate_has_its_say_while_it_is_fitted_at_noise_where_the_sharp_net_is_not_asked(run: Path) -> None:
    model = Model(Run(run))
    gate, noise = model.parts.gate(0), torch.randn(1, 16, 3, 16, 16)
    sigma = torch.tensor([2 * model.config.clip.sigma_max])
    whole(model.composition(16, join=gate))(sigma * noise, sigma).square().mean().backward()
    assert any(p.grad is not None and p.grad.any() for p in gate.parameters())


def test_only_what_is_full_video_stands_for_real_video(run: Path, root: Path) -> None:
    files, shots = audit(root / "videos", root / "work")
    folder = Folder(root / "videos", root / "work", files, shots)
    real = real_shots(Run(run), folder)
    assert {Path(shot.path).stem.rstrip("0123456789") for shot in real} == {"full_"}
    assert len(real) == 2
    slow = [replace(shot, fps=3.0) for shot in shots]
    assert not real_shots(Run(run), replace(folder, shots=slow))
    assert not real_shots(Run(run), folder, 41)  # they have 40 frames


def test_seams_are_looked_for_where_windows_join(run: Path) -> None:
    model = Model(Run(run))
    window, overlap = model.config.clip.window, model.config.clip.overlap
    assert model.joins("clips-only", window + 1) == [1]
    assert model.joins("clips-only", 3 * window)[:2] == [window - overlap, 2 * (window - overlap)]
    assert model.joins("full", 3 * window) == [piece.start for piece in model.parts.sharp_plan()(3 * window)[1:]]
    assert model.joins("direct", 3 * window) == []


def test_an_evaluation_without_joins_has_no_seams_and_a_page_that_cannot_be_written_is_told_first(
    run: Path, root: Path
) -> None:
    how = ("evaluate", run, "--videos", root / "videos", "--work", root / "work", "--samples", 2, "--frames", 8)
    check_refused(vidboot(*how, "--page", root / "no" / "page.html"), 2, "does not exist")
    result = vidboot(*how, "--policy", "direct", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["seam_ratio"] == {}

"""What stands for real video, where seams are looked for, and gates on a run of seconds."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import check_refused, vidboot

from vidboot import evaluate, held_out, pages
from vidboot.build import Model
from vidboot.composition import whole
from vidboot.evaluate import _nearest, check_sizes, joins, real_shots
from vidboot.nets.gate import both_ends
from vidboot.policy import Policy
from vidboot.run import Run
from vidboot.scan import audit
from vidboot.training_data import Folder


def test_both_ends_of_a_gate_are_told_at_noise_where_a_composition_does_not_ask_the_sharp_net(run: Path) -> None:
    model = Model(Run(run))
    sigma = torch.tensor([2 * model.config.clip.sigma_max])
    noise = sigma * torch.randn(1, 16, 3, 16, 16)
    assert whole(model.composition(16, join=both_ends))(noise, sigma).shape[2] == 6


def test_only_what_is_full_video_stands_for_real_video(run: Path, root: Path) -> None:
    files, shots = audit(root / "videos", root / "work")
    folder = Folder(root / "videos", root / "work", files, shots)
    real = real_shots(Run(run), folder)
    assert {Path(shot.path).stem.rstrip("0123456789") for shot in real} == {"full_"}
    assert len(real) == 2
    slow = [replace(shot, fps=3.0) for shot in shots]
    assert not real_shots(Run(run), replace(folder, shots=slow))
    assert not real_shots(Run(run), folder, 41)  # they have 40 frames


def test_the_longest_shot_of_each_file_stands_for_real_video_before_others_of_it(run: Path, root: Path) -> None:
    files, shots = audit(root / "videos", root / "work")
    full = [shot for shot in shots if Path(shot.path).stem.startswith("full_")]
    more = [replace(full[0], shot=k, seconds=full[0].seconds + k) for k in (1, 2)]
    real = real_shots(Run(run), Folder(root / "videos", root / "work", files, [*full, *more]))
    assert [(shot.path, shot.shot) for shot in real[:2]] == [(full[0].path, 2), (full[1].path, full[1].shot)]
    assert len(real) == len(full) + 2


def test_an_evaluation_of_too_few_frames_is_refused_and_of_fewer_than_a_window_is_not(run: Path, root: Path) -> None:
    config = Model(Run(run)).config
    coarse = config.model_copy(update={"low_res": config.low_res.model_copy(update={"levels": 2, "group": 4})})
    with pytest.raises(ValueError, match="at least 16 frames and 2 samples, not frames = 8, samples = 2"):
        check_sizes(coarse, 8, 2)
    short = torch.zeros(2, config.clip.window - 1, 3, config.video.height, config.video.width)
    assert _nearest(Model(Run(run)), {"real": short}) is not None


def test_the_loss_is_measured_on_as_many_videos_as_are_asked_for(
    run: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "REAL_VIDEOS", 1)
    real = real_shots(Run(run), Folder(root / "videos", root / "work", *audit(root / "videos", root / "work")))
    more = [replace(shot, last=shot.last - k, pts_seconds=shot.pts_seconds[:-k]) for k in (1, 2) for shot in real]
    how = {"policies": ("direct",), "loss_policies": ("direct",), "find_text": lambda frames: []}
    of = (run, root / "videos", root / "work", more)
    measured = evaluate.evaluate(*of, frames=8, samples=2, loss_videos=3, **how)  # type: ignore[arg-type]
    assert len(measured.losses("direct")) == 3


def test_each_policy_is_measured_by_its_own_net(run: Path) -> None:
    model, real = Model(Run(run)), torch.rand(2, 16, 3, 16, 16) * 2 - 1
    policies = (Policy.clips_only, Policy.low_res_only, Policy.direct)
    errors = held_out.errors(model, policies, real, seed=0)
    for k, policy in enumerate(policies):
        assert torch.equal(errors[policy], held_out.errors(model, (policy,), real, seed=0)[policy])
        assert not torch.allclose(errors[policy], errors[policies[k - 1]])


def test_seams_of_samples_are_where_the_longer_video_they_were_cut_from_had_them(run: Path) -> None:
    model, policy = Model(Run(run)), Policy.full
    lengths = [T for T in range(16, 40) if model.length(policy, T) != T]
    differ = 0
    for T in lengths:
        sampled = [at for at in model.joins(policy, model.length(policy, T)) if at < T]
        differ += sampled != model.joins(policy, T)
        assert joins(model, policy, T) == set(sampled)
    assert differ


def test_seams_are_looked_for_where_windows_join(run: Path) -> None:
    model = Model(Run(run))
    window, overlap = model.config.clip.window, model.config.clip.overlap
    assert model.joins(Policy.clips_only, window + 1) == [1]
    assert model.joins(Policy.clips_only, 3 * window)[:2] == [window - overlap, 2 * (window - overlap)]
    assert model.joins(Policy.full, 3 * window) == [piece.start for piece in model.parts.sharp_plan()(3 * window)[1:]]
    T = model.config.video.frames
    assert model.joins(Policy.direct, T) == []
    assert model.joins(Policy.direct, 2 * T) == [T // 2, T]


def test_an_evaluation_without_joins_has_no_seams_and_a_page_that_cannot_be_written_is_told_first(
    run: Path, root: Path
) -> None:
    how = ("evaluate", run, "--videos", root / "videos", "--work", root / "work", "--samples", 2, "--frames", 8)
    check_refused(vidboot(*how, "--page", root / "no" / "page.html"), 2, "does not exist")
    result = vidboot(*how, "--policy", "direct", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["seam_ratio"] == {}


def test_a_verdict_takes_back_what_noise_or_known_videos_make_look_well() -> None:
    alike = {"real": 1.0, "full": 1.1}
    numbers = {
        **{"lag": 48, "lag_correlation": {"real": 0.9, "full": 0.95}, "real_videos": 4, "trained_on": 0},
        **dict.fromkeys(("motion_energy", "spread", "high_band_energy"), alike),
    }
    assert pages.verdict(numbers) == "48 frames on, full keeps 0.95 of what a frame shows; real video keeps 0.90."
    said = pages.verdict({**numbers, "trained_on": 3, "motion_energy": {"real": 1.0, "full": 9.0}})
    assert "its motion energy 9 should lie between 0.7 and 1.4" in said
    assert "3 of the 4 real videos were trained on" in said
    for distance, copies in ((0.4, True), (0.6, False)):
        said = pages.verdict({**numbers, "nearest_training_clip": {"real": 1.0, "full": distance}})
        assert ("it copies training clips" in said) == copies


def test_a_person_reads_the_verdict_first_and_sees_what_is_out_of_its_range(run: Path, root: Path) -> None:
    how = ("evaluate", run, "--videos", root / "videos", "--work", root / "work", "--samples", 2, "--policy", "full")
    result = vidboot(*how)
    assert result.exit_code == 0, result.output
    first, *lines = result.stdout.splitlines()
    assert "of what a frame shows" in first
    numbers = {line.split("  ")[0]: line for line in lines}
    real, full = (float(re.findall(rf"{name} ([.\d]+)", numbers["detail"])[0]) for name in ("real", "full"))
    assert real == 1
    assert numbers["detail"].endswith("(allowed: 0.7 to 1.4)")
    assert ("!" in numbers["detail"]) == (not 0.7 <= full <= 1.4)


def test_a_run_without_a_trained_net_is_told_so(run: Path, root: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(run / "run.json", begun)
    evaluated = vidboot("evaluate", begun, "--videos", root / "videos", "--work", root / "work", "--samples", 2)
    check_refused(evaluated, 2, "begun holds no trained net yet")

"""Gates on a run of seconds: measured between the two ends that they join; stopped, measured anew."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidboot.build import Model, gate_stage
from vidboot.composition import Join, back_projection, whole
from vidboot.data.progress import silent
from vidboot.denoiser import Denoise
from vidboot.fit import Stopped
from vidboot.losses import without_holes
from vidboot.nets.gate import ViewGate, knots
from vidboot.run import Run
from vidboot.scan import audit
from vidboot.stages import Training
from vidboot.training_data import Folder, TrainingData


@pytest.fixture
def training(run: Path, root: Path, tmp_path: Path) -> Training:
    """The run of seconds, its gates taken away."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for level in (0, 1):
        shutil.rmtree(copy / gate_stage(level))
    config = Model(Run(copy)).config
    folder = Folder(root / "videos", root / "work", *audit(root / "videos", root / "work")).with_masks_in(
        copy / ".masks", anew=False
    )
    return Training(Run(copy), config, TrainingData.of(folder, config, silent), report=lambda row: None)


def measure_gate(training: Training, level: int) -> ViewGate:
    config = training.config.low_res.gate if level else training.config.gate
    training.measure_gate(level, config, training.data.gate_pool(level))
    gate = Model(training.run).join(level)
    assert isinstance(gate, ViewGate)
    return gate


@pytest.mark.parametrize("level", [0, 1])
@torch.no_grad()
def test_a_gate_is_as_far_from_one_end_to_the_other_as_is_best_at_each_noise_level(
    training: Training, level: int
) -> None:
    gate, model, pool = measure_gate(training, level), Model(training.run), training.data.gate_pool(level)
    inner_alone = lambda view, y, D_inner, D_band, sigma: D_inner  # noqa: E731

    def joined_by(join: Join) -> Denoise:
        if level:
            return whole(model.low_res_stream(pool.longest, level=level - 1, join=join))
        return whole(model.composition(pool.longest, join=join))

    sums = torch.zeros(2, len(knots()))
    config = training.config.low_res.gate if level else training.config.gate
    for step in range(config.steps):
        batch = without_holes(pool.batch(config.batch, seed=0, stage=gate_stage(level), step=step))
        x = batch.video
        trusted = torch.ones_like(x) if batch.visible is None else batch.visible.expand_as(x).float()
        for k, sigma in enumerate(knots().exp().tolist()):
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1009 * step + k))
            y, level_B = x + sigma * noise, torch.full((len(x),), sigma)
            D_v, D_inner = (joined_by(join)(y, level_B) for join in (back_projection, inner_alone))
            way = trusted * (D_inner - D_v)
            sums[:, k] += torch.stack([(way * (x - D_v)).sum(), way.square().sum()])
    best: Tensor = (sums[0] / sums[1]).clamp(0, 1)
    torch.testing.assert_close(gate.gate, best, rtol=1e-3, atol=1e-4)
    assert gate.gate.any()


def test_a_gate_that_was_stopped_leaves_nothing_and_comes_out_the_same(training: Training) -> None:
    weights = training.run.weights(gate_stage(0))
    training.stop.set()
    with pytest.raises(Stopped, match="gate0 was stopped"):
        measure_gate(training, 0)
    assert not weights.exists()
    training.stop.clear()
    measure_gate(training, 0)
    made = weights.read_bytes()
    weights.unlink()
    measure_gate(training, 0)
    assert weights.read_bytes() == made

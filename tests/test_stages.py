"""Gates and residual on a run of seconds: measured between two ends, on videos that were not seen; stopped, anew."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vidboot import train as stages_of
from vidboot.build import Model, gate_stage
from vidboot.composition import Join, back_projection, whole
from vidboot.data.cache import open_clip
from vidboot.data.clips import Pool
from vidboot.data.progress import silent
from vidboot.denoiser import Denoise
from vidboot.fit import Stopped
from vidboot.losses import Batch, loss_weight, without_holes
from vidboot.nets.gate import KNOTS, ViewGate, knots
from vidboot.nets.residual import Residual
from vidboot.policy import Policy
from vidboot.run import Run
from vidboot.scan import audit
from vidboot.stages import Training, residual_loss
from vidboot.training_data import Entries, Folder, TrainingData


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
    training.measure_gate(level)
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
    config = training.config.gate_of(level)
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


def test_the_loss_of_a_residual_is_that_of_the_sum_and_a_penalty_on_what_it_adds() -> None:
    video, sigma = torch.full((1, 2, 3, 4, 4), 0.5), torch.tensor([0.4])
    batch = Batch(video, torch.zeros(1, 2))
    adds = lambda y, D_views, sigma: torch.full_like(y, 0.2)  # noqa: E731
    for penalty in (0.0, 1.0, 3.0):
        loss = residual_loss(adds, lambda y, sigma: torch.full_like(y, 0.1), penalty=penalty)  # type: ignore[arg-type]
        expected = loss_weight(sigma) * ((0.1 + 0.2 - 0.5) ** 2 + penalty * 0.2**2)
        torch.testing.assert_close(loss(batch, sigma, torch.zeros_like(video))[None], expected)


def trained_on(training: Training, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, set[str]], list[set[str]]]:
    """Train the residual in name: the files that each stage of it saw, and those that each fold was measured on."""
    seen: dict[str, set[str]] = {}
    measured: list[set[str]] = []

    def fit_residual(training: Training, name: str, pool: Pool) -> Residual:
        seen[name] = {entry.sha256 for entry in pool.entries}
        model = Model(training.run)
        return model.parts.residual(model.clip())

    def cross_fit(training: Training, residual: Residual, unseen: Entries) -> Tensor:
        measured.append({entry.sha256 for entry in unseen})
        return torch.stack([torch.full_like(knots(), 1.0), torch.full_like(knots(), 4.0)])

    monkeypatch.setattr(Training, "fit_residual", fit_residual)
    monkeypatch.setattr(stages_of, "cross_fit", cross_fit)
    stages_of.train_residual(training)
    return seen, measured


def test_a_residual_is_trusted_as_far_as_it_helped_with_videos_that_it_had_not_seen(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, measured = trained_on(training, monkeypatch)
    files = {entry.sha256 for entry in training.data.full}
    assert len(files) == 2
    assert seen.pop("residual_ungated") == files
    for saw, was_measured in zip(seen.values(), measured, strict=True):
        assert saw | was_measured == files
        assert not saw & was_measured
    assert set.union(*measured) == files
    torch.testing.assert_close(Model(training.run).residual().gate, torch.full_like(knots(), 0.25))


def test_a_fold_is_measured_on_the_videos_it_is_given_and_no_others(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Tensor] = []
    monkeypatch.setattr(
        stages_of, "gate_sums", lambda D, video, *, seed: measured.append(video) or torch.zeros(2, KNOTS)
    )
    model, (one, *others) = Model(training.run), training.data.full
    assert one.sha256 not in {entry.sha256 for entry in others}
    stages_of.cross_fit(training, model.parts.residual(model.clip()), [one])
    frames = torch.from_numpy(open_clip(one, 0, one.frames)[0].copy()).permute(0, 3, 1, 2) / 127.5 - 1
    assert measured
    for frame in torch.cat(measured).flatten(0, 1):
        assert (frames - frame).abs().amax((1, 2, 3)).min() < 1e-3


def test_a_residual_refines_as_far_as_its_gate_lets_it(training: Training) -> None:
    model, y, sigma = Model(training.run), torch.randn(1, 16, 3, 16, 16), torch.tensor([0.5])
    residual = model.residual()
    torch.nn.init.ones_(residual.net.out.bias)  # type: ignore[arg-type]
    composed = whole(model.composition(16))(y, sigma)
    for gate in (0.0, 0.5):
        residual.gate.fill_(gate)
        R = residual(y, composed, sigma)
        assert R.abs().min() > 0.01
        torch.testing.assert_close(whole(model.stream(Policy.full, 16))(y, sigma), composed + gate * R)


def test_a_residual_of_one_full_video_is_not_trusted(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(training.data, full=[e for e in training.data.full if e.sha256 == training.data.full[0].sha256])
    seen, measured = trained_on(replace(training, data=one), monkeypatch)
    assert (list(seen), measured) == (["residual_ungated"], [])
    assert not Model(training.run).residual().gate.any()


def test_a_coarser_level_starts_from_the_weights_of_the_level_below(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins: list[dict[str, Tensor]] = []
    ends: list[dict[str, Tensor]] = []

    def fit_view(training: Training, name: str, config: object, model: nn.Module, *pools: Pool) -> nn.Module:
        begins.append({key: value.clone() for key, value in model.state_dict().items()})
        with torch.no_grad():
            for weight in model.parameters():
                weight += 1.0
        ends.append(model.state_dict())
        return model

    monkeypatch.setattr(Training, "fit_view", fit_view)
    monkeypatch.setattr(Training, "measure_gate", lambda *_: None)
    stages_of.train_low_res(training)
    assert len(begins) == 2
    assert all(torch.equal(begins[1][key], ends[0][key]) for key in begins[1])

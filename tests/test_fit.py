"""Training goes on bit for bit wherever it was killed, and stops with a sentence where it cannot.

Run as a program, this file trains in children that are killed: see ``train_in_children``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vidboot.denoiser import NetDenoiser
from vidboot.fit import Loss, NonFiniteLoss, Stage, StageConfig, Stopped, fit
from vidboot.losses import HELD_OUT_SIGMAS, Batch, view_loss
from vidboot.nets.factorized import FactorizedNet, NetConfig
from vidboot.optim import OptimConfig, Optimizer
from vidboot.run import Run, load_tensors, save_tensors

STEPS = 6


def net() -> NetDenoiser:
    torch.manual_seed(0)
    config = NetConfig(blocks=("space", "time"), width=8, heads=2, patch=2)
    return NetDenoiser(FactorizedNet(config), torch.zeros(3))


def batch(step: int) -> Batch:
    video = torch.randn(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(step))
    visible = torch.ones(2, 3, 1, 4, 4, dtype=torch.uint8)
    visible[0, :, :, 1:3] = 0
    pts_seconds = torch.arange(3).expand(2, 3) / 8
    return Batch(video.clamp(-1, 1), pts_seconds, visible, visible, sources=["a.mp4", "b.mp4", "a.mp4"])


def of_view(model: nn.Module, average: nn.Module | None) -> Loss:
    assert isinstance(model, NetDenoiser)
    assert average is None or isinstance(average, NetDenoiser)
    return partial(view_loss, model, guess=average)


def stage(*, loss: Callable[[nn.Module, nn.Module | None], Loss] = of_view, **config: Any) -> Stage:
    settings = {
        "steps": STEPS,
        "batch": 2,
        "report_every": 2,
        "checkpoint_seconds": 0,
        "optim": {"warmup": 1},
        **config,
    }
    return Stage(
        name="clip",
        config=StageConfig.model_validate(settings),
        model=net(),
        loss=loss,
        batch=batch,
        held_out=lambda net: dict.fromkeys(HELD_OUT_SIGMAS, float(sum(p.double().sum() for p in net.parameters()))),
    )


def new_run(path: Path) -> Run:
    return Run.create(path, {"config": {}})


def train_in_children(folder: Path, runs: int) -> None:
    """Train one run in peace and others under fire; print how often each was killed.

    Each attempt is a child that kills itself at a random one of the calls and returns, into C as well, that the code
    of vidboot.fit, run and optim makes: in the middle of a step, of writing a checkpoint, of a line of metrics.
    """
    torch.set_num_threads(1)
    _warm_up()
    _in_child(folder / "peace", kill_at=None)
    events = int((folder / "peace" / "events").read_text())
    for number in range(runs):
        path, rng, kills = folder / f"run{number}", random.Random(number), 0
        new_run(path)
        while not Run(path).done("clip"):
            kills += _in_child(path, kill_at=rng.randrange(events // 2) if kills < 6 else None)
        print(kills)


def _warm_up() -> None:
    """Import for all children what an optimizer's first step imports; no fork survives the threads of a backward."""
    model = net()
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    Optimizer(model, OptimConfig()).step(0, 1)


def _in_child(path: Path, *, kill_at: int | None) -> bool:
    """Train in a fork of this process; return whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            seen = 0

            def count(frame: FrameType, event: str, argument: object) -> None:
                nonlocal seen
                if Path(frame.f_code.co_filename).name in ("fit.py", "run.py", "optim.py"):
                    seen += 1
                    if seen == kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)

            run = Run(path) if path.exists() else new_run(path)
            made = stage()
            sys.setprofile(count)
            fit(made, run)
            sys.setprofile(None)
            (path / "events").write_text(str(seen))
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "a child failed by itself"
    return os.WIFSIGNALED(status)


def test_a_net_is_told_that_it_learns_and_its_average_that_it_is_asked(tmp_path: Path) -> None:
    modes: list[tuple[bool, bool | None]] = []

    def loss(model: nn.Module, average: nn.Module | None) -> Loss:
        modes.append((model.training, None if average is None else average.training))
        return of_view(model, average)

    run = new_run(tmp_path / "run")
    returned = [fit(stage(loss=loss), run) for _ in range(2)]
    assert modes == [(True, None), (True, False)], "the second call only loads what the first has trained"
    assert not any(average.training for average in returned)


def test_a_training_killed_anywhere_and_resumed_ends_bit_for_bit_as_one_left_in_peace(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path), "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kills = [int(line) for line in done.stdout.split()]
    assert len(kills) == 3
    assert min(kills) >= 1
    assert sum(kills) >= 6
    peace = Run(tmp_path / "peace")
    for number in range(3):
        run = Run(tmp_path / f"run{number}")
        assert run.weights("clip").read_bytes() == peace.weights("clip").read_bytes()
        assert {file.name for file in run.path.rglob(".*")} <= {".lock"}, "a kill left something for ever"
        assert [row["step"] for row in run.metrics()] == [2, 4, 6]
        assert [row["held_out_loss"] for row in run.metrics()] == [row["held_out_loss"] for row in peace.metrics()]


def test_training_moves_the_weights_and_a_done_stage_is_only_loaded(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    average = fit(stage(), run)
    changed = [name for name, p in average.named_parameters() if not torch.equal(p, net().get_parameter(name))]
    assert "net.out.weight" in changed

    def must_not_run(step: int) -> Batch:
        raise AssertionError

    again = stage()
    object.__setattr__(again, "batch", must_not_run)
    for name, value in fit(again, run).state_dict().items():
        assert torch.equal(value, average.state_dict()[name])
    assert [row["step"] for row in run.metrics()] == [2, 4, 6]


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_training_told_to_stop_ends_at_its_next_step_and_resumes_bit_for_bit(tmp_path: Path, after: int) -> None:
    whole = fit(stage(), new_run(tmp_path / "whole")).state_dict()
    run, asked = new_run(tmp_path / "run"), 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == after

    with pytest.raises(Stopped, match=f"step {after}"):
        fit(stage(checkpoint_seconds=1e9), run, stop=stop)
    assert load_tensors(run.checkpoint("clip"))[1]["step"] == after
    for name, value in fit(stage(), run).state_dict().items():
        assert torch.equal(value, whole[name])


def test_the_average_is_asked_once_a_quarter_of_the_run_is_over(tmp_path: Path) -> None:
    asked = []

    def loss(model: nn.Module, average: nn.Module | None) -> Loss:
        of_batch = of_view(model, average)
        return lambda *drawn: asked.append(average is not None) or of_batch(*drawn)

    fit(stage(loss=loss, steps=8), new_run(tmp_path / "run"))
    assert asked == [False] * 2 + [True] * 6


def test_a_row_of_metrics_says_what_a_person_asks(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = []
    fit(stage(), new_run(tmp_path / "run"), rows.append)
    assert rows == Run(tmp_path / "run").metrics()
    assert {"stage", "step", "steps", "train_loss", "held_out_loss", "held_out_bands", "eta_seconds"} <= rows[0].keys()
    assert list(rows[0]["held_out_bands"]) == [str(sigma) for sigma in HELD_OUT_SIGMAS]  # type: ignore[call-overload]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("in_gradient", [False, True])
@pytest.mark.parametrize("checkpoint_seconds", [0, 1000])
def test_a_loss_that_is_not_finite_stops_with_step_files_and_checkpoint(
    wrong: float, in_gradient: bool, checkpoint_seconds: float, tmp_path: Path
) -> None:
    run = new_run(tmp_path / "run")
    steps = iter(range(STEPS))

    def fails_at_step_3(model: nn.Module, average: nn.Module | None) -> Loss:
        def loss(batch: Batch, sigma: Tensor, noise: Tensor) -> Tensor:
            value = of_view(model, average)(batch, sigma, noise)
            if next(steps) != 3:
                return value
            if in_gradient:
                next(model.parameters()).register_hook(lambda gradient: gradient * wrong)
                return value
            return value * wrong

        return loss

    with pytest.raises(NonFiniteLoss) as failed:
        fit(stage(loss=fails_at_step_3, checkpoint_seconds=checkpoint_seconds), run)
    sentence = str(failed.value)
    assert "stage clip, step 3: the loss is " in sentence
    assert str(wrong) in sentence.partition(";")[0]
    assert "a.mp4, b.mp4" in sentence
    if checkpoint_seconds:
        assert "no checkpoint was written yet" in sentence
    else:
        assert str(run.checkpoint("clip")) in sentence
        assert load_tensors(run.checkpoint("clip"))[1] == {"step": 3}
    assert not run.done("clip")


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
def test_the_state_of_the_optimizer_survives_a_file(tmp_path: Path, device: str) -> None:
    def steps(model: NetDenoiser, optimizer: Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            generator = torch.Generator().manual_seed(step)
            for p in model.parameters():
                p.grad = torch.randn(p.shape, generator=generator).to(device)
            optimizer.step(step, 6)

    config, whole, first_half, second_half = OptimConfig(warmup=1), *(net().to(device) for _ in range(3))
    steps(whole, Optimizer(whole, config), 0, 6)
    before = Optimizer(first_half, config)
    steps(first_half, before, 0, 3)
    save_tensors(tmp_path / "state", before.state())
    second_half.load_state_dict(first_half.state_dict())
    after = Optimizer(second_half, config)
    after.load(load_tensors(tmp_path / "state")[0])
    assert before.state().keys() == after.state().keys()
    assert any(key.endswith("/momentum_buffer") for key in before.state()), "Muon has the matrices of the blocks"
    assert any(key.endswith("/exp_avg") for key in before.state()), "AdamW has the rest"
    steps(second_half, after, 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second_half.parameters(), strict=True))


def test_where_nets_compute_in_float32_training_makes_no_product_in_bfloat16(tmp_path: Path) -> None:
    """Some CPUs take a hundred times as long for those."""
    seen: set[torch.dtype] = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            seen.update(arg.dtype for arg in args if isinstance(arg, Tensor))
            return func(*args, **(kwargs or {}))

    with Watch():
        fit(stage(), new_run(tmp_path / "float32"))
    assert torch.float32 in seen
    assert torch.bfloat16 not in seen
    with Watch():
        fit(replace(stage(), precision=torch.bfloat16), new_run(tmp_path / "bfloat16"))
    assert torch.bfloat16 in seen, "so the watch sees Muon's"


def test_the_rates_rise_stay_and_fall_to_almost_nothing() -> None:
    course = [OptimConfig(warmup=10, decay=0.4).course(step, 100) for step in range(100)]
    assert course[0] == pytest.approx(1 / 11)
    assert max(course) == 1
    assert course[10:61] == [1.0] * 51
    assert course[-1] == pytest.approx(1 / 40)
    assert course[60:] == sorted(course[60:], reverse=True)


if __name__ == "__main__":
    train_in_children(Path(sys.argv[1]), int(sys.argv[2]))

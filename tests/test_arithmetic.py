"""What is counted is what is computed: every matrix product of a training, by torch's own counter."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vidboot import arithmetic, fit, scan, train
from vidboot import config as configs
from vidboot.data.encode import save_tiny
from vidboot.nets.factorized import FactorizedNet, NetConfig
from vidboot.optim import OptimConfig, Optimizer
from vidboot.synthetic import FolderSizes, write_folder

SIZES = FolderSizes(
    clips=4, low_res=4, full=3, subtitled=3, truncated=0, held_out=0, side=16, low_res_side=8, short_frames=8
)
SETTINGS = ("precision=float32", "low_res.train.batch=16", "clip.train.batch=16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> train.Folder:
    root = tmp_path_factory.mktemp("arithmetic")
    write_folder(root / "videos", SIZES, held_out_path=root / "held", work=root / "work", encode=save_tiny, workers=1)
    return train.Folder(root / "videos", root / "work", *scan.audit(root / "videos", root / "work"))


@pytest.mark.parametrize("kind", ["space", "time", "joint"])
@pytest.mark.parametrize(("frames", "pixels"), [(1, 0), (6, 0), (6, 5)])
def test_a_pass_through_a_net_is_counted_exactly(kind: Any, frames: int, pixels: int) -> None:
    config = NetConfig(blocks=(kind, kind), width=32, heads=2, patch=4, pixels=pixels)
    net = FactorizedNet(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.randn(1, frames, 3, 8, 16), torch.ones(1), pts_seconds=torch.arange(frames)[None] / 8)
    assert arithmetic.forward(config, frames=frames, height=8, width=16) == counter.get_total_flops()


def test_a_step_of_training_is_counted_exactly() -> None:
    net = FactorizedNet(config := NetConfig(blocks=("space", "time"), width=32, heads=2, patch=4))
    for p in net.parameters():  # zeros stop gradients, but not here the products that make them
        torch.nn.init.normal_(p)
    clip, model = torch.randn(1, 6, 3, 8, 16), torch.nn.ModuleDict({"net": net})
    with FlopCounterMode(display=False) as counter:
        net(clip, torch.ones(1), pts_seconds=torch.arange(6)[None] / 8).square().sum().backward()
    once = arithmetic.forward_and_backward(config, frames=6, height=8, width=16)
    assert once == counter.get_total_flops()
    optimizer = Optimizer(model, OptimConfig())
    with FlopCounterMode(display=False) as counter:
        optimizer.step(0, 1)
    assert arithmetic.update(config) == counter.get_total_flops()


@pytest.mark.parametrize("settings", [(), ("low_res.train.steps=0", "clip.train.steps=0", "direct.steps=9")])
def test_a_training_takes_the_arithmetic_that_is_counted(
    folder: train.Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    monkeypatch.setattr(fit, "_measure", lambda stage, average, step, clock: {"stage": stage.name, "step": step})
    config = configs.read(preset="smoke", settings=(*SETTINGS, *settings))
    with FlopCounterMode(display=False) as counter:
        run = train.train(folder, tmp_path / "run", config)
    assert arithmetic.of_run(run, folder) == pytest.approx(counter.get_total_flops(), rel=0.02)

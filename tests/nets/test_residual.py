"""The residual starts as nothing on the clip net's weights, and is trusted by a smooth gate."""

import pytest
import torch
from torch import Tensor

from vidboot.denoiser import NetDenoiser
from vidboot.innovation import error_of
from vidboot.nets.factorized import FactorizedNet, NetConfig
from vidboot.nets.gate import knots
from vidboot.nets.residual import Residual


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def clip_net(pixels: int = 0) -> NetDenoiser:
    torch.manual_seed(0)
    net = FactorizedNet(NetConfig(blocks=("space", "time"), width=16, heads=2, patch=2, pixels=pixels))
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3 * p.shape[-1] ** -0.5)
    return NetDenoiser(net, torch.tensor([0.1, 0.2, -0.3]), spread=0.0)


def residual(pixels: int = 0) -> Residual:
    return Residual(clip_net(pixels), fps=8.0)


@pytest.mark.parametrize("pixels", [0, 4])
def test_a_fresh_residual_is_nothing_at_any_gate(pixels: int) -> None:
    y, D_views, sigma = random(2, 5, 3, 4, 6), random(2, 5, 3, 4, 6, seed=1), torch.tensor([0.1, 3.0])
    fresh = residual(pixels)
    fresh.gate.fill_(1)
    assert not fresh(y, D_views, sigma).any()
    assert not fresh.gated(y, D_views, sigma).any()


@pytest.mark.parametrize("pixels", [0, 4])
def test_the_residual_thinks_as_the_clip_net_does_until_it_has_learnt(pixels: int) -> None:
    clip, started = clip_net(pixels), residual(pixels)
    assert isinstance(clip.net, FactorizedNet)
    started.net.out.load_state_dict(clip.net.out.state_dict())
    if started.net.pixels is not None and clip.net.pixels is not None:
        started.net.pixels.down.load_state_dict(clip.net.pixels.down.state_dict())
    y, sigma = random(2, 5, 3, 4, 6), torch.tensor([0.1, 3.0])
    D_y = clip.eval()(y, sigma, pts_seconds=(torch.arange(5) / 8).expand(2, 5))
    for seed in (1, 2):
        R = started(y, random(2, 5, 3, 4, 6, seed=seed), sigma)
        x = started.mean + R
        torch.testing.assert_close(x + error_of(y - x, sigma), D_y)


def test_the_residual_learns_from_the_first_step_and_leaves_the_clip_net_alone() -> None:
    clip = clip_net().requires_grad_(False)
    before = {name: value.clone() for name, value in clip.state_dict().items()}
    model = Residual(clip, fps=8.0).requires_grad_(True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    y, D_views, x = (random(2, 5, 3, 4, 6, seed=seed) for seed in range(3))
    losses = []
    for _ in range(3):
        loss = (D_views + model(y, D_views, torch.ones(2)) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > losses[1] > losses[2]
    assert model.net.embed.weight.grad is not None
    assert model.net.embed.weight.grad[:, 12:24].any(), "what D_views shows is learnt from"
    assert all(torch.equal(value, before[name]) for name, value in clip.state_dict().items())


def test_the_gate_scales_each_video_by_its_own_level() -> None:
    model = residual()
    torch.nn.init.normal_(model.net.out.weight)
    model.gate.copy_(torch.linspace(0, 1, len(model.gate)))
    y, D_views = random(3, 2, 3, 4, 4), random(3, 2, 3, 4, 4, seed=1)
    sigma = knots()[[0, 5, -1]].exp() * (1 - 1e-6)
    R, gated = model(y, D_views, sigma), model.gated(y, D_views, sigma)
    for i, g in enumerate((0, 5 / (len(model.gate) - 1), 1)):
        torch.testing.assert_close(gated[i], g * R[i])


def test_the_net_is_not_run_where_it_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = residual()

    def must_not_run(*_: object, **__: object) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(model.net, "forward", must_not_run)
    y = random(2, 2, 3, 4, 4)
    assert torch.equal(model.gated(y, y, torch.ones(2)), torch.zeros_like(y))

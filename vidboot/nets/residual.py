"""The temporal-consistency net: what the views together still miss, D = D_views + g(sigma) R(y, D_views, sigma)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidboot.denoiser import SIGMA_DATA, NetDenoiser
from vidboot.nets.factorized import FactorizedNet
from vidboot.nets.gate import gate_at, knots
from vidboot.noise import expand


class Residual(nn.Module):
    """R starts from the clip net's weights with a zero output, so that it is the composition until it has learnt.

    Args:
        clip: the trained clip denoiser.
        fps: of the video, by which its frames are timed.
    """

    mean: Tensor
    knots: Tensor
    gate: Tensor

    def __init__(self, clip: NetDenoiser, *, fps: float) -> None:
        super().__init__()
        assert isinstance(clip.net, FactorizedNet)
        self.net = with_second_input(clip.net, channels=3)
        self.precision = clip.precision
        self.fps = fps
        self.register_buffer("mean", clip.mean.clone())
        self.register_buffer("knots", knots())
        self.register_buffer("gate", torch.zeros_like(self.knots))

    def forward(self, y: Tensor, D_views: Tensor, sigma: Tensor) -> Tensor:
        """Return R in the units of the video, not yet gated: [B, T, 3, H, W]."""
        B, T = y.shape[:2]
        scaled = (y - self.mean) * expand((sigma**2 + SIGMA_DATA**2).rsqrt(), y)
        both = torch.cat([scaled, (D_views - self.mean) / SIGMA_DATA], 2).to(self.precision)
        pts_seconds = (torch.arange(T, device=y.device) / self.fps).expand(B, T)
        return self.net(both, sigma, pts_seconds=pts_seconds).to(y.dtype)

    def gated(self, y: Tensor, D_views: Tensor, sigma: Tensor) -> Tensor:
        """Return g(sigma) R; the net is not run where g is 0."""
        g = self.g(sigma)
        if not g.any():
            return torch.zeros_like(D_views)
        return expand(g, y) * self(y, D_views, sigma)

    def g(self, sigma: Tensor) -> Tensor:
        """How far R is trusted at a noise level, in [0, 1]: [B]."""
        return gate_at(sigma, self.knots, self.gate)


def with_second_input(net: FactorizedNet, *, channels: int) -> FactorizedNet:
    """Copy a net, let it see ``channels`` more and answer with nothing: new input weights and the output start at 0."""
    copy = FactorizedNet(net.config, channels_in=channels + 3)
    state = {name: weight.clone() for name, weight in net.state_dict().items()}
    pixels = net.config.patch**2
    state["embed.weight"] = _before_last(state["embed.weight"], channels * pixels, last=pixels)
    drawn = 3 * pixels  # what the places draw by themselves
    outputs = [state["out.weight"][:drawn], state["out.bias"][:drawn]]
    if net.pixels is not None:
        state["pixels.up.weight"] = _before_last(state["pixels.up.weight"], channels, last=1)
        outputs += [state["pixels.down.weight"], state["pixels.down.bias"]]
    for output in outputs:
        output.zero_()
    copy.load_state_dict(state)
    return copy


def _before_last(weight: Tensor, count: int, *, last: int) -> Tensor:
    """Insert ``count`` zero inputs before the ``last`` ones, which say what is shown: [D, inputs, ...]."""
    seen, shown = weight[:, :-last], weight[:, -last:]
    return torch.cat([seen, weight.new_zeros(len(weight), count, *weight.shape[2:]), shown], 1)

"""The score net: blocks that attend in space or in time, each followed by an MLP, modulated by the noise level."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vidboot.nets.attention import ATTENTION, Places, rotary_in_space, rotary_in_time
from vidboot.nets.layers import Linear, SquaredReLU, fourier, octaves, patchify, unpatchify, zeroed
from vidboot.noise import expand
from vidboot.settings import Settings
from vidboot_kernels import gated_modulated, modulated

SIGMA_FEATURES = 64
PLACE_OCTAVES = 4
SEEN_SIGMA = 0.3
"""Noise level above which the last convolutions trust what the places drew more than the noisy pixels themselves."""
KEPT_BY_BLOCK = 17
"""Tensors like the residual stream that a block keeps for its backward pass."""


class NetConfig(Settings):
    """Size and shape of one score net."""

    blocks: tuple[Literal["space", "time", "joint"], ...] = ("space", "time") * 3
    """Where each block attends, first to last."""
    width: int = Field(default=256, gt=0)
    """Channels of a token."""
    heads: int = Field(default=4, gt=0)
    """Attention heads; width / heads must be divisible by 4."""
    patch: int = Field(default=8, gt=0)
    """Pixels on a side of a place."""
    expand: int = Field(default=4, gt=0)
    """Hidden width of the MLP over the width."""
    pixels: int = Field(default=0, ge=0)
    """Channels of two convolutions over pixels at the end; 0: none, each place of each frame is drawn alone."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.width % (4 * self.heads):
            raise ValueError(f"width = {self.width} is not divisible by 4 heads = {4 * self.heads}")
        return self


class Block(nn.Module):
    """Attention and MLP, each normed and modulated, each starting as nothing added."""

    def __init__(self, kind: Literal["space", "time", "joint"], config: NetConfig) -> None:
        super().__init__()
        D = config.width
        self.attend = ATTENTION[kind]
        self.heads = config.heads
        self.modulation = nn.Parameter(torch.zeros(6, D))
        self.qkv = Linear(D, 3 * D, bias=False)
        self.out = zeroed(Linear(D, D, bias=False))
        self.up = Linear(D, config.expand * D, bias=False)
        self.down = zeroed(Linear(config.expand * D, D, bias=False))

    def forward(
        self, x: Tensor, taken: Tensor, own: tuple[Tensor, ...], following: tuple[Tensor, ...], places: Places
    ) -> tuple[Tensor, Tensor]:
        """Return the new stream and what the next block takes of it, normed and modulated.

        Args:
            x: residual stream, [B, T, N, D].
            taken: what this block takes of it, likewise.
            own: ``table`` of this block.
            following: shift and scale of what comes next, each [B, 1, 1, D].
            places: where the tokens are, and which are shown.
        """
        B, T, N, D = x.shape
        _, _, gate1, shift2, scale2, gate2 = own
        q, k, v = self.qkv(taken).view(B, T, N, 3, self.heads, -1).unbind(3)
        attended = self.attend(q, k, v, places).reshape(B, T, N, D)
        x, taken = gated_modulated(x, self.out(attended), gate1, shift2, scale2)
        hidden = SquaredReLU.apply(self.up(taken))
        return gated_modulated(x, self.down(hidden), gate2, *following)

    def table(self, modulation: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Shift, scale and gate of attention, then of the MLP, each [B, 1, 1, D]; modulation: shared, [B, 6, D]."""
        return (modulation + self.modulation).to(dtype)[:, None, None].unbind(-2)


class Pixels(nn.Module):
    """Looks at the pixels again, across the borders of places and frames: two convolutions of what the places drew and
    what was seen.

    What places have to say passes through tokens narrower than the patches they draw, and each draws alone, so that
    frames fall into tiles, and detail under little noise is lost or flickers. Starts as nothing added.

    Args:
        seen: channels of the input of the net.
        width: channels that each place draws for this, and hidden channels.
        channels_out: channels of the output.
    """

    def __init__(self, seen: int, width: int, channels_out: int) -> None:
        super().__init__()
        self.channels_out = channels_out
        self.up = nn.Conv3d(width + seen, width, 3, padding=1)
        self.down = nn.Conv2d(width, channels_out, 3, padding=1)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)  # type: ignore[arg-type]

    def forward(self, drawn: Tensor, seen: Tensor, sigma: Tensor) -> Tensor:
        """Return frames, [B, T, channels_out, H, W], in the precision of ``drawn``.

        Args:
            drawn: by the places, [B, T, channels_out + width, H, W].
            seen: input of the net, [B, T, seen, H, W].
            sigma: noise level, [B]; from `SEEN_SIGMA` on a pixel's neighbours say less and less.
        """
        # In bfloat16 a training on a CPU came to NaN at its fourth step; why was not found.
        exact = torch.promote_types(drawn.dtype, torch.float32)
        frames, features = drawn.split([self.channels_out, drawn.shape[2] - self.channels_out], 2)
        clear = 1 / (1 + (expand(sigma, seen) / SEEN_SIGMA) ** 2)
        both = torch.cat([features, seen * clear], 2).to(exact).transpose(1, 2).contiguous()  # [B, C, T, H, W]
        up, down = self.up, self.down
        assert up.bias is not None
        assert down.bias is not None
        hidden = F.silu(F.conv3d(both, up.weight.to(exact), up.bias.to(exact), padding=1))
        hidden = hidden.transpose(1, 2).flatten(0, 1)
        added = F.conv2d(hidden, down.weight.to(exact), down.bias.to(exact), padding=1)
        return frames + added.unflatten(0, frames.shape[:2]).to(frames.dtype)


class FactorizedNet(nn.Module):
    """Maps noisy frames, at any length and any size the patch divides, to frames.

    Args:
        config: size and shape.
        channels_in: channels of the input, the ``shown`` channel not counted.
        channels_out: channels of the output.
    """

    sigma_octaves: Tensor

    def __init__(self, config: NetConfig, *, channels_in: int = 3, channels_out: int = 3) -> None:
        super().__init__()
        D, pixels = config.width, config.patch**2
        self.config = config
        self.embed = Linear((channels_in + 1) * pixels, D)
        self.embed_place = Linear(4 * PLACE_OCTAVES, D, bias=False)
        self.embed_sigma = nn.Sequential(Linear(2 * SIGMA_FEATURES, D), nn.SiLU(), Linear(D, D), nn.SiLU())
        self.modulation = zeroed(Linear(D, 6 * D))
        self.blocks = nn.ModuleList(Block(kind, config) for kind in config.blocks)
        self.modulate_out = zeroed(Linear(D, 2 * D))
        self.out = zeroed(Linear(D, (channels_out + config.pixels) * pixels))
        self.pixels = Pixels(channels_in + 1, config.pixels, channels_out) if config.pixels else None
        self.register_buffer("sigma_octaves", octaves(0.25, 16.0, SIGMA_FEATURES), persistent=False)

    def forward(self, y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        """Return the net's output, in the precision of ``y``.

        Args:
            y: input of about unit variance, [B, T, channels_in, H, W].
            sigma: noise level, [B].
            shown: 1 where the net is given the pixel, [B, T, 1, H, W]; None = everywhere.
            pts_seconds: time of each frame, [B, T].

        Returns:
            [B, T, channels_out, H, W].
        """
        B, T, _, H, W = y.shape
        patch, width = self.config.patch, self.config.width // self.config.heads
        given = y.new_ones(B, T, 1, H, W) if shown is None else shown.to(y.dtype)
        seen = torch.cat([y, given], 2)
        x = self.embed(patchify(seen, patch)) + self._place(H, W, y)  # [B, T, N, D]
        places = Places(
            space=_to(y, *rotary_in_space(H // patch, W // patch, width)),
            time=_to(y, *rotary_in_time(pts_seconds, width)),
            shown=_places_shown(shown, patch),
        )
        level = self.embed_sigma(fourier(sigma.log(), self.sigma_octaves))  # [B, D], float32
        modulation = self.modulation(level).unflatten(-1, (6, -1))
        tables = [block.table(modulation, x.dtype) for block in self.blocks]  # type: ignore[operator]  # each a Block
        tables.append(self.modulate_out(level).to(x.dtype)[:, None, None].chunk(2, -1))
        taken, again = modulated(x, *tables[0][:2]), computed_again(x, len(self.blocks))
        for block, (own, following) in zip(self.blocks, pairwise(tables), strict=True):
            inputs = x, taken, own, following[:2], places
            # Nothing in a block is drawn, so no state of random numbers has to be kept.
            anew = partial(checkpoint, block, use_reentrant=False, preserve_rng_state=False)
            x, taken = anew(*inputs) if again else block(*inputs)
        drawn = unpatchify(self.out(taken), patch, H, W)
        return drawn if self.pixels is None else self.pixels(drawn, seen, sigma)

    def _place(self, H: int, W: int, like: Tensor) -> Tensor:
        """Tell each place where in the frame it is, whatever the frame's size: [N, D]."""
        rows, columns = (
            (torch.arange(n, device=like.device) + 0.5) / n for n in (H // self.config.patch, W // self.config.patch)
        )
        octave = torch.pi * 2.0 ** torch.arange(PLACE_OCTAVES, device=like.device)
        row, column = torch.meshgrid(rows, columns, indexing="ij")
        place = torch.cat([fourier(row, octave), fourier(column, octave)], -1).flatten(0, 1)
        return self.embed_place(place.to(like.dtype))


def computed_again(x: Tensor, blocks: int) -> bool:
    """Whether the backward pass computes each block again, as what all of them keep would fill half of a GPU's memory.

    Args:
        x: residual stream.
        blocks: how many work on it.
    """
    if not (x.is_cuda and torch.is_grad_enabled()):
        return False
    kept = KEPT_BY_BLOCK * blocks * x.numel() * x.element_size()
    return kept > torch.cuda.get_device_properties(x.device).total_memory / 2


def _places_shown(shown: Tensor | None, patch: int) -> Tensor | None:
    """Say where anything of a place is shown, [B, T, N]; None if that is everywhere, as attention is faster then."""
    if shown is None:
        return None
    places = patchify(shown, patch).amax(-1) > 0
    return None if places.all() else places


def _to(like: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    return cos.to(like), sin.to(like)

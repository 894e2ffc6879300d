"""Where a block lets tokens look, and the rotary angles that tell it how far apart they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidboot.nets.layers import octaves
from vidboot_kernels import Rotary, spatial_attention, temporal_attention

FASTEST_SECONDS, SLOWEST_SECONDS = 0.25, 128.0
"""Periods of the fastest and the slowest pair of the rotation in time."""


@dataclass(frozen=True)
class Places:
    """What attention must know of a batch of tokens [B, T, N, D]."""

    space: Rotary
    """[1, 1, N, 1, E / 2]"""
    time: Rotary
    """[B, T, 1, 1, E / 2]"""
    shown: Tensor | None
    """[B, T, N], True where anything of the place is shown; None = everywhere."""


def rotary_in_space(rows: int, columns: int, width: int) -> Rotary:
    """Rotate a quarter of the pairs by row, a quarter by column, counted in patches: [1, 1, N, 1, width / 2]."""
    quarter = width // 4
    frequencies = octaves(math.pi / 2, math.pi / 128, quarter)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angle = torch.stack([row, column], -1).reshape(-1, 2, 1) * frequencies  # [N, 2, E / 4]
    angle = angle.reshape(1, 1, rows * columns, 1, 2 * quarter)
    return angle.cos(), angle.sin()


def rotary_in_time(pts_seconds: Tensor, width: int) -> Rotary:
    """Rotate by seconds: pts_seconds [B, T] -> [B, T, 1, 1, width / 2]."""
    frequencies = octaves(2 * math.pi / FASTEST_SECONDS, 2 * math.pi / SLOWEST_SECONDS, width // 2)
    angle = pts_seconds.float()[..., None] * frequencies.to(pts_seconds.device)
    angle = angle[:, :, None, None]
    return angle.cos(), angle.sin()


def space(q: Tensor, k: Tensor, v: Tensor, places: Places) -> Tensor:
    """Within a frame: q, k, v [B, T, N, heads, E]."""
    return spatial_attention(q, k, v, key_mask=places.shown, rotary=places.space)


def time(q: Tensor, k: Tensor, v: Tensor, places: Places) -> Tensor:
    """Along each place: q, k, v [B, T, N, heads, E]."""
    return temporal_attention(q, k, v, key_mask=places.shown, rotary=places.time)


def joint(q: Tensor, k: Tensor, v: Tensor, places: Places) -> Tensor:
    """Over all places of all frames at once, half of the pairs rotated in space, half in time: the costly yardstick."""
    B, T, N, _, E = q.shape
    cos, sin = (
        torch.cat([s[..., ::2].expand(B, T, N, 1, E // 4), t[..., ::2].expand(B, T, N, 1, E // 4)], -1)
        for s, t in zip(places.space, places.time, strict=True)
    )
    flat = [x.flatten(1, 2)[:, None] for x in (q, k, v)]  # [B, 1, T * N, heads, E]
    rotary = cos.flatten(1, 2)[:, None], sin.flatten(1, 2)[:, None]
    shown = None if places.shown is None else places.shown.flatten(1, 2)[:, None]
    return spatial_attention(*flat, key_mask=shown, rotary=rotary).reshape(q.shape)


ATTENTION = {"space": space, "time": time, "joint": joint}

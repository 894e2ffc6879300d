"""What a net is given where frames have holes: something smooth, not an edge that the video does not have."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bridged(frames: Tensor, shown: Tensor) -> Tensor:
    """Bridge what is hidden with means of what is shown around it, near by the finer ones (push-pull, Gortler 1996).

    Args:
        frames: [N, C, H, W], anything where hidden.
        shown: bool [N, 1, H, W].

    Returns:
        Like ``frames``, which it equals where they are shown; 0 in a frame of which nothing is.
    """
    shown_only = torch.where(shown, frames, 0)
    H, W = shown.shape[-2:]
    if H == W == 1:
        return shown_only
    share = _halved(shown.to(frames))
    coarse = bridged(_halved(shown_only) / torch.where(share > 0, share, 1), share > 0)
    return torch.where(shown, frames, F.interpolate(coarse, (H, W), mode="bilinear"))


def _halved(frames: Tensor) -> Tensor:
    return F.avg_pool2d(frames, 2, ceil_mode=True, count_include_pad=False)

"""Where nets compute, and in what precision: what a run asks for, and what this machine does fast."""

from __future__ import annotations

import logging
import math
import time
from functools import cache

import torch

from vidboot.config import Config

MUCH_SLOWER = 4.0
"""Times as long as in float32 from which products in bfloat16 are not worth it: a CPU without instructions for them
takes a hundred times as long, others about as long or less."""


def device_of(config: Config) -> torch.device:
    """Return the device that the settings ask for.

    Raises:
        ValueError: torch knows no such device, or sees none here.
    """
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(config.device)
    except RuntimeError:
        raise ValueError(f"setting device = {config.device!r} is no device that torch knows") from None
    if not is_here(device):
        sees = f"{torch.cuda.device_count() or 'no'} GPU{'s' * (torch.cuda.device_count() > 1)}"
        raise ValueError(f"setting device = {config.device!r}: torch sees {sees} here; auto looks for one")
    return device


def is_here(device: torch.device) -> bool:
    """Whether torch sees it here."""
    return device.type != "cuda" or (device.index or 0) < torch.cuda.device_count()


def faster_precision(device: torch.device) -> str:
    """Name the faster for matrix products: of a CPU they are timed in both, of a GPU it is known."""
    return "bfloat16" if _slowness_of_bfloat16(device) < 1 else "float32"


def precision_here(asked: str, device: torch.device) -> torch.dtype:
    """Return the precision that a run began in, or float32 where bfloat16 is much slower than that."""
    if asked == "bfloat16" and _slowness_of_bfloat16(device) > MUCH_SLOWER:
        return torch.float32
    return getattr(torch, asked)


@cache
def _slowness_of_bfloat16(device: torch.device) -> float:
    """How many times as long as in float32 a matrix product in bfloat16 takes.

    A GPU has cores for it or none, so 0 or infinity: a short product would say how long it takes to ask for one.
    """
    if device.type == "cuda":
        return 0.0 if torch.cuda.get_device_capability(device) >= (8, 0) else math.inf

    def seconds(dtype: torch.dtype) -> float:
        a = torch.ones(512, 512, device=device, dtype=dtype)
        torch.mm(a, a)  # the first call sets up
        best = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            (a @ a)[0, 0].item()
            best = min(best, time.perf_counter() - began)
        return best

    slowness = seconds(torch.bfloat16) / seconds(torch.float32)
    if slowness > MUCH_SLOWER:
        logging.getLogger("vidboot").info("bfloat16 takes %.0f times as long as float32 on %s", slowness, device)
    return slowness

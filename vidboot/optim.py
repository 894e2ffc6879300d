"""The optimizer: Muon for the matrices of the blocks, AdamW for all else, behind one step and one state.

State is kept as named tensors, so that a checkpoint needs no pickle and a resumed run continues bit for bit.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from vidboot.muon import Muon
from vidboot.settings import Settings


class OptimConfig(Settings):
    """Learning rates and their course."""

    lr_muon: float = Field(default=4e-3, gt=0)
    """Peak rate of the matrices of the blocks, scaled to match AdamW's update size."""
    lr_adamw: float = Field(default=1.5e-3, gt=0)
    """Peak rate of everything else."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Of the matrices of the blocks: share of the past in the mean of gradients."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of the matrices."""
    warmup: int = Field(default=30, ge=0)
    """Steps of linear rise."""
    decay: float = Field(default=0.5, ge=0, le=1)
    """Share of the run over which the rates fall linearly to zero, at its end."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""

    def course(self, step: int, steps: int) -> float:
        """Rate at ``step`` of ``steps`` over its peak."""
        rise = (step + 1) / (self.warmup + 1)
        fall = (steps - step) / max(1.0, self.decay * steps)
        return min(1.0, rise, fall)


class Optimizer:
    """Muon and AdamW over one module.

    Args:
        model: only parameters that require a gradient are updated.
        config: learning rates.
        precision: in which Muon orthogonalises.
    """

    def __init__(self, model: nn.Module, config: OptimConfig, *, precision: torch.dtype = torch.float32) -> None:
        self.config = config
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [(name, p) for name, p in named if ".blocks." in name and name.endswith(".weight") and p.ndim == 2]
        chosen = {name for name, _ in matrices}
        rest = [(name, p) for name, p in named if name not in chosen]
        self._parts: list[tuple[torch.optim.Optimizer, list[tuple[str, nn.Parameter]], float]] = []
        if matrices:
            muon = Muon(
                [p for _, p in matrices],
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                precision=precision,
            )
            self._parts.append((muon, matrices, config.lr_muon))
        adamw = torch.optim.AdamW([p for _, p in rest], betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        self._parts.append((adamw, rest, config.lr_adamw))
        self._parameters = [p for _, p in named]

    def step(self, step: int, steps: int) -> Tensor:
        """Update the parameters from their gradients, clear these, and return their norm before clipping.

        Gradients that are not finite change nothing.
        """
        norm = nn.utils.clip_grad_norm_(self._parameters, self.config.max_grad_norm)
        if not norm.isfinite():
            return norm
        for optimizer, _, lr in self._parts:
            for group in optimizer.param_groups:
                group["lr"] = lr * self.config.course(step, steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Return all state as ``PARAMETER/KEY`` -> tensor."""
        return {
            f"{name}/{key}": value
            for optimizer, named, _ in self._parts
            for name, p in named
            for key, value in optimizer.state[p].items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Take back what ``state`` gave."""
        for optimizer, named, _ in self._parts:
            for name, p in named:
                prefix = f"{name}/"
                optimizer.state[p] = {
                    k.removeprefix(prefix): v.to(p.device) for k, v in state.items() if k.startswith(prefix)
                }

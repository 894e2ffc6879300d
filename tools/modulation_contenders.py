"""Ways to gate, add, norm and modulate that bench_attention times beside each other, on the same calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from attention_contenders import compiled
from torch import Tensor

from vidboot_kernels import Backend, gated_modulated, reference


class Call(NamedTuple):
    """Inputs of the op and the gradients of its results."""

    leaves: list[Tensor]
    upstream: list[Tensor]


Step = Callable[[Call], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class StepShape:
    """One call of ``gated_modulated`` on [B, T, N, D], bfloat16."""

    T: int
    N: int
    D: int = 1024
    B: int = 2
    tensors: ClassVar = {"forward": 4, "both": 10}
    """Moved by our kernels in each pass."""

    def __str__(self) -> str:
        return f"modulate T{self.T} N{self.N} D{self.D}"

    @property
    def tensor_bytes(self) -> int:
        return 2 * self.B * self.T * self.N * self.D

    def calls(self, device: torch.device, count: int) -> list[Call]:
        return [self._call(device, seed) for seed in range(count)]

    def _call(self, device: torch.device, seed: int) -> Call:
        generator = torch.Generator(device).manual_seed(seed)
        normal = partial(torch.randn, device=device, generator=generator, dtype=torch.bfloat16)
        x, y, *upstream = normal(4, self.B, self.T, self.N, self.D)
        vectors = normal(self.B, 1, 1, 3, self.D).unbind(3)
        return Call([given.requires_grad_() for given in (x, y, *vectors)], upstream)

    def contenders(
        self, calls: list[Call], ours: Backend, device: torch.device
    ) -> Iterator[tuple[str, Callable[[], tuple[Step, list[Call]]]]]:
        """Names and how to make what is timed, and on what; ours first."""
        eager = reference.gated_modulated
        yield "ours", lambda: (lambda call: gated_modulated(*call.leaves, backend=ours), calls)
        for name, step in (("compiled", compiled(eager, device)), ("eager", eager)):
            yield name, lambda step=step: (lambda call: step(*call.leaves), calls)

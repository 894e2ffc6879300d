"""Inputs of awkward shape, surrounded by NaN, and the comparison of a kernel with the formula in float64."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from triton.runtime import interpreter

from vidboot_kernels import reference
from vidboot_kernels.reference import Rotary

Attention = Callable[..., Tensor]
"""``reference.attention`` or a kernel of its signature."""

TOLERANCE = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""Largest error over the largest value; the interpreter truncates where a GPU rounds to bfloat16."""


@dataclass(frozen=True)
class Case:
    """Shape and options of one call; q, k, v [B, G, L, heads, E] are slices of a fused projection."""

    L: int
    E: int = 32
    B: int = 1
    G: int = 3
    heads: int = 2
    masked: bool = False
    rotary: bool = True
    window: int | None = None
    causal: bool = False
    dtype: torch.dtype = torch.float32
    time: bool = True
    """The op is along time: dim 1 and dim 2 lie in memory the other way round."""

    def __str__(self) -> str:
        words = [f"B{self.B}G{self.G}L{self.L}h{self.heads}E{self.E}", str(self.dtype).removeprefix("torch.")]
        words += [word for word in ("masked", "rotary", "causal", "time") if getattr(self, word)]
        return "-".join(words + ([] if self.window is None else [f"window{self.window}"]))

    @property
    def options(self) -> dict[str, object]:
        return {"window": self.window, "causal": self.causal}

    def key_mask(self) -> Tensor | None:
        """[B, G, L]; a sequence in the middle has no key at all, if there are several."""
        if not self.masked:
            return None
        mask = torch.rand(self.B, self.G, self.L, generator=generator(1)) < 0.6
        mask[:, 0, 0] = True
        if self.G > 1:
            mask[:, self.G // 2] = False
        return mask

    def angles(self) -> Rotary | None:
        """Of each frame [B, 1, L, 1, E / 2] or of each place [1, 1, L, 1, E / 2]."""
        if not self.rotary:
            return None
        angle = torch.randn(self.B if self.time else 1, 1, self.L, 1, self.E // 2, generator=generator(2))
        return angle.cos().to(self.dtype), angle.sin().to(self.dtype)

    def qkv(self, *, hidden: float = 0.0) -> list[Tensor]:
        """Unit normal, with NaN in all memory around; ``hidden`` is what keys and values under the mask hold."""
        shape = (self.B, self.L, self.G) if self.time else (self.B, self.G, self.L)
        around = torch.full((shape[0], shape[1] + 1, shape[2] + 1, 3, self.heads, self.E), float("nan"))
        fused = around[:, : shape[1], : shape[2]]
        fused.copy_(torch.randn(fused.shape, generator=generator(0)))
        fused[..., 0, :, :] *= 3  # q is not of unit mean square, so that the norm and its gradient are seen
        slices = [x.transpose(1, 2) if self.time else x for x in around.to(self.dtype)[:, :-1, :-1].unbind(3)]
        mask = self.key_mask()
        if mask is not None:
            for x in slices[1:]:
                x.masked_fill_(~mask[..., None, None], hidden)
        return slices

    def upstream(self) -> Tensor:
        return torch.randn(self.B, self.G, self.L, self.heads, self.E, generator=generator(3)).to(self.dtype)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_gradients(attention: Attention, case: Case, *, dtype: torch.dtype, hidden: float = 0.0) -> list[Tensor]:
    """The result and the gradients of q, k and v, computed in ``dtype`` from what ``case.dtype`` can hold."""
    qkv = [x if dtype == case.dtype else x.to(dtype) for x in case.qkv(hidden=hidden)]
    qkv = [x.detach().requires_grad_() for x in qkv]
    angles = case.angles()
    rotary = None if angles is None else tuple(x.to(dtype) for x in angles)
    out = attention(*qkv, key_mask=case.key_mask(), rotary=rotary, **case.options)
    return [out, *torch.autograd.grad(out, qkv, case.upstream().to(dtype))]


def errors(attention: Attention, case: Case, *, hidden: float = 0.0) -> dict[str, float]:
    """Largest error against float64 over the largest exact value, of the result and of each gradient; 1e9 for NaN."""
    exact = with_gradients(reference.attention, case, dtype=torch.float64)
    assert exact[0].count_nonzero() > 0, "a case whose result is all zero shows nothing"
    found = with_gradients(attention, case, dtype=case.dtype, hidden=hidden)
    return {
        name: ((x.double() - y).abs().nan_to_num(1e9).amax() / y.abs().amax().clamp(min=1e-2)).item()
        for name, x, y in zip(("out", "dq", "dk", "dv"), found, exact, strict=True)
    }


def assert_agrees(attention: Attention, case: Case, *, hidden: float = float("nan")) -> None:
    """Compare with float64; the exact result must be worth comparing with, and dead queries must give exactly 0."""
    exact = with_gradients(reference.attention, case, dtype=torch.float64)
    assert exact[0].count_nonzero() > 0, "a case whose result is all zero shows nothing"
    wrong = {
        name: error for name, error in errors(attention, case, hidden=hidden).items() if error > TOLERANCE[case.dtype]
    }
    assert not wrong, f"{case}: {wrong}"


def ids(cases: Sequence[Case]) -> list[str]:
    return [str(case) for case in cases]


def plant(
    right: str, wrong: str, module: ModuleType, folder: Path, patch: pytest.MonkeyPatch, *, into: ModuleType
) -> None:
    """Let ``into`` run the kernels of ``module`` with ``wrong`` in place of ``right`` in its source."""
    source = Path(str(module.__file__)).read_text()
    assert right in source
    copy = folder / "with_a_bug.py"
    # Only the kernels: an op is registered once.
    copy.write_text(source.partition("@torch.library")[0].replace(right, wrong))
    spec = importlib.util.spec_from_file_location("with_a_bug", copy)
    assert spec is not None
    assert spec.loader is not None
    bugged = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bugged)
    for name in [name for name in vars(bugged) if name.endswith("_kernel")]:
        patch.setattr(into, name, getattr(bugged, name))


class Counted:
    """The interpreter's memory, counting the bytes that are read and written, each address once and every time."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory
        self.at: dict[str, dict[int, int]] = {"read": {}, "written": {}}
        """Bytes that each address holds."""
        self.read_again = self.written_again = 0
        """Bytes."""

    @property
    def once(self) -> int:
        return sum(sum(sizes.values()) for sizes in self.at.values())

    def load(self, pointers: Any, mask: Any, other: Any, dtype: Any) -> Any:
        self.read_again += self._count("read", pointers[mask], other.itemsize)
        return self.memory.load(pointers, mask, other, dtype)

    def store(self, pointers: Any, values: Any, mask: Any) -> Any:
        self.written_again += self._count("written", pointers[mask], values.itemsize)
        return self.memory.store(pointers, values, mask)

    def _count(self, how: str, pointers: Any, size: int) -> int:
        new = dict.fromkeys(pointers.tolist(), size).keys() - self.at[how].keys()
        self.at[how] |= dict.fromkeys(new, size)
        return size * (pointers.size - len(new))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)


@contextmanager
def counted() -> Iterator[Counted]:
    """Count what kernels read and write in here."""
    with pytest.MonkeyPatch.context() as patch:
        memory = Counted(interpreter._interpreter)  # type: ignore[attr-defined]  # its extension in C
        patch.setattr(interpreter, "_interpreter", memory)
        yield memory

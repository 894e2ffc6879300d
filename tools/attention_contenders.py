"""Ways to compute attention that bench_attention times beside each other, on the same calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vidboot_kernels import reference, spatial_attention, temporal_attention

SDPA = {
    "sdpa flash": SDPBackend.FLASH_ATTENTION,
    "sdpa cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa efficient": SDPBackend.EFFICIENT_ATTENTION,
}


@dataclass(frozen=True)
class Shape:
    """One call of an op on [B, T, N, heads, E], bfloat16, heads * E = width."""

    op: Literal["time", "space"]
    T: int
    N: int
    E: int = 64
    hidden: float = 0.0
    """Share of the keys that is masked, at random."""
    B: int = 2
    width: int = 1024

    def __str__(self) -> str:
        return f"{self.op} T{self.T} N{self.N} E{self.E}" + (f", {self.hidden:.0%} masked" if self.hidden else "")

    @property
    def tensor_bytes(self) -> int:
        return 2 * self.B * self.T * self.N * self.width

    @property
    def tensors(self) -> dict[str, int]:
        """Moved by our kernels in each pass, where no key is hidden and one tile holds a sequence."""
        return {"forward": 4, "both": 11}

    def calls(self, device: torch.device, count: int) -> list[Call]:
        """All with one mask, so that a contender is made once."""
        calls = [self._call(device, seed) for seed in range(count)]
        return [call._replace(mask=calls[0].mask) for call in calls]

    def _call(self, device: torch.device, seed: int) -> Call:
        B, T, N, E, heads = self.B, self.T, self.N, self.E, self.width // self.E
        generator = torch.Generator(device).manual_seed(seed)
        normal = partial(torch.randn, device=device, generator=generator, dtype=torch.bfloat16)
        qkv = [x.requires_grad_() for x in normal(B, T, N, 3, heads, E).unbind(3)]
        angle = normal(*((B, T, 1) if self.op == "time" else (1, 1, N)), 1, E // 2).float()
        mask = torch.rand(B, T, N, device=device, generator=generator) >= self.hidden if self.hidden else None
        rotary = angle.cos().bfloat16(), angle.sin().bfloat16()
        return Call(self.op, qkv, rotary, mask, normal(B, T, N, heads, E))

    def contenders(
        self, calls: list[Call], ours: str, device: torch.device
    ) -> Iterator[tuple[str, Callable[[], tuple[Attend, list[Call]]]]]:
        """Names and how to make what is timed, and on what; ours first."""
        call, prepare = calls[0], compiled(prepared, device)
        yield "ours", lambda: (by_op(ours), calls)
        mask = None if call.mask is None else call.turned(call.mask).flatten(0, 1)[:, None, None]  # [B * G, 1, 1, L]
        for name, backend in SDPA.items():
            yield name, lambda backend=backend: (by_library(partial(sdpa, backend, mask), prepare), calls)
        yield "flex", lambda: (by_library(flex(call), prepare), calls)
        yield "xformers", lambda: (by_op("xformers"), calls)
        for name, backend in SDPA.items():
            attend = partial(sdpa, backend, mask)
            yield f"bare {name}", lambda attend=attend: (lambda call: attend(*call.qkv), [bare(call) for call in calls])


class Call(NamedTuple):
    """Inputs of an op and the gradient of its result."""

    op: Literal["time", "space"]
    qkv: list[Tensor]
    rotary: reference.Rotary
    mask: Tensor | None
    dout: Tensor

    @property
    def leaves(self) -> list[Tensor]:
        return self.qkv

    @property
    def upstream(self) -> Tensor:
        return self.dout

    def turned(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2) if self.op == "time" else x


Attend = Callable[[Call], Tensor]


def by_op(backend: str) -> Attend:
    def attend(call: Call) -> Tensor:
        op: Any = temporal_attention if call.op == "time" else spatial_attention
        return op(*call.qkv, key_mask=call.mask, rotary=call.rotary, backend=backend)

    return attend


def prepared(call: Call) -> list[Tensor]:
    """Norm, rotate and lay out for SDPA, [B * G, heads, L, E]; a copy only where its strides do not merge."""
    q, k, v = call.qkv
    q, k = reference.normed_and_rotated(q, k, call.rotary)
    return [call.turned(x).transpose(2, 3).flatten(0, 1) for x in (q, k, v)]


def by_library(attend: Callable[..., Tensor], prepare: Callable[[Call], list[Tensor]]) -> Attend:
    """A function of q, k, v [B * G, heads, L, E], and the way there and back."""

    def attended(call: Call) -> Tensor:
        B, T, N, *_ = call.dout.shape
        out = attend(*prepare(call)).unflatten(0, (B, N if call.op == "time" else T))
        return call.turned(out.transpose(2, 3)).contiguous()

    return attended


def sdpa(backend: SDPBackend, mask: Tensor | None, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def compiled(f: Any, device: torch.device) -> Any:
    return torch.compile(f, dynamic=False) if device.type == "cuda" else f


def flex(call: Call) -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    attend = compiled(flex_attention, call.dout.device)
    if call.mask is None:
        return attend
    keys = call.turned(call.mask).flatten(0, 1)  # [B * G, L]
    G, L = keys.shape
    block_mask = create_block_mask(lambda b, h, i, j: keys[b, j], G, None, L, L, device=str(keys.device))
    return partial(attend, block_mask=block_mask)


def bare(call: Call) -> Call:
    """The same call on contiguous inputs that are normed and rotated, with the result as it comes."""
    qkv = [x.detach().contiguous().requires_grad_() for x in prepared(call)]
    return call._replace(qkv=qkv, dout=torch.randn_like(qkv[0]))


def with_gradients(run: Callable[[Any], Any], call: Any) -> list[Any]:
    out = run(call)
    return [out, *torch.autograd.grad(out, call.leaves, call.upstream)]

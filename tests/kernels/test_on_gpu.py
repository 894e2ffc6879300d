"""The ops in bfloat16 where there is a GPU; on a CPU the reference takes the kernels' place, in small."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vidboot_kernels import gated_modulated, spatial_attention, temporal_attention

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
OURS = "triton" if GPU else "reference"
OPS = {"time": temporal_attention, "space": spatial_attention}
# op, T, N, E, window, causal
LARGE = [
    ("time", 21, 33, 64, None, False),
    ("time", 64, 9, 72, 5, False),
    ("time", 128, 5, 128, None, True),
    ("time", 300, 5, 64, 40, False),
    ("space", 3, 333, 64, None, False),
    ("space", 2, 1000, 72, None, False),
    ("space", 2, 512, 128, 100, True),
]
SMALL = [("time", 9, 3, 16, 3, False), ("space", 2, 17, 16, None, True)]


def called(
    op: str,
    T: int,
    N: int,
    E: int,
    *,
    backend: str,
    masked: bool,
    dtype: torch.dtype = torch.bfloat16,
    **options: object,
) -> list[Tensor]:
    """The result and the gradients of q, k and v; in the middle of dim ``G`` nothing may be seen, if masked."""
    generator = torch.Generator().manual_seed(0)
    qkv = [x.to(DEVICE) for x in torch.randn(2, T, N, 3, 2, E, generator=generator).bfloat16().to(dtype).unbind(3)]
    angle = torch.randn((2, T, 1, 1, E // 2) if op == "time" else (1, 1, N, 1, E // 2), generator=generator)
    rotary = tuple(x.bfloat16().to(DEVICE, dtype) for x in (angle.cos(), angle.sin()))
    mask = torch.rand(2, T, N, generator=generator) < 0.7
    mask[lonely(op, T, N)] = False
    dout = torch.randn(2, T, N, 2, E, generator=generator).bfloat16().to(DEVICE, dtype)
    options |= {"key_mask": mask.to(DEVICE) if masked else None, "rotary": rotary, "backend": backend}
    leaves = [x.detach().requires_grad_() for x in qkv]
    out = OPS[op](*leaves, **options)  # type: ignore[arg-type]  # by name
    return [out, *torch.autograd.grad(out, leaves, dout)]


def lonely(op: str, T: int, N: int) -> tuple[slice | int, ...]:
    """Where nothing may be seen."""
    return (slice(None), slice(None), N // 2) if op == "time" else (slice(None), T // 2)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("op", "T", "N", "E", "window", "causal"), LARGE if GPU else SMALL)
def test_an_op_in_bfloat16_errs_at_most_twice_as_much_as_eager(
    op: str, T: int, N: int, E: int, window: int | None, causal: bool, masked: bool
) -> None:
    def run(backend: str, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
        return called(op, T, N, E, backend=backend, masked=masked, dtype=dtype, window=window, causal=causal)

    found, again, eager, exact = run(OURS), run(OURS), run("reference"), run("reference", torch.float64)
    for x, same, plain, right in zip(found, again, eager, exact, strict=True):
        assert right.any()
        assert (x.double() - right).abs().max() <= 2 * (plain.double() - right).abs().max()
        assert torch.equal(x, same), "not the same twice"
        if masked:
            assert not x[lonely(op, T, N)].any()


@pytest.mark.parametrize(
    ("T", "N", "D"), [(2, 7, 64), (16, 333, 768), (5, 77, 1024), (3, 100, 2048)] if GPU else [(2, 3, 16)]
)
def test_a_step_between_branches_in_bfloat16_errs_at_most_twice_as_much_as_eager(T: int, N: int, D: int) -> None:
    def run(backend: Any, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        x, y, *upstream = torch.randn(4, 2, T, N, D, generator=generator).bfloat16().to(DEVICE, dtype)
        vectors = torch.randn(2, 1, 1, 3, D, generator=generator).bfloat16().to(DEVICE, dtype).unbind(3)
        leaves = [given.detach().requires_grad_() for given in (x, y, *vectors)]
        found = gated_modulated(*leaves, backend=backend)
        return [*found, *torch.autograd.grad(found, leaves, upstream)]

    found, again, eager, exact = run(OURS), run(OURS), run("reference"), run("reference", torch.float64)
    for x, same, plain, right in zip(found, again, eager, exact, strict=True):
        assert (x.double() - right).abs().max() <= 2 * (plain.double() - right).abs().max()
        assert torch.equal(x, same), "not the same twice"


@pytest.mark.skipif(not GPU, reason="needs a CUDA device")
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("sequences", "L", "heads", "E"), [(300_000, 8, 4, 128), (18_000, 256, 4, 64)])
def test_more_sequences_than_an_axis_of_a_grid_holds_and_offsets_beyond_2_to_the_31(
    sequences: int, L: int, heads: int, E: int, op: str
) -> None:
    fused = torch.randn(1, sequences, L, 3, heads, E, device=DEVICE, dtype=torch.bfloat16)
    assert fused.numel() > 2**31
    assert sequences * heads > 65_535
    if op == "time":
        fused = fused.transpose(1, 2)
    q, k, v = fused.unbind(3)
    last = (slice(None), slice(-3, None)) if op == "space" else (slice(None), slice(None), slice(-3, None))
    exact = OPS[op](q[last], k[last], v[last], backend="reference")
    torch.testing.assert_close(OPS[op](q, k, v, backend="triton")[last], exact, rtol=0.05, atol=0.05)

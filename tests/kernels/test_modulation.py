"""The step between two branches: its formula, and who computes it."""

import logging
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from vidboot_kernels import gated_modulated, modulated
from vidboot_kernels.modulation import Step


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDBOOT_ATTENTION", raising=False)


def given(B: int = 2, T: int = 3, N: int = 5, D: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = 1 + 2 * torch.randn(2, B, T, N, D, generator=generator, dtype=torch.float64)
    return [x, y, *torch.randn(3, B, 1, 1, D, generator=generator, dtype=torch.float64)]


def test_a_step_is_the_formula_row_by_row() -> None:
    x, y, gate, shift, scale = given()
    stream, taken = gated_modulated(x, y, gate, shift, scale)
    for b, t, n in torch.cartesian_prod(*map(torch.arange, x.shape[:3])).tolist():
        row = x[b, t, n] + (1 + gate[b, 0, 0]) * y[b, t, n]
        h = (row - row.mean()) / (row.var(correction=0) + 1e-5).sqrt()
        torch.testing.assert_close(stream[b, t, n], row)
        torch.testing.assert_close(taken[b, t, n], shift[b, 0, 0] + (1 + scale[b, 0, 0]) * h)
    assert torch.equal(modulated(stream, shift, scale), taken)


@pytest.mark.parametrize(
    ("step", "backend"),
    [
        (Step("cuda", torch.bfloat16, 1024), "triton"),
        (Step("cuda", torch.float16, 2048), "triton"),
        (Step("cuda", torch.float32, 1024), "reference"),
        (Step("cuda", torch.bfloat16, 2056), "reference"),
        (Step("cuda", torch.bfloat16, 100), "reference"),
        (Step("hip", torch.bfloat16, 1024), "reference"),
        (Step("cpu", torch.bfloat16, 1024), "reference"),
    ],
)
def test_auto_is_triton_in_half_precision_on_cuda_and_else_the_reference(step: Step, backend: str) -> None:
    assert step.backend == backend


def test_a_choice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="vidboot_kernels")
    for _ in range(3):
        gated_modulated(*given(D=24))
    assert [record.message for record in caplog.records] == [f"backend reference for {Step('cpu', torch.float64, 24)}"]


@pytest.mark.parametrize("name", ["reference", "sdpa", "xformers"])
def test_every_other_name_means_the_reference(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = gated_modulated(*given())
    found = [gated_modulated(*given(), backend=name)]
    monkeypatch.setenv("VIDBOOT_ATTENTION", name)
    found.append(gated_modulated(*given(), backend="triton"))
    for stream, taken in found:
        assert torch.equal(stream, expected[0])
        assert torch.equal(taken, expected[1])


def test_no_such_backend_is_refused() -> None:
    legal = r"backend 'fast' is not one of auto, triton, plain, sdpa, xformers, reference"
    with pytest.raises(ValueError, match=legal):
        gated_modulated(*given(), backend="fast")  # type: ignore[arg-type]  # that is the point


def test_triton_refuses_the_cpu_in_one_sentence() -> None:
    pytest.importorskip("triton")
    with pytest.raises(ValueError, match=r"backend 'triton' needs tensors on a CUDA device, these are on 'cpu'"):
        gated_modulated(*(x.float() for x in given()), backend="triton")


def test_the_reference_needs_no_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    gated_modulated(*given())


def test_it_compiles_into_one_graph() -> None:
    compiled = torch.compile(gated_modulated, backend="eager", fullgraph=True)
    for a, b in zip(compiled(*given()), gated_modulated(*given()), strict=True):
        torch.testing.assert_close(a, b)

"""The published table, and one clear sentence where a backend cannot run."""

import logging
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from vidboot_kernels import choice, spatial_attention, temporal_attention, xformers_backend
from vidboot_kernels.choice import Call

TIME = Call("time", "cuda", torch.bfloat16, L=16, E=64, masked=False)
SPACE = Call("space", "cuda", torch.bfloat16, L=1024, E=64, masked=False)


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDBOOT_ATTENTION", raising=False)
    xformers_backend.usable_fmha.cache_clear()


@pytest.mark.parametrize(
    ("call", "backend"),
    [
        (TIME, "triton"),
        (TIME._replace(L=128, dtype=torch.float16, masked=True), "triton"),
        (TIME._replace(L=64, E=128), "triton"),
        (TIME._replace(L=65, E=128), "sdpa"),
        (TIME._replace(E=60), "sdpa"),
        (TIME._replace(L=129), "sdpa"),
        (TIME._replace(L=129, masked=True), "triton"),
        (TIME._replace(E=160), "sdpa"),
        (TIME._replace(dtype=torch.float32), "sdpa"),
        (TIME._replace(device="hip"), "sdpa"),
        (SPACE, "sdpa"),
        (SPACE._replace(L=64), "triton"),
        (SPACE._replace(E=128), "sdpa"),
        (SPACE._replace(masked=True), "triton"),
        (SPACE._replace(device="cpu"), "plain"),
        (TIME._replace(device="cpu", dtype=torch.float32), "plain"),
        (SPACE._replace(device="cpu", dtype=torch.float32), "sdpa"),
        (TIME._replace(device="cpu", dtype=torch.float64), "sdpa"),
        (TIME._replace(device="mps"), "sdpa"),
    ],
)
def test_auto_follows_the_table(call: Call, backend: str) -> None:
    assert choice.chosen("auto", call) == backend


def test_a_choice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="vidboot_kernels")
    for _ in range(3):
        choice.chosen("auto", TIME._replace(L=7))
    assert [record.message for record in caplog.records] == [f"backend triton for {TIME._replace(L=7)}"]


@pytest.mark.parametrize("backend", ["triton", "xformers"])
@pytest.mark.parametrize("attend", [spatial_attention, temporal_attention])
def test_a_backend_of_a_gpu_refuses_the_cpu_in_one_sentence(attend: Any, backend: str) -> None:
    if backend == "triton":
        pytest.importorskip("triton")
    q, k, v = torch.randn(3, 1, 4, 4, 2, 8)
    with pytest.raises(ValueError, match=rf"backend '{backend}' needs tensors on a CUDA device, these are on 'cpu'"):
        attend(q, k, v, backend=backend)


def xformers(version: str, *, available: bool) -> dict[str, ModuleType]:
    """Modules as xformers has them."""
    modules = {name: ModuleType(name) for name in ("xformers", "xformers.ops", "xformers.ops.fmha")}
    modules["xformers"].__dict__.update(__version__=version, ops=modules["xformers.ops"])
    modules["xformers.ops"].__dict__["fmha"] = modules["xformers.ops.fmha"]
    operator = SimpleNamespace(is_available=lambda: available)
    modules["xformers.ops.fmha"].__dict__["ALL_FW_OPS"] = [operator]
    return modules


@pytest.mark.parametrize(
    ("version", "available", "why"),
    [
        ("0.0.34", True, r"needs xformers >= 0\.0\.35, this is 0\.0\.34$"),
        ("0.0.32.post2", True, r"needs xformers >= 0\.0\.35, this is"),
        ("0.0.35", False, r"with an operator for this machine, and version 0\.0\.35 has none$"),
    ],
)
def test_an_xformers_that_cannot_serve_says_why(
    version: str, available: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, module in xformers(version, available=available).items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(RuntimeError, match=why):
        xformers_backend.usable_fmha()


def test_an_xformers_that_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xformers", None)
    with pytest.raises(RuntimeError, match=r"needs xformers >= 0\.0\.35, which cannot be imported"):
        xformers_backend.usable_fmha()


def test_an_xformers_that_can_serve_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = xformers("0.0.36+cu130", available=True)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert xformers_backend.usable_fmha() is modules["xformers.ops.fmha"]


def test_a_negative_window_is_refused() -> None:
    q, k, v = torch.randn(3, 1, 4, 4, 2, 8)
    with pytest.raises(ValueError, match="window = -1 is negative"):
        temporal_attention(q, k, v, window=-1)


@pytest.mark.parametrize("attend", [spatial_attention, temporal_attention])
def test_auto_compiles_into_one_graph(attend: Any) -> None:
    q, k, v = torch.randn(3, 1, 4, 5, 2, 8)
    compiled = torch.compile(attend, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, k, v, window=2), attend(q, k, v, window=2))

"""Attention by blocks against the formula in float64: any length, masks, windows, strides."""

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import triton
from cases import TOLERANCE, Case, assert_agrees, counted, errors, generator, ids, plant, with_gradients
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vidboot_kernels import flash_kernels_triton as kernels
from vidboot_kernels import flash_triton, norm_rotate_triton, reference
from vidboot_kernels.flash_triton import attention
from vidboot_kernels.norm_rotate_triton import Order, norm_rotate

OLD = triton.__version__ < "3.7" and np.__version__ >= "2.4"
pytestmark = pytest.mark.skipif(OLD, reason="loops of triton 3.6's interpreter fail with numpy 2.4 and newer")
F16 = torch.float16
LAUNCHES: dict[flash_triton.Kernel, Any] = {
    "forward": flash_triton.forward_launch,
    "dq": flash_triton.dq_launch,
    "dkdv": flash_triton.dkdv_launch,
}
CASES = [
    Case(L=2, E=8, B=2),
    Case(L=17, E=8, G=5, masked=True, rotary=False),
    Case(L=17, E=128, masked=True, heads=1, dtype=F16),
    Case(L=33, E=64, heads=1, window=3, rotary=False),
    Case(L=33, B=2, G=1, heads=3, masked=True, causal=True, time=False),
    Case(L=64, E=72, G=1, time=False),
    Case(L=64, E=32, heads=1, masked=True, window=9),
    Case(L=65, E=40, G=1, window=40, causal=True, time=False),
    Case(L=130, E=32, heads=1, G=1, time=False),
    Case(L=130, E=80, heads=1, G=1, masked=True, window=20),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_attention_by_blocks_and_its_gradients_are_those_of_the_formula(case: Case) -> None:
    assert_agrees(attention, case)


def test_one_position_attends_to_itself() -> None:
    # q and k have no gradient here, so that there is no largest value to be relative to.
    case = Case(L=1, E=8, B=2, masked=True)
    exact, found = (with_gradients(f, case, dtype=torch.float32) for f in (reference.attention, attention))
    for a, b in zip(found, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [None, 30])
def test_whole_blocks_of_hidden_keys_change_nothing(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.ones(1, 3, 100, dtype=torch.bool)
    mask[:, 0, 32:96] = mask[:, 1, :64] = mask[:, 2] = False
    monkeypatch.setattr(Case, "key_mask", lambda self: mask)
    case = Case(L=100, heads=1, masked=True, window=window)
    assert_agrees(attention, case)
    out = attention(*case.qkv(), key_mask=mask, window=window)
    assert not out[:, 2].any()


def test_a_query_that_sees_nothing_gives_exactly_0_and_no_gradient() -> None:
    q, k, v = (x.detach().requires_grad_() for x in Case(L=20).qkv())
    mask = torch.ones(1, 3, 20, dtype=torch.bool)
    mask[:, 1, :10] = False
    out = attention(q, k, v, key_mask=mask, causal=True)
    gradients = torch.autograd.grad(out.square().sum() + out[:, 1, :10].sum(), (q, k, v))
    assert out[:, 1, 10:].all()
    for x in (out, *gradients):
        assert x.isfinite().all()
        assert not x[:, 1, :10].any()


def test_slices_at_odd_addresses_are_copied() -> None:
    case = Case(L=9, E=16, rotary=False)
    found = []
    for odd in (0, 1):
        qkv = []
        for x in case.qkv():
            around = torch.full((*x.shape[:-1], 19), float("nan"))[..., odd : odd + 16]
            qkv.append(around.copy_(x).requires_grad_())
        out = attention(*qkv)
        found.append([out, *torch.autograd.grad(out.square().sum(), qkv)])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_the_result_is_contiguous_for_the_caller() -> None:
    for case in (Case(L=5, time=False), Case(L=5, time=True)):
        qkv = [x.detach().requires_grad_() for x in case.qkv()]
        out = attention(*qkv, key_mask=Case(L=5, masked=True).key_mask())
        for x in (out, *torch.autograd.grad(out.sum(), qkv)):
            assert (x.transpose(1, 2) if case.time else x).is_contiguous()


def test_more_sequences_than_an_axis_of_a_grid_holds() -> None:
    x = torch.randn(1, 70_000, 1, 1, 8, generator=generator(0))
    torch.testing.assert_close(norm_rotate(x, None, None), reference.rms_norm(x))
    x = torch.empty(2, 70_000, 130, 16, 64, device="meta")
    tensors = dict.fromkeys(("q", "k", "v", "out"), x) | dict(lse=x, place=None, visible=None, position=None)
    cut = flash_triton.blocks("forward", 64, 90)
    launch = flash_triton.forward_launch(tensors, 130, 130, cut=cut)
    assert launch.programs == 2 * 70_000 * 16 * 2


def test_offsets_beyond_2_to_the_31() -> None:
    deterministic: Any = torch.utils.deterministic  # its flag is made at run time
    deterministic.fill_uninitialized_memory = False
    try:
        far = 2**31 + 64
        # Pages that are never touched take no memory.
        fused = torch.empty(far + 3 * 8, dtype=F16)
    except RuntimeError as error:
        pytest.skip(f"no address space: {error}")
    finally:
        deterministic.fill_uninitialized_memory = True
    near = torch.randn(3, 1, 1, 2, 1, 8, generator=generator(0)).half()
    strided = [fused[8 * i :].as_strided((1, 1, 2, 1, 8), (0, 0, far, 0, 1)) for i in range(3)]
    for x, y in zip(strided, near, strict=True):
        x.copy_(y)
    assert torch.equal(attention(*strided), attention(*near))


@pytest.mark.parametrize("E", [64, 72])
@pytest.mark.parametrize("L", [32, 64])
def test_a_block_moves_the_bytes_of_the_model(L: int, E: int) -> None:
    case = Case(L=L, E=E, G=1, heads=1, rotary=False, time=False)
    q, k, v = (x.contiguous() for x in case.qkv())
    empty = {name: torch.empty_like(q) for name in ("out", "dq", "dk", "dv")}
    tensors = dict(q=q, k=k, v=v, lse=q.new_empty(1, 1, 1, L), place=None, visible=None, position=None)
    backward = tensors | dict(dout=q.clone(), delta=q.new_empty(1, 1, 1, L))
    given = {
        "forward": tensors | dict(out=empty["out"]),
        "dq": backward | dict(out=empty["out"], dq=empty["dq"]),
        "dkdv": {name: x for name, x in backward.items() if name != "place"} | dict(dk=empty["dk"], dv=empty["dv"]),
    }
    again = {"forward": (2, 0), "dq": (2, 0), "dkdv": (2, 2)}  # tensors, and numbers per row, that each block reads
    for kernel, launch in LAUNCHES.items():
        with counted() as memory:
            launch(given[kernel], L, L, cut=flash_triton.blocks(kernel, E, 0)).run()
        tensors_again, numbers_again = again[kernel]
        assert memory.once == flash_triton.bytes_moved(kernel, q)
        assert memory.read_again == (L // 32 - 1) * 4 * L * (tensors_again * E + numbers_again)
        assert not memory.written_again


@pytest.mark.parametrize("norm", [True, False])
def test_a_tile_of_norm_and_rotation_moves_the_bytes_of_the_model(norm: bool) -> None:
    x = torch.randn(1, 1, 4096 // 64 // 2, 2, 64, generator=generator(0))
    for backward in (False, True):
        tensors = dict(x=x, y=torch.empty_like(x))
        if backward:
            tensors = dict(dy=x.clone(), x=x, dx=torch.empty_like(x))
        launch = norm_rotate_triton.launch(tensors, None, None, None, norm=norm)
        assert launch.programs == 1
        with counted() as memory:
            launch.run()
        assert memory.once == norm_rotate_triton.bytes_moved(x, norm=norm, backward=backward)
        assert not memory.read_again
        assert not memory.written_again


def test_the_ops_are_described_to_torch_as_they_behave() -> None:
    q, k, v = (x.detach().requires_grad_() for x in Case(L=5, E=8).qkv())
    order = Order.of(torch.tensor([[True, False, True, True, False]] * 3)[None])
    cos, sin = torch.randn(2, 1, 1, 5, 1, 4)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    opcheck = partial(torch.library.opcheck, test_utils=checks)
    opcheck(torch.ops.vidboot.norm_rotate, (k, cos, sin, *order, True))
    position = order.place.argsort(-1).int()
    opcheck(torch.ops.vidboot.flash, (q, k, v, None, None, None, 5, 5))
    opcheck(torch.ops.vidboot.flash, (q, k, v, *order, position, 2, 0))


@pytest.mark.parametrize("how", ["compiled", "checkpointed"])
def test_it_can_be_compiled_and_checkpointed(how: str) -> None:
    case = Case(L=5, E=8, masked=True, heads=1)
    run = partial(attention, key_mask=case.key_mask(), rotary=case.angles(), window=3)
    changed = torch.compile(run, backend="aot_eager", fullgraph=True)
    if how == "checkpointed":
        changed = partial(checkpoint, run, use_reentrant=False)
    found = []
    for attend in (run, changed):
        qkv = [x.detach().requires_grad_() for x in case.qkv()]
        out: Tensor = attend(*qkv)  # type: ignore[assignment]  # not None
        found.append([out, *torch.autograd.grad(out.square().sum(), qkv)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


BAND = Case(L=40, heads=1, G=1, window=3)
BUGS = [
    (kernels, "tl.log2(total)", "tl.log(total)", Case(L=17, heads=1)),
    (kernels, "SHIFT + tl.log2", "tl.log2", Case(L=17, E=128, heads=1, G=1)),
    (kernels, " - delta[:, None]", "", Case(L=17, heads=1)),
    (kernels, " - delta[None, :]", "", Case(L=17, heads=1)),
    (kernels, "position >= i - behind", "position > i - behind", BAND),
    (
        kernels,
        "if BAND:\n            p = tl.where(_sees(i[:, ",
        "if False:\n            p = tl.where(_sees(i[:, ",
        BAND,
    ),
    (
        kernels,
        "if BAND:\n            p = tl.where(_sees(i[None",
        "if False:\n            p = tl.where(_sees(i[None",
        BAND,
    ),
    (kernels, "sees = j < keys", "sees = j < keys + 9", Case(L=17, heads=1, masked=True)),
    (kernels, "i0 + BQ + ahead", "i0 + BQ", BAND),
    (kernels, "v_ptr, offsets(v_strides", "v_ptr, offsets(k_strides", Case(L=17)),
    (kernels, "position - (place - keys)", "0 * position", Case(L=70, heads=1, G=1, masked=True, window=4)),
    (kernels, "farthest + behind + 1", "farthest + behind", Case(L=40, heads=1, G=1, causal=True, window=1)),
    (kernels, "dk * (SCALE / LOG2_E)", "dk * SCALE", Case(L=17, heads=1)),
    (norm_rotate_triton, "mean = r *", "mean = 0 * r *", Case(L=17, heads=1)),
    (norm_rotate_triton, "-load_half(sin_ptr", "load_half(sin_ptr", Case(L=17, heads=1)),
    (norm_rotate_triton, "bg % G, place, head)", "bg % G, position, head)", Case(L=17, heads=1, masked=True)),
    (norm_rotate_triton, "(place < tl.load", "(place <= tl.load", Case(L=17, heads=1, masked=True)),
]


@pytest.mark.parametrize(("module", "right", "wrong", "case"), BUGS)
def test_a_planted_bug_is_caught(
    module: ModuleType, right: str, wrong: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(right, wrong, module, tmp_path, monkeypatch, into=flash_triton if module is kernels else module)
    assert max(errors(attention, case, hidden=float("nan")).values()) > 10 * TOLERANCE[case.dtype]

"""Packed attention along short sequences against the formula in float64: masks, windows, strides, bytes moved."""

import importlib
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import Case, assert_agrees, counted, generator, ids
from torch import Tensor

from vidboot_kernels import packed_kernels_triton, packed_triton, tiles_triton
from vidboot_kernels.packed_triton import attention, bytes_moved

F16 = torch.float16
CASES = [
    Case(L=1, masked=True),
    Case(L=8, E=64, G=5, causal=True),
    Case(L=8, E=64, G=5, masked=True, window=2, dtype=F16),
    Case(L=16, E=64, B=2, masked=True),
    Case(L=16, E=64, rotary=False, dtype=torch.bfloat16),
    Case(L=17, E=72, masked=True, causal=True),
    Case(L=21, E=128, masked=True, window=5),
    Case(L=21, E=40, B=2, window=3, causal=True),
    Case(L=32, E=80, heads=3, masked=True, dtype=F16),
    Case(L=33, E=8, masked=True, time=False),
    Case(L=64, E=32, masked=True, window=7, causal=True),
    Case(L=64, E=128, heads=1, G=1),
    Case(L=65, E=64, heads=1, masked=True, time=False),
    Case(L=128, E=32, heads=1, G=2, masked=True, window=20),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_packed_attention_and_its_gradients_are_those_of_the_formula(case: Case) -> None:
    assert_agrees(attention, case)


def at_strides_of_their_own(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    """Attend to tensors none of which lies in memory as another does."""
    q = q.permute(3, 0, 1, 2, 4).contiguous().permute(1, 2, 3, 0, 4)
    return attention(q, k, v.contiguous(), **options)


HARD = Case(L=17, E=40, G=3, masked=True, window=4)
BUGS = {
    "sees the sequence before": ("first = row - tl.minimum(place, behind)", "first = row - behind"),
    "sees the sequence after": ("last = row + tl.minimum(L - 1 - place, ahead)", "last = row + ahead"),
    "window off by one": ("tl.minimum(place, behind)", "tl.minimum(place, behind + 1)"),
    "mask on queries": ("near & valid[None, :]", "near & valid[:, None]"),
    "rotation not turned back": ("rotated(d1, d2, cos, -sin)", "rotated(d1, d2, cos, sin)"),
    "norm's mean dropped": ("mean = (tl.sum(d1 * x1, 1) + tl.sum(d2 * x2, 1)) * r / E", "mean = 0 * r"),
    "rowsum of P dP dropped": (" - tl.sum(weights * dweights, 1)[:, None]", ""),
    "division by 0 in a dead row": ("tl.where(total == 0, 1.0, total)", "total"),
    "-inf - -inf in a dead row": ('tl.where(highest == float("-inf"), 0.0, highest)', "highest"),
    "hidden values read": ("offsets(v_strides, at, UNIT), valid", "offsets(v_strides, at, UNIT), inside"),
    "hidden values read backward": ("load_half(v_ptr, v_begin, valid", "load_half(v_ptr, v_begin, inside"),
    "hidden keys read backward": ("turn, dk_ptr, dx_begin, inside, valid", "turn, dk_ptr, dx_begin, inside, inside"),
    "strides of k for v": ("load_rows(v_ptr, offsets(v_strides", "load_rows(v_ptr, offsets(k_strides"),
    "strides of q for the gradient": ("dout_begin, v_begin = offsets(dout_", "dout_begin, v_begin = offsets(q_"),
    "scale of q dropped": ('k2, input_precision="ieee") * E**-0.5', 'k2, input_precision="ieee")'),
    "base 2 kept": ('q1, input_precision="ieee") / LOG2_E', 'q1, input_precision="ieee")'),
    "half not written": ("store_half(dv_ptr + E // 2", "store_half(dv_ptr"),
    "padding counted in the mean square": ("(x2 * x2, 1)) / E + _EPS", "(x2 * x2, 1)) / 64 + _EPS"),
}


def plant(right: str, wrong: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attention run kernels in whose source ``right``, found exactly once, is ``wrong``."""
    sources = {module: Path(str(module.__file__)).read_text() for module in (tiles_triton, packed_kernels_triton)}
    assert sum(source.count(right) for source in sources.values()) == 1
    for module, source in sources.items():
        bugged = source.replace(right, wrong).replace("vidboot_kernels.tiles_triton", "bugged_tiles_triton")
        (folder / f"bugged_{module.__name__.split('.')[-1]}.py").write_text(bugged)
    monkeypatch.syspath_prepend(folder)
    for name in ("bugged_tiles_triton", "bugged_packed_kernels_triton"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    kernels = importlib.import_module("bugged_packed_kernels_triton")
    monkeypatch.setattr(packed_triton, "forward_kernel", kernels.forward_kernel)
    monkeypatch.setattr(packed_triton, "backward_kernel", kernels.backward_kernel)


def test_a_hard_case_is_right_without_a_bug() -> None:
    assert_agrees(at_strides_of_their_own, HARD)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(*BUGS[bug], tmp_path, monkeypatch)
    with pytest.raises(AssertionError, match=r"B1G3L17"):
        assert_agrees(at_strides_of_their_own, HARD)


def test_dead_queries_give_exactly_0_and_no_gradient() -> None:
    q, k, v = (x.detach().requires_grad_() for x in Case(L=9, G=3).qkv())
    mask = torch.ones(1, 3, 9, dtype=torch.bool)
    mask[:, 1] = mask[:, 2, :4] = False
    out = attention(q, k, v, key_mask=mask, causal=True)
    gradients = torch.autograd.grad(out.square().sum() + out[:, 1].sum(), (q, k, v))
    for x in (out, *gradients):
        assert x.isfinite().all()
        assert not x[:, 1].any()
        assert not x[:, 2, :4].any()
        assert x[:, 0].any()


def test_slices_at_odd_addresses_are_copied_and_others_are_not() -> None:
    q = torch.randn(1, 3, 5, 2, 48, generator=generator(0))
    for fine in (q[..., :40], q[..., 8:16], q.transpose(1, 2), q[:, :, :1], q.expand(4, 3, 5, 2, 48)):
        assert tiles_triton.aligned(fine) is fine
    odd = [q[..., 1:41], q.flatten(3)[..., 3:83].unflatten(-1, (2, 40)), q[..., ::2], q.mT[..., :2].mT.transpose(3, 4)]
    odd.append(q.flatten()[1:81].view(1, 1, 1, 2, 40))
    for x in odd:
        copy = tiles_triton.aligned(x)
        assert copy.is_contiguous()
        assert copy.data_ptr() % 16 == 0
        assert torch.equal(copy, x)
    odd_qkv = [x[..., 1:41] for x in torch.randn(3, 1, 2, 5, 1, 48, generator=generator(1))]
    found = attention(*odd_qkv, rotary=None)
    torch.testing.assert_close(found, attention(*(x.contiguous() for x in odd_qkv)), rtol=0, atol=0)


@pytest.mark.parametrize("time", [False, True])
def test_the_result_and_its_gradients_are_contiguous_for_the_caller(time: bool) -> None:
    qkv = [x.detach().requires_grad_() for x in Case(L=5, E=8, time=time).qkv()]
    out = attention(*qkv)
    for x in (out, *torch.autograd.grad(out.sum(), qkv)):
        assert (x.transpose(1, 2) if time else x).is_contiguous()


def test_more_sequences_than_an_axis_of_a_grid_holds_lie_along_the_first() -> None:
    x = torch.empty(3, 70_000, 16, 16, 64, device="meta")
    tile = packed_triton.tile_of("forward", 16, 64)
    launch = packed_triton.forward_launch(x, x, x, None, None, 16, 16, x, tile=tile)
    assert launch.programs == 3 * 70_000 * 16 / 4


def test_offsets_beyond_2_to_the_31_are_reached() -> None:
    deterministic: Any = torch.utils.deterministic  # its flag is made at run time
    deterministic.fill_uninitialized_memory = False
    far = 2**31 + 64
    try:
        fused = torch.empty(far + 3 * 8, dtype=F16)  # pages that are never touched take no memory
    except RuntimeError as error:
        pytest.skip(f"no address space: {error}")
    finally:
        deterministic.fill_uninitialized_memory = True
    near = torch.randn(3, 1, 1, 2, 1, 8, generator=generator(0)).half()
    strided = [fused[8 * i :].as_strided((1, 1, 2, 1, 8), (0, 0, far, 0, 1)) for i in range(3)]
    found = []
    for qkv in (strided, near):
        for x, y in zip(qkv, near, strict=True):
            x.copy_(y)
        cos, sin = torch.zeros(2, 1, 1, 2, 1, 4)
        out = packed_triton.packed_attention(*qkv, None, cos + 1, sin, 2, 2)
        found.append([out, *packed_triton.packed_attention_backward(*qkv, None, None, None, 2, 2, near[0])])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("L", "E"), [(16, 64), (21, 72)])
def test_a_tile_moves_the_bytes_of_the_model(L: int, E: int) -> None:
    case = Case(L=L, E=E, G=1, heads=64 // L, rotary=False)
    q, k, v = (x.contiguous() for x in case.qkv())
    for backward in (False, True):
        with counted() as memory:
            if backward:
                packed_triton.packed_attention_backward(q, k, v, None, None, None, L, L, q.clone())
            else:
                packed_triton.packed_attention(q, k, v, None, None, None, L, L)
        assert memory.once == bytes_moved(q, backward=backward)
        assert memory.read_again == (2 * q.nbytes if backward else 0)  # q and k, from the cache
        assert not memory.written_again


def test_the_ops_are_described_to_torch_as_they_behave() -> None:
    q, k, v = (x.detach().requires_grad_() for x in Case(L=5, E=8).qkv())
    mask, (cos, sin) = Case(L=5, masked=True).key_mask(), torch.randn(2, 1, 1, 5, 1, 4)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    torch.library.opcheck(packed_triton.packed_attention, (q, k, v, mask, cos, sin, 5, 0), test_utils=checks)
    given = (*(x.detach() for x in (q, k, v)), None, None, None, 2, 2, torch.randn(1, 3, 5, 2, 8))
    torch.library.opcheck(packed_triton.packed_attention_backward, given, test_utils=checks)


def test_it_can_be_compiled() -> None:
    case = Case(L=5, E=8, masked=True)
    attend = partial(attention, key_mask=case.key_mask(), rotary=case.angles(), window=3)
    compiled = torch.compile(attend, backend="aot_eager", fullgraph=True)
    found = []
    for run in (attend, compiled):
        qkv = [x.detach().requires_grad_() for x in case.qkv()]
        out = run(*qkv)
        found.append([out, *torch.autograd.grad(out.square().sum(), qkv)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)

"""Gate, add, norm and modulate in one pass against the formula in float64: widths, strides, bytes moved."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from cases import TOLERANCE, counted, generator, plant
from torch import Tensor

from vidboot.nets.factorized import FactorizedNet, NetConfig
from vidboot_kernels import gated_modulated_triton, reference
from vidboot_kernels.gated_modulated_triton import Tile, bytes_moved, gated_modulated

Step = Callable[..., tuple[Tensor, Tensor]]
TILES: dict[gated_modulated_triton.Kernel, Tile] = {"forward": Tile(1024, 2, 4), "backward": Tile(1024, 3, 4)}
NAMES = ("stream", "modulated", "dx", "dy", "dgate", "dshift", "dscale")


@dataclass(frozen=True)
class Case:
    """x and y [B, T, N, D], gate, shift and scale [B, 1, 1, D]."""

    D: int
    T: int = 3
    N: int = 5
    B: int = 2
    dtype: torch.dtype = torch.float32

    def given(self) -> list[Tensor]:
        """No two at the same strides; the stream has a mean, and a scale that is not 1."""
        x, y = torch.randn(2, self.B, self.T, self.N, self.D, generator=generator(0)).to(self.dtype)
        vectors = torch.randn(self.B, 1, 1, 3, self.D, generator=generator(1)).to(self.dtype)
        return [among_nan(3 * x + 1, 8), among_nan(y, 16), *among_nan(vectors, 8).unbind(-2)]

    def upstream(self) -> list[Tensor]:
        return list(torch.randn(2, self.B, self.T, self.N, self.D, generator=generator(3)).to(self.dtype))


CASES = [
    Case(32),
    Case(64, T=1, N=1),
    Case(64, T=5, N=9, dtype=torch.float16),
    Case(72, B=3, T=2, N=9),
    Case(256, B=1, dtype=torch.float16),
    Case(1024, T=1, N=4),
    Case(2048, T=1, N=3, dtype=torch.bfloat16),
]


def among_nan(x: Tensor, more: int) -> Tensor:
    """The same values with NaN in the memory around, rows ``more`` farther from one another."""
    around = torch.full((len(x) + 1, *x.shape[1:-1], x.shape[-1] + more), float("nan"), dtype=x.dtype)
    return around[:-1, ..., : x.shape[-1]].copy_(x)


def with_gradients(step: Step, case: Case, dtype: torch.dtype) -> list[Tensor]:
    given = [x.to(dtype) if x.dtype != dtype else x for x in case.given()]
    given = [x.detach().requires_grad_() for x in given]
    found = step(*given)
    return [*found, *torch.autograd.grad(found, given, [x.to(dtype) for x in case.upstream()])]


def wrong(case: Case) -> dict[str, float]:
    """Largest error over the largest exact value, where that is too large; 1e9 for NaN."""
    exact = with_gradients(reference.gated_modulated, case, torch.float64)
    found = with_gradients(gated_modulated, case, case.dtype)
    errors = {
        name: ((x.double() - y).abs().nan_to_num(1e9).amax() / y.abs().amax()).item()
        for name, x, y in zip(NAMES, found, exact, strict=True)
    }
    return {name: error for name, error in errors.items() if error > TOLERANCE[case.dtype]}


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows need several tiles and several programs."""
    monkeypatch.setattr(gated_modulated_triton, "TILES", TILES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_step_and_its_gradients_are_those_of_the_formula(case: Case) -> None:
    assert not wrong(case)


HARD = Case(72, T=4, N=8)
BUGS = {
    "gate not from 1": ("x + (1 + gate) * y", "x + gate * y"),
    "scale not from 1": ("shift + (1 + scale) * h", "shift + scale * h"),
    "mean kept": ("x - (tl.sum(x, 1) / D)[:, None]", "x"),
    "padding counted in the mean": ("x - (tl.sum(x, 1) / D)", "x - (tl.sum(x, 1) / BD)"),
    "padding counted in the variance": ("tl.sum(x * x, 1) / D + _EPS", "tl.sum(x * x, 1) / BD + _EPS"),
    "mean left in the padding": ("(tl.arange(0, BD) < D)[None, :], x -", "(tl.arange(0, BD) < BD)[None, :], x -"),
    "mean of d dropped": (" - (tl.sum(d, 1) / D)[:, None]", ""),
    "mean of d h dropped": (" - h * (tl.sum(d * h, 1) / D)[:, None]", ""),
    "scale dropped backward": ("d = (1 + scale) * dmodulated", "d = dmodulated"),
    "stream's own gradient dropped": ("dx = d + _load(dstream_ptr", "dx = d + 0 * _load(dstream_ptr"),
    "gate dropped backward": ("(1 + gate) * dx, D, BD)", "dx, D, BD)"),
    "strides of x for y": ("y = _load(y_ptr, y_strides", "y = _load(y_ptr, x_strides"),
    "video's vector of the first": ("vector_ptr + b * strides[0] * UNIT", "vector_ptr + b * 0"),
    "last row left out": ("inside = row < rows", "inside = row < rows - 1"),
    "only the last tile summed": ("dshift += tl.sum", "dshift = tl.sum"),
    "tile written over": ("first + i * R", "first + 0 * R"),
    "another program's sums": ("sums_ptr + tl.program_id(0)", "sums_ptr + 0 * tl.program_id(0)"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(*BUGS[bug], gated_modulated_triton, tmp_path, monkeypatch, into=gated_modulated_triton)
    assert wrong(HARD)


def test_rows_that_do_not_merge_or_lie_at_odd_addresses_are_copied() -> None:
    case = Case(40)
    given = case.given()
    around = torch.full((2, 3, 5, 2, 43), float("nan"))
    odd = around[..., 0, 1:41].copy_(given[1])
    apart = given[0].transpose(1, 2).contiguous().transpose(1, 2)
    for a, b in zip(gated_modulated(apart, odd, *given[2:]), gated_modulated(*given), strict=True):
        assert torch.equal(a, b)
        assert a.is_contiguous()


def test_a_loss_of_one_result_alone_has_its_gradients() -> None:
    x, *rest = Case(32).given()
    for alone in (0, 1):
        found = []
        for step, dtype in ((gated_modulated, torch.float32), (reference.gated_modulated, torch.float64)):
            leaf = x.detach().to(dtype).requires_grad_()
            result = step(leaf, *(given.to(dtype) for given in rest))[alone]
            found.append(torch.autograd.grad(result.square().sum(), leaf)[0].double())
        torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_more_rows_than_an_axis_of_a_grid_holds_lie_along_the_first() -> None:
    x = torch.empty(3, 2**20, 2048, device="meta")
    tensors = dict.fromkeys(gated_modulated_triton.READ["forward"], x) | dict(stream=x, modulated=x)
    assert gated_modulated_triton.launch("forward", tensors).programs == 3 * 2**20 / 2


def test_offsets_beyond_2_to_the_31_are_reached() -> None:
    far = 2**31 + 64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
        try:
            memory = torch.empty(far + 64, dtype=torch.float16)  # pages that are never touched take no memory
        except RuntimeError as error:
            pytest.skip(f"no address space: {error}")
    x, y, *vectors = Case(16, B=1, T=1, N=2, dtype=torch.float16).given()
    strided = [memory[16 * i :].as_strided(x.shape, (0, 0, far, 1)) for i in range(2)]
    found = []
    for given in (strided, (x, y)):
        for a, b in zip(given, (x, y), strict=True):
            a.copy_(b)
        leaves = [a.detach().requires_grad_() for a in (*given, *vectors)]
        results = gated_modulated(*leaves)
        found.append([*results, *torch.autograd.grad(results[1].sum(), leaves)])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("D", [64, 72])
def test_a_run_of_tiles_moves_the_bytes_of_the_model(D: int) -> None:
    for kernel, tile in TILES.items():
        x = torch.randn(1, tile.repeats * tile.rows(D), D, generator=generator(0))
        tensors = {name: x[:, 0].clone() for name in ("gate", "shift", "scale")}
        tensors = {name: tensors.get(name, x.clone()) for name in gated_modulated_triton.READ[kernel]}
        if kernel == "forward":
            vectors, written = 3, dict(stream=x.clone(), modulated=x.clone())
        else:
            vectors, written = 2 + 3, dict(dx=x.clone(), dy=x.clone(), sums=x.new_empty(1, 1, 3, D))
        launch = gated_modulated_triton.launch(kernel, tensors | written)
        assert launch.programs == 1
        with counted() as memory:
            launch.run()
        assert memory.once == bytes_moved(x, backward=kernel == "backward") + vectors * 4 * D
        assert not memory.read_again
        assert not memory.written_again


def test_the_op_is_described_to_torch_as_it_behaves() -> None:
    x, y, *vectors = (x.detach().requires_grad_() for x in Case(8).given())
    rows, vectors = (x.flatten(1, 2), y.flatten(1, 2)), [vector.flatten(0, 2) for vector in vectors]
    checks = ("test_schema", "test_faketensor")
    more = ("test_autograd_registration", "test_aot_dispatch_static")
    torch.library.opcheck(torch.ops.vidboot.gated_modulated, (*rows, *vectors), test_utils=checks + more)
    plain = tuple(given.detach().contiguous() for given in (*rows, *rows, vectors[0], vectors[2]))
    torch.library.opcheck(torch.ops.vidboot.gated_modulated_backward, plain, test_utils=checks)


def test_a_net_by_kernels_alone_is_the_net(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = FactorizedNet(NetConfig(blocks=("space", "time"), width=16, heads=2, patch=2))
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.5 * p.shape[-1] ** -0.5)
    y, sigma = torch.randn(2, 3, 3, 4, 6, generator=generator(0)), torch.tensor([0.3, 3.0])
    found = []
    for backend in ("triton", "reference"):
        monkeypatch.setenv("VIDBOOT_ATTENTION", backend)
        out = net(y, sigma, pts_seconds=torch.arange(3.0).expand(2, 3))
        found.append([out, *torch.autograd.grad(out.square().sum(), list(net.parameters()))])
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().amax() < 1e-4 * b.abs().amax()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda given: [given[0][..., :4], *given[1:]], "takes x and y"),
        (lambda given: [*given[:4], given[4].expand(-1, 3, -1, -1)], "takes x and y"),
        (lambda given: [x[..., :4] for x in given], "multiple of 8 up to 2048, not 4"),
        (
            lambda given: [*given[:4], given[4].half()],
            "all bfloat16, float16 or float32, not torch.float16, torch.float32",
        ),
        (lambda given: [x.double() for x in given], "not torch.float64"),
    ],
)
def test_what_the_kernels_do_not_compute_is_refused(change: Callable[[list[Tensor]], list[Tensor]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        gated_modulated(*change(Case(8).given()))

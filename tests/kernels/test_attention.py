"""Every backend of both ops against the formula in float64, masks and gradients included."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vidboot_kernels import Backend, Rotary, reference, spatial_attention, temporal_attention

BACKENDS: list[Backend] = ["reference", "plain", "sdpa"]
OPS = {"space": spatial_attention, "time": temporal_attention}
SIZES = [(1, 1), (5, 7), (16, 1), (33, 16), (1, 16)]  # T, N


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDBOOT_ATTENTION", raising=False)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def case(T: int, N: int, *, B: int = 2, heads: int = 2, E: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = random(3, B, T, N, heads, E)
    return q, k, v


def some_keys(B: int, T: int, N: int, share: float = 0.6) -> Tensor:
    return torch.rand(B, T, N, generator=torch.Generator().manual_seed(9)) < share


def angles(*shape: int) -> Rotary:
    angle = random(*shape, seed=4)
    return angle.cos(), angle.sin()


def naive(
    kind: str,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    rotary: Rotary | None,
    *,
    window: int = 1000,
    causal: bool = False,
) -> Tensor:
    """One query at a time, in float64: softmax_j(q_i . k_j / sqrt(E)) v_j over the keys allowed, 0 without any."""
    B, T, N, heads, E = q.shape
    q, k, v = (x.double() for x in (q, k, v))
    q, k = (x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
    if rotary is not None:
        turn = torch.complex(*(x.double().expand(B, T, N, heads, E // 2) for x in rotary))
        q, k = (torch.complex(x[..., : E // 2], x[..., E // 2 :]) * turn for x in (q, k))
        q, k = (torch.cat([x.real, x.imag], -1) for x in (q, k))
    out = torch.zeros_like(v)
    for b, t, n, h in torch.cartesian_prod(*(torch.arange(size) for size in (B, T, N, heads))).tolist():
        keys, values = (x[b, t, :, h] if kind == "space" else x[b, :, n, h] for x in (k, v))
        allowed = torch.ones(len(keys), dtype=torch.bool)
        if mask is not None:
            allowed = mask[b, t] if kind == "space" else mask[b, :, n]
        back = (n if kind == "space" else t) - torch.arange(len(keys))
        allowed = allowed & (back.abs() <= window) & ((back >= 0) | (not causal))
        if allowed.any():
            logits = keys[allowed] @ q[b, t, n, h] / math.sqrt(E)
            out[b, t, n, h] = torch.softmax(logits, 0) @ values[allowed]
    return out


@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("T", "N"), SIZES)
def test_a_backend_computes_the_formula(kind: str, backend: Backend, masked: bool, T: int, N: int) -> None:
    B = 1 if T * N > 100 else 2
    q, k, v = case(T, N, B=B)
    mask = some_keys(B, T, N) if masked else None
    rotary = angles(1, 1, N, 1, 4) if kind == "space" else angles(B, T, 1, 1, 4)
    out = OPS[kind](q, k, v, key_mask=mask, rotary=rotary, backend=backend)
    torch.testing.assert_close(out.double(), naive(kind, q, k, v, mask, rotary), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize(("T", "N"), SIZES)
@pytest.mark.parametrize("masked", [False, True])
def test_backends_agree_in_float64_with_their_gradients(kind: str, T: int, N: int, masked: bool) -> None:
    mask, upstream = (some_keys(2, T, N) if masked else None), random(2, T, N, 2, 8, seed=5).double()
    found = []
    for backend in BACKENDS:
        qkv = [x.double().requires_grad_() for x in case(T, N)]
        out = OPS[kind](*qkv, key_mask=mask, backend=backend)
        found.append([out, *torch.autograd.grad((out * upstream).sum(), qkv)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", OPS)
def test_gradients_are_those_of_the_formula(kind: str, backend: Backend) -> None:
    mask, upstream = some_keys(2, 5, 7), random(2, 5, 7, 2, 8, seed=5)
    mask[0, 3] = mask[1, :, 3] = False
    rotary = angles(2, 5, 7, 1, 4)
    found = []
    for attend in (OPS[kind], None):
        q, k, v = (x.requires_grad_() for x in case(5, 7))
        if attend is None:
            out = naive(kind, q, k, v, mask, rotary)
        else:
            out = attend(q, k, v, key_mask=mask, rotary=rotary, backend=backend)
        found.append(torch.autograd.grad((out * upstream).sum(), (q, k, v)))
    for gradient, expected in zip(*found, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "band", [{"window": 2}, {"causal": True}, {"window": 0}, {"window": 3, "causal": True}], ids=str
)
def test_a_query_looks_no_further_than_it_may(kind: str, backend: Backend, masked: bool, band: dict[str, Any]) -> None:
    mask, upstream = (some_keys(1, 9, 8) if masked else None), random(1, 9, 8, 2, 8, seed=5)
    found = []
    for exact in (False, True):
        q, k, v = (x.requires_grad_() for x in case(9, 8, B=1))
        if exact:
            out = naive(kind, q, k, v, mask, None, **band)
        else:
            out = OPS[kind](q, k, v, key_mask=mask, backend=backend, **band)
        found.append([out.double(), *torch.autograd.grad((out * upstream).sum(), (q, k, v))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    out, exact = found[0][0], found[1][0]
    assert not out[exact == 0].any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_query_without_keys_gives_exactly_0_and_no_gradient(kind: str, backend: Backend, dtype: torch.dtype) -> None:
    mask = some_keys(2, 5, 7)
    if kind == "space":
        mask[0, 3] = False
        lonely = (0, 3)
    else:
        mask[0, :, 3] = False
        lonely = (0, slice(None), 3)
    qkv = [x.to(dtype).requires_grad_() for x in case(5, 7)]
    out = OPS[kind](*qkv, key_mask=mask, backend=backend)
    assert not out[lonely].any()
    gradients = torch.autograd.grad(out.float().square().sum() + out[lonely].float().sum(), qkv)
    for gradient in gradients:
        assert torch.isfinite(gradient).all()
        assert not gradient[lonely].any()
    assert OPS[kind](*qkv, key_mask=torch.zeros_like(mask), backend=backend).any().item() is False


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_what_is_under_the_mask_leaks_neither_forward_nor_backward(kind: str, backend: Backend, poison: float) -> None:
    mask, upstream = some_keys(2, 5, 7), random(2, 5, 7, 2, 8, seed=5)
    hidden, found = ~mask[..., None, None], []
    for content in (0.0, poison):
        q, k, v = case(5, 7)
        k, v = (torch.where(hidden, content, x) for x in (k, v))
        qkv = [x.requires_grad_() for x in (q, k, v)]
        out = OPS[kind](*qkv, key_mask=mask, backend=backend)
        found.append([out, *torch.autograd.grad((out * upstream).sum(), qkv)])
    (out, dq, dk, dv), (out_, dq_, dk_, dv_) = found
    assert torch.equal(out, out_)
    assert torch.equal(dq, dq_)
    assert torch.equal(dv, dv_)
    assert torch.equal(dk[mask], dk_[mask])
    assert not dv_[~mask].any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", OPS)
def test_slices_of_a_fused_projection_are_attended_to_in_place(kind: str, backend: Backend) -> None:
    B, T, N, heads, E = 2, 5, 7, 2, 8
    mask = some_keys(B, T, N)
    found = []
    for contiguous in (False, True):
        fused = random(B, T, N, 3 * heads * E).requires_grad_()
        q, k, v = fused.view(B, T, N, 3, heads, E).unbind(3)
        if contiguous:
            q, k, v = (x.contiguous() for x in (q, k, v))
        out = OPS[kind](q, k, v, key_mask=mask, backend=backend)
        assert out.shape == (B, T, N, heads, E)
        found.append((out, *torch.autograd.grad(out.square().sum(), fused)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bfloat16_is_as_accurate_as_eager(backend: Backend) -> None:
    q, k, v = (x.bfloat16() for x in case(5, 16, E=16))
    exact = naive("space", q, k, v, None, None)
    q_, k_ = (x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
    q_, k_, v_ = (x.transpose(2, 3) for x in (q_, k_, v))
    eager = (torch.softmax(q_ @ k_.mT / 4, -1) @ v_).transpose(2, 3)
    error = (spatial_attention(q, k, v, backend=backend) - exact).abs().max()
    assert error <= 2 * (eager - exact).abs().max()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sharp", [0, 2])
def test_plain_gradients_in_bfloat16_are_as_accurate_as_those_of_the_reference(masked: bool, sharp: int) -> None:
    mask, (cos, sin) = (some_keys(2, 5, 16) if masked else None), angles(2, 5, 16, 1, 32)
    upstream = random(2, 5, 16, 2, 64, seed=5).bfloat16()
    q, k, v = case(5, 16, E=64)
    found = []
    for backend, dtype in (("reference", torch.float64), ("reference", torch.bfloat16), ("plain", torch.bfloat16)):
        qkv = [x.bfloat16().to(dtype).requires_grad_() for x in (q + sharp * k, k, v)]
        turn = cos.bfloat16().to(dtype), sin.bfloat16().to(dtype)
        out = spatial_attention(*qkv, key_mask=mask, rotary=turn, backend=backend)  # type: ignore[arg-type]
        found.append(torch.autograd.grad(out, qkv, upstream.to(dtype)))
    for exact, reference_, plain in zip(*found, strict=True):
        assert (plain - exact).norm() <= 1.1 * (reference_ - exact).norm()


def test_plain_products_refuse_float16() -> None:
    with pytest.raises(ValueError, match="'plain' takes bfloat16, float32 and float64, not float16"):
        spatial_attention(*(x.half() for x in case(2, 3)), backend="plain")


def test_time_is_space_with_frames_and_places_exchanged() -> None:
    q, k, v = case(5, 7)
    mask = some_keys(2, 5, 7)
    turned = spatial_attention(*(x.transpose(1, 2) for x in (q, k, v)), key_mask=mask.transpose(1, 2))
    torch.testing.assert_close(temporal_attention(q, k, v, key_mask=mask), turned.transpose(1, 2))


def test_q_and_k_are_normed_so_their_scale_does_not_matter() -> None:
    q, k, v = case(5, 7)
    torch.testing.assert_close(spatial_attention(100 * q, 10 * k, v), spatial_attention(q, k, v), rtol=1e-4, atol=1e-4)


def test_a_rotation_turns_and_keeps_length() -> None:
    x = random(3, 8)
    angle = torch.tensor([0.3, 1.0, -2.0, math.pi])
    turned = reference.rotate(x, angle.cos(), angle.sin())
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(reference.rotate(turned, angle.cos(), -angle.sin()), x)
    torch.testing.assert_close(turned[:, 3], -x[:, 3])


def test_the_environment_overrides_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = case(2, 3)
    called: list[str] = []
    attend = reference.attend

    def recorded(*args: Any) -> Tensor:
        called.append("reference")
        return attend(*args)

    monkeypatch.setattr(reference, "attend", recorded)
    spatial_attention(q, k, v, backend="sdpa")
    assert called == []
    monkeypatch.setenv("VIDBOOT_ATTENTION", "reference")
    spatial_attention(q, k, v, backend="sdpa")
    temporal_attention(q, k, v)
    assert called == ["reference"] * 2
    monkeypatch.setenv("VIDBOOT_ATTENTION", "sdpa")
    spatial_attention(q, k, v, backend="reference")
    assert called == ["reference"] * 2


def test_an_unknown_backend_is_refused_with_the_legal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = case(2, 3)
    legal = r"backend 'fast' is not one of auto, triton, plain, sdpa, xformers, reference"
    with pytest.raises(ValueError, match=legal):
        spatial_attention(q, k, v, backend="fast")  # type: ignore[arg-type]
    monkeypatch.setenv("VIDBOOT_ATTENTION", "fast")
    with pytest.raises(ValueError, match=legal):
        temporal_attention(q, k, v)


@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize("masked", [False, True])
def test_sdpa_may_use_its_fused_kernels(kind: str, masked: bool) -> None:
    q, k, v = (x.requires_grad_() for x in case(5, 7))
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # an error where it cannot take the call
        out = OPS[kind](q, k, v, key_mask=some_keys(2, 5, 7) if masked else None, backend="sdpa")
    out.sum().backward()

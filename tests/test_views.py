"""Every view is a linear map with A Aᵀ A = gain² A, and lifts what its denoiser says exactly."""

import pytest
import torch
from torch import Tensor

from vidboot.views import Chain, LowRes, TimeMean, View, Visible, Window, restrict_seen, restrict_visible

T, H, W = 12, 8, 12


def some_pixels(*shape: int) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(7)) < 0.6).to(torch.uint8)


FULL_RANK: list[View] = [
    LowRes(1),
    LowRes(2),
    LowRes(4),
    TimeMean(1),
    TimeMean(3),
    TimeMean(12),
    Window(0, 12, 12),
    Window(3, 5, 12),
    Window(11, 1, 12),
    Chain(LowRes(2), TimeMean(3)),
    Chain(TimeMean(4), LowRes(4)),
    Chain(Window(1, 9, 12), Chain(LowRes(4), TimeMean(3))),
]
WITH_HOLES: list[View] = [
    Visible(some_pixels(1, T, 1, H, W)),
    Chain(LowRes(2), Visible(some_pixels(1, T, 1, H // 2, W // 2))),
    Chain(Visible(some_pixels(1, T, 1, H, W)), Window(2, 7, 12)),
]
VIEWS = FULL_RANK + WITH_HOLES


def name(view: object) -> str:
    if isinstance(view, Chain):
        return f"{name(view.first)}-then-{name(view.second)}"
    return type(view).__name__ if isinstance(view, Visible) else repr(view)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def matrix(view: View, *frame: int) -> Tensor:
    """A itself, [pixels of the view, pixels of the video], of one channel."""
    n = frame[0] * frame[1] * frame[2]
    basis = torch.eye(n, dtype=torch.float64).view(n, frame[0], 1, *frame[1:])
    return view.restrict(basis).flatten(1).T


@pytest.mark.parametrize("view", VIEWS, ids=name)
def test_the_adjoint_is_the_lift_times_gain_squared(view: View) -> None:
    x = random(2, T, 3, H, W).requires_grad_()
    v = view.restrict(x)
    w = random(*v.shape, seed=1)
    (adjoint,) = torch.autograd.grad((v * w).sum(), x)
    torch.testing.assert_close(adjoint, view.gain**2 * view.lift(w))


@pytest.mark.parametrize("view", VIEWS, ids=name)
def test_restricting_the_adjoint_gives_gain_squared(view: View) -> None:
    A = matrix(view, T, H, W)
    torch.testing.assert_close(A @ A.T @ A, view.gain**2 * A)


@pytest.mark.parametrize("view", VIEWS, ids=name)
def test_lift_returns_what_restrict_keeps(view: View) -> None:
    v = view.restrict(random(2, T, 3, H, W))
    torch.testing.assert_close(view.restrict(view.lift(v)), v)


@pytest.mark.parametrize("view", VIEWS, ids=name)
def test_restrict_and_lift_are_linear(view: View) -> None:
    x, z = random(2, T, 3, H, W), random(2, T, 3, H, W, seed=1)
    v, w = view.restrict(x), view.restrict(z)
    torch.testing.assert_close(view.restrict(2 * x - 3 * z), 2 * v - 3 * w)
    torch.testing.assert_close(view.lift(2 * v - 3 * w), 2 * view.lift(v) - 3 * view.lift(w))


@pytest.mark.parametrize("view", FULL_RANK, ids=name)
def test_noise_in_a_view_is_white_at_gain_times_sigma(view: View) -> None:
    A = matrix(view, T, H, W)
    torch.testing.assert_close(A @ A.T, view.gain**2 * torch.eye(len(A), dtype=torch.float64))


@pytest.mark.parametrize(("T", "H", "W"), [(1, 2, 2), (1, 130, 2), (63, 4, 6), (5, 64, 130)])
def test_views_work_at_awkward_sizes(T: int, H: int, W: int) -> None:
    x = random(1, T, 1, H, W)
    views = LowRes(2), TimeMean(T), Window(T - 1, 1, T), Chain(LowRes(2), TimeMean(T))
    for view in views:
        v = view.restrict(x)
        torch.testing.assert_close(view.restrict(view.lift(v)), v)
        assert view.lift(v).shape == x.shape, view


def test_a_chain_is_the_second_view_of_the_first() -> None:
    x, first, second = random(2, T, 3, H, W), LowRes(2), TimeMean(3)
    view = Chain(first, second)
    assert view.gain == first.gain * second.gain
    assert torch.equal(view.restrict(x), second.restrict(first.restrict(x)))
    assert view.restrict(x).shape == (2, T // 3, 3, H // 2, W // 2)


def test_band_views_of_a_constant_video_are_that_constant() -> None:
    x = torch.full((1, T, 3, H, W), 0.7, dtype=torch.float64)
    for view in (LowRes(4), TimeMean(4), Chain(LowRes(2), TimeMean(6))):
        torch.testing.assert_close(view.restrict(x), torch.full_like(view.restrict(x), 0.7))
        torch.testing.assert_close(view.lift(view.restrict(x)), x)


@pytest.mark.parametrize("shape", [(2, 5, 3, 8, 9), (2, 5, 3, 9, 8)])
def test_a_frame_that_the_factor_does_not_divide_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"frame \d+x\d+ is not divisible by self.factor = 2"):
        LowRes(2).restrict(torch.zeros(shape))


def test_a_length_that_the_group_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"7 frames are not divisible by self.group = 3"):
        TimeMean(3).restrict(torch.zeros(1, 7, 3, 2, 2))


def test_what_is_not_visible_does_not_survive_even_as_nan() -> None:
    mask = some_pixels(1, T, 1, H, W)
    x = torch.where(mask.bool(), random(2, T, 3, H, W), torch.nan).requires_grad_()
    v = Visible(mask).restrict(x)
    assert torch.equal(v == 0, ~mask.bool().expand_as(v))
    (gradient,) = torch.autograd.grad(v.sum(), x)
    assert torch.equal(gradient, mask.expand_as(v).double())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32], ids=str)
def test_a_pixel_of_a_view_is_trusted_only_if_all_its_sources_are(dtype: torch.dtype) -> None:
    visible = torch.ones(1, T, 1, H, W, dtype=dtype)
    visible[0, 4, 0, 5, 2] = 0
    for view, hidden in (
        (LowRes(4), (0, 4, 0, 1, 0)),
        (TimeMean(3), (0, 1, 0, 5, 2)),
        (Chain(LowRes(4), TimeMean(4)), (0, 1, 0, 1, 0)),
        (Window(3, 5, T), (0, 1, 0, 5, 2)),
    ):
        trusted = restrict_visible(view, visible)
        expected = torch.ones_like(trusted)
        expected[hidden] = 0
        assert trusted.dtype == dtype
        assert torch.equal(trusted, expected), view


@pytest.mark.parametrize(("hidden", "trusted"), [(0, True), (4, True), (5, False), (16, False)])
@pytest.mark.parametrize("view", [LowRes(4), TimeMean(16)], ids=name)
def test_a_pixel_of_a_mean_is_that_of_what_is_seen_and_trusted_if_three_quarters_are(
    view: View, hidden: int, trusted: bool
) -> None:
    shape = (1, 1, 1, 4, 4) if isinstance(view, LowRes) else (1, 16, 1, 1, 1)
    visible = torch.ones(16, dtype=torch.uint8)
    visible[torch.randperm(16, generator=torch.Generator().manual_seed(0))[:hidden]] = 0
    x = torch.arange(16.0)
    seen = x[visible.bool()]
    v, trust = restrict_seen(view, torch.where(visible.bool(), x, torch.nan).view(shape), visible.view(shape))
    assert trust.dtype == visible.dtype
    assert bool(trust) is trusted
    torch.testing.assert_close(v.item(), seen.mean().item() if len(seen) else 0.0)


@pytest.mark.parametrize("sigma", [0.05, 1.0, 20.0])
@pytest.mark.parametrize(
    "view",
    [
        LowRes(2),
        TimeMean(3),
        Window(1, 2, 3),
        Chain(LowRes(2), TimeMean(3)),
    ],
    ids=name,
)
def test_the_lifted_denoiser_is_sigma_squared_times_the_score_of_the_view(view: View, sigma: float) -> None:
    frame = 3, 2, 4
    A, root = matrix(view, *frame), random(24, 24)
    of_view = A @ (root @ root.T) @ A.T
    noisy = of_view + (view.gain * sigma) ** 2 * torch.eye(len(A), dtype=torch.float64)

    def denoise(v: Tensor) -> Tensor:
        return (torch.linalg.solve(noisy, v.flatten(1).T).T @ of_view).view_as(v)

    y = random(1, 3, 1, 2, 4, seed=3).requires_grad_()
    log_p = torch.distributions.MultivariateNormal(torch.zeros(len(A), dtype=torch.float64), noisy)
    (score,) = torch.autograd.grad(log_p.log_prob(view.restrict(y).flatten(1)).sum(), y)
    lifted = view.lift(denoise(view.restrict(y)) - view.restrict(y))
    torch.testing.assert_close(lifted.detach(), sigma**2 * score, rtol=1e-9, atol=1e-10)

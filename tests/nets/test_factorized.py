"""The score net at any size and length: what it starts as, what it may not see, and what it does not depend on."""

import pytest
import torch
from torch import Tensor

from vidboot import denoiser as denoisers
from vidboot.denoiser import SIGMA_SKIP, NetDenoiser, at_frame_rate
from vidboot.nets import factorized
from vidboot.nets.factorized import FactorizedNet, NetConfig

PATCH = 2
MEAN = torch.tensor([0.2, -0.4, 0.6])
BLOCKS = [("space", "time"), ("time", "time"), ("joint", "space")]


def net(*blocks: str, fresh: bool = False, pixels: int = 0) -> FactorizedNet:
    """A small net; unless fresh, with random weights everywhere, so that nothing is hidden by a zero."""
    torch.manual_seed(0)
    size = {"blocks": blocks, "width": 16, "heads": 2, "patch": PATCH, "pixels": pixels}
    made = FactorizedNet(NetConfig.model_validate(size))
    if not fresh:
        for p in made.parameters():
            torch.nn.init.normal_(p, std=0.5 * p.shape[-1] ** -0.5)
    return made


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def times(B: int, T: int, fps: float = 8.0) -> Tensor:
    return (torch.arange(T) / fps).expand(B, T)


def hidden_places(B: int, T: int, H: int, W: int, seed: int = 3) -> Tensor:
    """``shown`` with whole places hidden, in each video others."""
    shown = torch.rand(B, T, 1, H // PATCH, W // PATCH, generator=torch.Generator().manual_seed(seed)) < 0.6
    return shown.to(torch.uint8).repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2)


@pytest.mark.parametrize("pixels", [0, 4])
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
@pytest.mark.parametrize(("T", "H", "W"), [(1, 2, 2), (5, 6, 10), (16, 4, 6)])
def test_a_fresh_net_answers_with_y_under_no_noise_and_the_mean_under_much_at_any_length_and_size(
    pixels: int, blocks: tuple[str, ...], T: int, H: int, W: int
) -> None:
    denoiser = NetDenoiser(net(*blocks, fresh=True, pixels=pixels), MEAN, spread=0.0).eval()
    y = random(3, T, 3, H, W)
    D = denoiser(y, torch.tensor([1e-5, 500.0, 500.0]), pts_seconds=times(3, T))
    mean = MEAN.view(3, 1, 1).expand(T, 3, H, W)
    torch.testing.assert_close(D, torch.stack([y[0], mean, mean]))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sigma", [0.5, 3.0, 40.0])
def test_a_fresh_net_guesses_the_mean_colour_as_normal_videos_have_it(
    sigma: float, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the posterior mean of videos that are one normal colour all over, from the covariance of their pixels."""
    monkeypatch.setattr(denoisers, "error_of", lambda innovation, sigma, shown: torch.zeros_like(innovation))
    T, H, W, spread = 2, 4, 6, 0.3
    y = MEAN.view(3, 1, 1) + sigma * random(1, T, 3, H, W)
    shown = hidden_places(1, T, H, W) if masked else None
    denoiser = NetDenoiser(net(fresh=True), MEAN, spread=spread)
    how = {"shown": shown, "pts_seconds": times(1, T)}
    learning, learned = (denoiser.train(mode)(y, torch.tensor([sigma]), **how) for mode in (True, False))
    seen = torch.ones(T, H, W, dtype=torch.bool) if shown is None else shown[0, :, 0].bool()
    pixels = (y[0].movedim(1, 0) - MEAN.view(3, 1, 1, 1))[:, seen].double()  # [C, pixels]
    n = pixels.shape[1]
    covariance = torch.full((n, n), spread**2, dtype=torch.float64) + sigma**2 * torch.eye(n)
    colour = MEAN + spread**2 * torch.linalg.solve(covariance, pixels.T).sum(0)
    expected = colour.view(3, 1, 1).expand(T, 3, H, W).float()
    torch.testing.assert_close(learned[0], expected)
    blended = torch.lerp(expected, y[0], 1 / (1 + (sigma / SIGMA_SKIP) ** 2))
    torch.testing.assert_close(learning[0], torch.where(seen[:, None], blended, expected))


def test_what_y_says_of_the_error_of_a_net_does_not_reach_what_is_always_hidden() -> None:
    y, shown = random(1, 2, 3, 2, 2), torch.zeros(1, 2, 1, 2, 2)
    y[..., 0, 0] = torch.nan
    for mode in (True, False):
        denoiser = NetDenoiser(net(fresh=True), MEAN).train(mode)
        D = denoiser(y, torch.tensor([0.05]), shown=shown, pts_seconds=times(1, 2))
        assert torch.equal(D, MEAN.view(3, 1, 1).expand(1, 2, 3, 2, 2))


@pytest.mark.parametrize("pixels", [0, 4])
@pytest.mark.parametrize(("T", "H", "W"), [(1, 2, 2), (5, 6, 10), (16, 4, 6)])
def test_a_trained_net_takes_any_length_and_size(pixels: int, T: int, H: int, W: int) -> None:
    D = net("space", "time", pixels=pixels)(random(2, T, 3, H, W), torch.tensor([0.01, 50.0]), pts_seconds=times(2, T))
    assert D.shape == (2, T, 3, H, W)
    assert torch.isfinite(D).all()
    assert D.std() > 0.01


def test_a_frame_that_the_patch_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="frame 5x4 is not divisible by patch = 2"):
        net("space")(random(1, 1, 3, 5, 4), torch.ones(1), pts_seconds=times(1, 1))


@pytest.mark.parametrize("pixels", [0, 4])
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
@pytest.mark.parametrize("poison", [3.0, float("nan")])
def test_what_is_hidden_reaches_neither_video_nor_gradient(pixels: int, blocks: tuple[str, ...], poison: float) -> None:
    B, T, H, W = 2, 5, 4, 6
    shown, y = hidden_places(B, T, H, W), random(B, T, 3, H, W)
    shown[0, 2, 0, 0, 0] ^= 1  # one place is hidden in part
    found = []
    for hidden in (0.0, poison):
        denoiser = NetDenoiser(net(*blocks, pixels=pixels), MEAN)
        D = denoiser(
            torch.where(shown.bool(), y, hidden), torch.tensor([0.3, 3.0]), shown=shown, pts_seconds=times(B, T)
        )
        (D**2).mean().backward()
        found.append([D.detach(), *(p.grad for p in denoiser.parameters())])
    for clean, poisoned in zip(*found, strict=True):
        assert torch.isfinite(poisoned).all()
        assert torch.equal(clean, poisoned)


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_a_place_with_nothing_shown_never_influences_another(blocks: tuple[str, ...]) -> None:
    B, T, H, W = 2, 5, 4, 6
    shown, y = hidden_places(B, T, H, W), random(B, T, 3, H, W)
    elsewhere = shown.bool().expand_as(y)
    found = []
    # The content of hidden places goes into the net itself, past the denoiser that would have emptied them.
    for seed in (1, 2):
        made = net(*blocks)
        given = torch.where(elsewhere, y, random(B, T, 3, H, W, seed=seed))
        out = made(given, torch.tensor([0.3, 3.0]), shown=shown, pts_seconds=times(B, T))
        (out[elsewhere] ** 2).mean().backward()
        found.append([out.detach()[elsewhere], *(p.grad for p in made.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_hiding_a_place_changes_what_others_make_of_it() -> None:
    y, shown = random(1, 3, 3, 4, 4), torch.ones(1, 3, 1, 4, 4)
    shown[:, 1, :, :2, :2] = 0
    denoiser = NetDenoiser(net("space", "time"), MEAN)
    all_shown, part_shown = (
        denoiser(y, torch.ones(1), shown=s, pts_seconds=times(1, 3)) for s in (torch.ones_like(shown), shown)
    )
    assert (all_shown - part_shown)[:, :, :, 2:, 2:].abs().max() > 1e-3


def test_no_mask_is_a_mask_that_shows_everything() -> None:
    y, made = random(2, 5, 3, 4, 6), net("space", "time", "joint")
    sigma = torch.tensor([0.1, 5.0])
    without = made(y, sigma, pts_seconds=times(2, 5))
    torch.testing.assert_close(made(y, sigma, shown=torch.ones(2, 5, 1, 4, 6), pts_seconds=times(2, 5)), without)


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_a_clip_of_which_nothing_is_shown_gives_finite_video_and_gradient(blocks: tuple[str, ...]) -> None:
    denoiser = NetDenoiser(net(*blocks), MEAN)
    nothing = torch.zeros(1, 3, 1, 4, 4, dtype=torch.uint8)
    D = denoiser(random(1, 3, 3, 4, 4), torch.ones(1), shown=nothing, pts_seconds=times(1, 3))
    D.sum().backward()
    assert torch.isfinite(D).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in denoiser.parameters())


@pytest.mark.parametrize("blocks", [("time", "time"), ("joint",)], ids=str)
def test_only_differences_of_time_matter_and_those_do(blocks: tuple[str, ...]) -> None:
    y, sigma, made = random(2, 6, 3, 4, 4), torch.tensor([0.1, 2.0]), net(*blocks)
    out = made(y, sigma, pts_seconds=times(2, 6))
    later = made(y, sigma, pts_seconds=times(2, 6) + torch.tensor([[5.0], [0.37]]))
    torch.testing.assert_close(later, out, rtol=1e-3, atol=1e-4)
    assert (made(y, sigma, pts_seconds=times(2, 6, fps=5.0)) - out).abs().max() > 1e-3


@pytest.mark.parametrize("pixels", [0, 4])
def test_videos_of_a_batch_do_not_meet(
    pixels: int,
) -> None:
    y, sigma, made = (
        random(3, 4, 3, 4, 6),
        torch.tensor([0.05, 1.0, 30.0]),
        net("space", "time", "joint", pixels=pixels),
    )
    shown, pts_seconds = hidden_places(3, 4, 4, 6), times(3, 4) * torch.tensor([[1.0], [2.0], [0.5]])
    out = made(y, sigma, shown=shown, pts_seconds=pts_seconds)
    order = torch.tensor([2, 0, 1])
    permuted = made(y[order], sigma[order], shown=shown[order], pts_seconds=pts_seconds[order])
    torch.testing.assert_close(permuted, out[order])
    alone = made(y[:1], sigma[:1], shown=shown[:1], pts_seconds=pts_seconds[:1])
    torch.testing.assert_close(alone, out[:1])


@pytest.mark.parametrize("pixels", [0, 4])
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_bfloat16_is_close_to_float32_and_float32_to_float64(pixels: int, blocks: tuple[str, ...]) -> None:
    y, shown, sigma = random(2, 5, 3, 4, 6), hidden_places(2, 5, 4, 6), torch.tensor([0.3, 3.0])
    made = net(*blocks, pixels=pixels)
    in_64, in_32, in_16 = (
        NetDenoiser(made, MEAN, precision=precision)(y, sigma, shown=shown, pts_seconds=times(2, 5))
        for precision in (torch.float64, torch.float32, torch.bfloat16)
    )
    assert in_16.dtype == torch.float32
    assert (in_32 - in_64).norm() < 1e-5 * (in_64 - in_64.mean()).norm()
    assert (in_16 - in_64).norm() < 3e-2 * (in_64 - in_64.mean()).norm()


@pytest.mark.parametrize("pixels", [0, 4])
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_every_parameter_is_learnt_from(pixels: int, blocks: tuple[str, ...]) -> None:
    made = net(*blocks, pixels=pixels)
    made(random(2, 5, 3, 4, 6), torch.tensor([0.3, 3.0]), pts_seconds=times(2, 5)).square().sum().backward()
    assert [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_blocks_computed_again_give_the_same_gradients_and_keep_less(
    blocks: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(again: bool) -> tuple[list[Tensor | None], int]:
        monkeypatch.setattr(factorized, "computed_again", lambda x, blocks: again)
        kept: list[int] = []
        made = net(*blocks, pixels=4)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
            shown = hidden_places(2, 5, 4, 6)
            y = made(random(2, 5, 3, 4, 6), torch.tensor([0.3, 3.0]), shown=shown, pts_seconds=times(2, 5))
        y.square().sum().backward()
        return [p.grad for p in made.parameters()], sum(kept)

    (kept_gradients, all_kept), (gradients, less) = trained(False), trained(True)
    assert all(torch.equal(a, b) for a, b in zip(kept_gradients, gradients, strict=True))  # type: ignore[arg-type]
    assert less < all_kept / 2


def test_the_noise_level_and_the_place_in_the_frame_matter() -> None:
    y, made = random(1, 2, 3, 4, 4), net("space", "time")
    one, two = (made(y, torch.tensor([sigma]), pts_seconds=times(1, 2)) for sigma in (0.3, 0.6))
    assert (one - two).abs().max() > 1e-3
    places = made(torch.zeros(1, 1, 3, 4, 4), torch.ones(1), pts_seconds=times(1, 1))
    assert (places[..., :2, :2] - places[..., 2:, 2:]).abs().max() > 1e-3


def test_at_a_frame_rate_frames_are_evenly_spaced_from_0() -> None:
    seen: list[Tensor] = []

    def denoiser(y: Tensor, sigma: Tensor, *, shown: Tensor | None = None, pts_seconds: Tensor) -> Tensor:
        assert shown is None
        seen.append(pts_seconds)
        return y

    at_frame_rate(denoiser, 4.0)(random(2, 3, 3, 2, 2), torch.ones(2))
    assert seen[0].tolist() == [[0, 0.25, 0.5]] * 2


def test_convolutions_see_across_the_borders_of_places_and_frames_and_no_farther() -> None:
    """With places that never meet, what a pixel is changes its own place, and with convolutions two pixels and one
    frame beyond."""
    y = random(1, 5, 3, 3 * PATCH, 3 * PATCH)
    changed = y.clone()
    changed[:, 2, :, PATCH, PATCH] += 1
    reached = []
    for pixels in (0, 4):
        made = net(pixels=pixels)
        a, b = (made(x, torch.full((1,), 0.1), pts_seconds=times(1, 5)) for x in (y, changed))
        moved = (a - b).abs().amax((0, 2)) > 1e-6  # [T, H, W]
        reached.append([(int(i.min()), int(i.max())) for i in moved.nonzero().unbind(1)])
    own = (PATCH, 2 * PATCH - 1)
    assert reached[0] == [(2, 2), own, own]
    assert reached[1] == [(1, 3), (own[0] - 2, own[1] + 2), (own[0] - 2, own[1] + 2)]


def test_under_much_noise_a_pixel_tells_its_neighbours_nothing_but_through_its_place() -> None:
    y = random(1, 1, 3, 2 * PATCH, 2 * PATCH)
    made = net(pixels=4)
    assert made.pixels is not None
    drawn = random(1, 1, 3 + 4, 2 * PATCH, 2 * PATCH, seed=1)
    seen = [torch.cat([x, torch.ones_like(x[:, :, :1])], 2) for x in (y, y + 1)]
    moved = []
    for sigma in (0.05, 0.3, 300.0):
        a, b = (made.pixels(drawn, x, torch.full((1,), sigma)) for x in seen)
        moved.append((a - b).norm().item())
    assert moved[2] < 1e-3 * min(moved[:2])

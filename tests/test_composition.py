"""Compositions are the weighted sums they claim to be, whatever the length, and hold a few frames at a time."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vidboot.composition import (
    FRAMES_PER_CALL,
    READ_FRAMES,
    Noisy,
    Passing,
    Plan,
    Stream,
    back_projection,
    counted,
    joined,
    only_band,
    refined,
    restricted,
    tapered,
    whole,
    windowed,
)
from vidboot.denoiser import Denoise
from vidboot.nets.gate import ViewGate
from vidboot.noise import expand
from vidboot.views import BandView, LowRes, TimeMean

PLANS = {"tapered": tapered, "counted": counted}
FRAMES_LENGTH_OVERLAP = [
    (13, 5, 3),
    (1, 5, 3),
    (5, 5, 3),
    (6, 5, 3),
    (12, 5, 4),
    (16, 4, 2),
    (17, 8, 4),
    (63, 8, 7),
    (130, 64, 32),
    (7, 2, 1),
    (9, 3, 0),
    (5, 1, 0),
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear(frames_seed: int = 0) -> Denoise:
    """A denoiser that mixes the frames of a clip by random weights of its length, more so at low sigma."""

    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        mix = random(y.shape[1], y.shape[1], seed=frames_seed + y.shape[1]).to(y)
        return torch.einsum("st,bt...->bs...", mix, y) / expand(1 + sigma, y)

    return denoise


def by_hand(denoise: Denoise, plan: Plan, y: Tensor, sigma: Tensor) -> Tensor:
    D = torch.zeros_like(y)
    for piece in plan(y.shape[1]):
        D[:, piece.start : piece.stop] += piece.weight.view(-1, 1, 1, 1) * denoise(
            y[:, piece.start : piece.stop], sigma
        )
    return D


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize(("frames", "length", "overlap"), FRAMES_LENGTH_OVERLAP)
def test_a_plan_counts_every_frame_once(kind: str, frames: int, length: int, overlap: int) -> None:
    pieces = PLANS[kind](length, overlap)(frames)
    total = torch.zeros(frames, dtype=torch.float64)
    for piece in pieces:
        assert 0 <= piece.start < piece.stop <= frames
        assert len(piece.weight) <= length
        total[piece.start : piece.stop] += piece.weight
    torch.testing.assert_close(total, torch.ones(frames, dtype=torch.float64), rtol=0, atol=1e-12)
    assert [piece.start for piece in pieces] == sorted(piece.start for piece in pieces)
    windows = [piece for piece in pieces if piece.weight.min() > 0]
    assert windows[-1].stop == frames, "the last window is anchored at the end"
    assert all(len(window.weight) == min(length, frames) for window in windows)


def test_windows_of_5_that_share_3_of_13_frames_start_every_2_frames() -> None:
    assert [piece.start for piece in tapered(5, 3)(13)] == [0, 2, 4, 6, 8]
    assert [(piece.start, piece.weight.tolist()) for piece in counted(3, 1)(6) if piece.weight[0] < 0] == [
        (2, [-1.0]),
        (3, [-1.0, -1.0]),
    ]


@pytest.mark.parametrize(("length", "overlap"), [(5, 5), (5, 6), (4, -1)])
def test_an_overlap_that_is_no_overlap_is_refused(length: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        tapered(length, overlap)(20)


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("frames_per_call", [1, 12, 64])
@pytest.mark.parametrize(("frames", "length", "overlap"), FRAMES_LENGTH_OVERLAP[:9])
def test_the_stream_is_the_weighted_sum_of_its_clips(
    kind: str, frames_per_call: int, frames: int, length: int, overlap: int
) -> None:
    plan, y, sigma = PLANS[kind](length, overlap), random(2, frames, 1, 2, 3), torch.tensor([0.3, 2.0])
    stream = windowed(linear(), plan, frames_per_call=frames_per_call)
    torch.testing.assert_close(whole(stream)(y, sigma), by_hand(linear(), plan, y, sigma))


def test_short_windows_go_to_the_net_many_at_a_time_and_long_ones_one_by_one() -> None:
    clips: list[int] = []

    def recorded(y: Tensor, sigma: Tensor) -> Tensor:
        clips.append(len(y))
        return y

    for window, frames, expected in ((8, 64, [8, 7]), (64, 128, [1, 1, 1]), (90, 120, [1, 1])):
        clips.clear()
        whole(windowed(recorded, tapered(window, window // 2)))(torch.zeros(1, frames, 1, 2, 2), torch.ones(1))
        assert clips == expected


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("frames", [1, 4, 16])
def test_one_window_over_everything_is_the_net_bit_for_bit(kind: str, frames: int) -> None:
    y, sigma = random(2, frames, 3, 4, 4).float(), torch.tensor([0.1, 5.0])
    net = torch.nn.Conv3d(3, 3, 3, padding=1)

    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        return net(y.transpose(1, 2)).transpose(1, 2) * expand(1 / (1 + sigma), y)

    assert torch.equal(whole(windowed(denoise, PLANS[kind](16, 8)))(y, sigma), denoise(y, sigma))


def streams() -> dict[str, Stream]:
    clips = windowed(linear(), tapered(5, 3), frames_per_call=10)
    composed = joined(clips, LowRes(2), windowed(linear(1), tapered(12, 6), frames_per_call=24))
    coarse = joined(windowed(linear(1), tapered(12, 6)), TimeMean(4), windowed(linear(2), tapered(3, 2)))
    return {
        "clips": clips,
        "low-res": only_band(LowRes(2), windowed(linear(1), tapered(12, 6), frames_per_call=24)),
        "joined": composed,
        "two levels": joined(clips, LowRes(2), coarse),
        "refined": refined(composed, lambda y, D, sigma: y - D, tapered(8, 4)),
    }


@pytest.mark.parametrize("name", streams())
def test_what_a_composition_holds_does_not_grow_with_the_video(name: str) -> None:
    def largest(frames: int) -> tuple[int, int]:
        read, y = [0], random(1, frames, 1, 2, 2)

        def recorded(first: int, last: int) -> Tensor:
            assert 0 <= first < last <= frames
            read.append(last - first)
            return y[:, first:last]

        parts = [part.shape[1] for part in streams()[name](Noisy(frames, recorded), torch.ones(1))]
        assert sum(parts) == frames
        return max(read), max(parts)

    assert largest(240) == largest(120)
    assert max(largest(240)) <= FRAMES_PER_CALL


def test_windows_are_read_one_by_one_and_views_a_few_frames_at_a_time() -> None:
    reads: list[tuple[int, int]] = []
    y = random(1, 64, 1, 4, 4)

    def recorded(first: int, last: int) -> Tensor:
        reads.append((first, last))
        return y[:, first:last]

    list(windowed(linear(), tapered(5, 3))(Noisy(64, recorded), torch.ones(1)))
    assert [first for first, _ in reads] == sorted(first for first, _ in reads)
    assert {last - first for first, last in reads} == {5}
    for view in (LowRes(2), TimeMean(4), TimeMean(32)):
        reads.clear()
        low = restricted(view, Noisy(64, recorded))
        assert torch.equal(low.read(0, low.frames), view.restrict(y))
        assert max(last - first for first, last in reads) <= max(READ_FRAMES, view.group)


def test_a_stream_that_passed_cannot_be_read_again() -> None:
    y = random(1, 10, 1, 1, 1)
    passing = Passing(iter(y.split(3, 1)))
    assert torch.equal(passing.read(0, 4), y[:, :4])
    assert torch.equal(passing.read(2, 9), y[:, 2:9])
    assert torch.equal(passing.read(8, 10), y[:, 8:])
    with pytest.raises(AssertionError, match="frame 7 has passed"):
        passing.read(7, 8)


@pytest.mark.parametrize("view", [LowRes(2), TimeMean(4)], ids=repr)
def test_joining_replaces_the_band_and_keeps_the_detail(view: BandView) -> None:
    y, sigma = random(2, 24, 1, 4, 4), torch.tensor([0.4, 3.0])
    inner, band = windowed(linear(), tapered(5, 3)), windowed(linear(1), tapered(6, 3))
    D = whole(joined(inner, view, band))(y, sigma)
    D_inner, D_band = whole(inner)(y, sigma), whole(band)(view.restrict(y), view.gain * sigma)
    torch.testing.assert_close(view.restrict(D), D_band)
    torch.testing.assert_close(D, D_inner + view.lift(D_band - view.restrict(D_inner)))
    torch.testing.assert_close(whole(only_band(view, band))(y, sigma), view.lift(D_band))


def test_above_its_level_the_inner_denoiser_is_not_asked_and_the_band_stands_alone() -> None:
    def never(y: Tensor, sigma: Tensor) -> Tensor:
        raise AssertionError(f"asked at {sigma = }")

    y, view, band = random(1, 24, 1, 4, 4), LowRes(2), windowed(linear(1), tapered(6, 3))
    inner = windowed(never, tapered(5, 3))
    alone = whole(joined(inner, view, band, inner_below=2.0))(y, torch.tensor([2.5]))
    torch.testing.assert_close(alone, whole(only_band(view, band))(y, torch.tensor([2.5])))
    with pytest.raises(AssertionError, match="asked at"):
        whole(joined(inner, view, band, inner_below=2.0))(y, torch.tensor([2.0]))


def test_a_length_that_the_group_does_not_divide_is_refused_by_a_join() -> None:
    stream = joined(windowed(linear(), tapered(5, 3)), TimeMean(4), windowed(linear(), tapered(5, 3)))
    with pytest.raises(ValueError, match="22 frames are not divisible"):
        whole(stream)(random(1, 22, 1, 1, 1), torch.ones(1))


def test_a_zero_residual_changes_nothing() -> None:
    y, sigma = random(2, 23, 1, 4, 4), torch.tensor([0.4, 3.0])
    inner = windowed(linear(), tapered(5, 3))
    nothing: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda y, D, sigma: torch.zeros_like(D)  # noqa: E731
    D = whole(inner)(y, sigma)
    torch.testing.assert_close(whole(refined(inner, nothing, tapered(8, 4)))(y, sigma), D, rtol=1e-14, atol=1e-14)
    assert torch.equal(whole(refined(inner, nothing, tapered(23, 12)))(y, sigma), D)


def test_a_residual_sees_the_noisy_and_the_denoised_frames_of_its_window() -> None:
    y, sigma = random(1, 14, 2, 2, 2), torch.tensor([0.7])
    inner, plan = windowed(linear(), tapered(5, 3)), tapered(6, 3)
    D = whole(refined(inner, lambda y, D, sigma: linear(3)(y, sigma) - D**2, plan))(y, sigma)
    D_views = whole(inner)(y, sigma)
    R = by_hand(linear(3), plan, y, sigma) - by_hand(lambda D, sigma: D**2, plan, D_views, sigma)
    torch.testing.assert_close(D, D_views + R)


def test_a_fresh_gate_is_back_projection_bit_for_bit() -> None:
    y, sigma = random(2, 16, 3, 4, 4).float(), torch.tensor([0.4, 30.0])
    inner, band = windowed(linear(), tapered(5, 3)), windowed(linear(1), tapered(16, 8))
    gate = ViewGate(reach=1.0)
    expected = whole(joined(inner, LowRes(2), band, back_projection))(y, sigma)
    assert torch.equal(whole(joined(inner, LowRes(2), band, gate))(y, sigma), expected)

"""The exact case of the data-efficiency instrument: its matrices are what the product computes, its formulas exact."""

import bench_data_efficiency as bench
import gaussian_case as case
import gaussian_learners as learners
import pytest
import torch
from gaussian import gaussian, matrix
from torch import Tensor

from vidboot.composition import Plan, Stream, counted, joined, only_band, plain_sum, tapered, whole, windowed
from vidboot.sampler import sde
from vidboot.views import LowRes

FRAMES, SIDE = 8, 4
D = FRAMES * SIDE**2
SHAPE = (FRAMES, 1, SIDE, SIDE)
EYE = torch.eye(D, dtype=torch.float64)
SIGMAS = case.levels(0.05, 20, 5)


def law(*, growth: float = 1.0, scattered: bool = False) -> case.Case:
    basis = case.scattered(SIDE) if scattered else case.waves(SIDE)
    return case.Case(case.covariance(FRAMES, basis, growth=growth), FRAMES, SIDE)


LAWS = pytest.mark.parametrize(
    "one", [law(), law(scattered=True), law(growth=4.0)], ids=["stationary", "scattered in space", "growing in time"]
)


@pytest.mark.parametrize("scattered", [False, True])
def test_the_matrices_are_what_the_product_composes(scattered: bool) -> None:
    one, view = law(scattered=scattered), LowRes(2)
    low = windowed(gaussian(one.A @ one.C @ one.A.T), tapered(FRAMES, 0))

    def in_time(plan: Plan) -> Stream:
        return windowed(gaussian(one.C), plan)

    product = {
        "low-res only": only_band(view, low),
        "plain sum": plain_sum(in_time(counted(4, 2)), view, low),
        "windows tapered": in_time(tapered(4, 2)),
        "DiffCollage": in_time(counted(4, 2)),
        "back-projection on windows tapered": joined(in_time(tapered(4, 2)), view, low),
        "back-projection on DiffCollage": joined(in_time(counted(4, 2)), view, low),
    }
    by_name = one.compositions(SIGMAS)
    for name, stream in product.items():
        for W, sigma in zip(by_name[name], SIGMAS.tolist(), strict=True):
            torch.testing.assert_close(W, matrix(whole(stream), sigma, SHAPE), atol=1e-10, rtol=1e-9)


@LAWS
def test_the_exact_score_has_no_error_and_its_law_no_distance(one: case.Case) -> None:
    W = torch.stack([torch.linalg.solve(one.C + s**2 * EYE, one.C) for s in SIGMAS])
    assert case.fisher(case.squared_error(W, one.C, SIGMAS), SIGMAS, D).abs() < 1e-20
    assert abs(case.wasserstein(one.C, one.C)) < 1e-9
    assert abs(case.nats(one.C, one.C)) < 1e-9


def test_the_distance_of_commuting_laws_is_that_of_their_roots() -> None:
    C = law().C
    torch.testing.assert_close(case.wasserstein(C, 4 * C), C.trace().item())  # (2 − 1)² of each variance


def test_exact_scores_sample_the_law_as_the_steps_grow_finer() -> None:
    C = law().C
    coarse, fine = (
        case.wasserstein(C, case.sampled(case.wiener(C, levels), levels)) / D
        for levels in (case.levels(60, 0.01, 10), case.levels(60, 0.01, 60))
    )
    assert fine < 2e-5
    assert fine < coarse / 50


@pytest.mark.parametrize("fresh", [0.0, 1.0])
def test_the_recursion_is_what_the_sampler_does(fresh: float) -> None:
    C, levels = law().C, case.levels(60, 0.03, 6)
    basis = torch.eye(len(levels) * D, dtype=torch.float64).view(-1, len(levels), FRAMES, 1, SIDE, SIDE)
    noise = lambda level, first, last: basis[:, level, first:last]  # noqa: E731
    sigmas = torch.cat([levels, torch.zeros(1)])
    video = sde(gaussian(C), levels[0] * noise(0, 0, FRAMES), sigmas, noise, fresh=fresh)
    last = matrix(gaussian(C), levels[-1].item(), SHAPE)  # the sampler ends on D_y, the matrices on y
    made = last @ case.sampled(case.wiener(C, levels), levels, fresh=fresh) @ last
    torch.testing.assert_close(video.flatten(1).T @ video.flatten(1), made, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["windows tapered", "DiffCollage", "region graph"])
def test_fresh_noise_brings_what_a_composition_makes_nearer_to_the_truth(name: str) -> None:
    one, levels = law(), case.levels(60, 0.03, 60)
    W = one.compositions(levels)[name]
    ode, sde_ = (case.wasserstein(one.C, case.sampled(W, levels, fresh=fresh)) for fresh in (0.0, 1.0))
    assert sde_ < 0.9 * ode


@LAWS
def test_what_the_views_determine_agrees_with_them_and_knows_no_more(one: case.Case) -> None:
    determined = one.determined(2)
    part = slice(2 * SIDE**2, 6 * SIDE**2)  # a clip
    torch.testing.assert_close(determined[part, part], one.C[part, part], atol=1e-7, rtol=0)
    torch.testing.assert_close(one.A @ determined @ one.A.T, one.A @ one.C @ one.A.T, atol=1e-7, rtol=0)
    entropy_gained = (torch.linalg.slogdet(determined)[1] - torch.linalg.slogdet(one.C)[1]).item() / 2
    assert entropy_gained > 0
    assert entropy_gained == pytest.approx(case.nats(one.C, determined), abs=1e-4)


def test_the_energy_of_the_residual_is_the_correlation_that_disjoint_views_miss() -> None:
    one, sigmas = law(), case.levels(1e-3, 1e3, 200)
    apart = one.in_time(one.C, sigmas, counted(4, 0))
    half = D // 2
    blind = torch.block_diag(one.C[:half, :half], one.C[half:, half:])
    energy = case.fisher(case.squared_error(apart, one.C, sigmas), sigmas, D).item()
    assert energy == pytest.approx(case.nats(one.C, blind) / D, rel=1e-3)


def test_expected_errors_are_those_of_drawn_videos() -> None:
    one, n, at = law(), 300, 30
    C, formulas = one.C, learners.Learners(one.C, SIGMAS)
    D_views = one.compositions(SIGMAS)["region graph"]
    prior, share = one.determined(2), formulas.shares[18].item()
    generator, root = torch.Generator().manual_seed(0), torch.linalg.cholesky(C)
    drawn: dict[str, list[Tensor]] = {"direct": [], "ridge": [], "mixed": [], "gate": []}
    _, g = formulas.gate(n, D_views)
    for _ in range(20):
        x = torch.randn(n, D, dtype=torch.float64, generator=generator) @ root.T
        C_hat = x.T @ x / n
        M_hat = C_hat + SIGMAS[:, None, None] ** 2 * EYE
        inverse = torch.linalg.inv(M_hat + formulas.penalties[at] * EYE)
        learned = {
            "direct": case.wiener(share * C_hat + (1 - share) * EYE, SIGMAS),
            "ridge": D_views + (C_hat - D_views @ M_hat) @ inverse,
            "mixed": case.wiener(share * C_hat + (1 - share) * prior, SIGMAS),
            "gate": D_views + g[:, None, None] * (case.wiener(C_hat, SIGMAS) - D_views),
        }
        for name, W in learned.items():
            drawn[name].append(case.squared_error(W, C, SIGMAS))
    expected = {
        "direct": formulas.shrunk(n)[18],
        "ridge": formulas.ridge(n, D_views)[at],
        "mixed": formulas.mixed(prior, share)(n),
        "gate": formulas.gate(n, D_views)[0],
    }
    for name, errors in drawn.items():
        error = torch.stack(errors).mean(0)
        J, J_drawn = (case.fisher(e, SIGMAS, D) for e in (expected[name], error))
        torch.testing.assert_close(J_drawn, J, rtol=0.02, atol=0)
        # Above that few directions are left to average over, and the formula is of leading order only.
        torch.testing.assert_close(error[:3], expected[name][:3], rtol=0.03, atol=0)


def test_the_view_gate_is_never_worse_than_the_clips_or_back_projection() -> None:
    row = bench.gated(law(scattered=True))
    assert row["gate_never_worse"]
    assert row["back_projection_loses_at"]
    assert bench.gated(law())["operator_difference"] < 1e-10


def test_a_number_of_full_videos_is_found_where_direct_training_is_as_good() -> None:
    assert bench.worth(0.02, lambda n: 50 / n) == pytest.approx(2500)

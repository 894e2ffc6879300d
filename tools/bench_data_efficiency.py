"""How many full videos is a folder of partial ones worth?

``exact``: Gaussian videos with long memory, 16 frames of 4x4, whose clips (4 frames) and low-res track (2x2 pooled)
have exact denoisers. Every score, every error and every expectation over n full videos is a formula (gaussian_case,
gaussian_learners): nothing is trained and nothing is drawn. Hyper-parameters are the best there are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gaussian_case import (
    Case,
    covariance,
    fisher,
    lag_correlation,
    levels,
    nats,
    sampled,
    scattered,
    squared_error,
    wasserstein,
    waves,
    wiener,
)
from gaussian_learners import Learners
from neural_case import Case as NeuralCase
from neural_table import WAYS, YARDSTICKS, measure, table
from neural_table import show as show_table
from torch import Tensor

from vidboot.report.plots import Axis, Series, line_plot
from vidboot.report.style import STYLE

FRAMES, SIDE, LAG = 16, 4, 12
SIGMAS = levels(0.05, 20, 14)
SAMPLER = levels(60, 0.03, 30)
BANDS = {"low": (0.05, 0.3), "mid": (0.5, 2.5), "high": (3.0, 20.0)}
UNSEEN = (0.0, 0.1, 0.3, 0.6, 0.9)
VIDEOS = (16, 64, 256, 1024, 4096, 16384, 65536)
GRAPH, DETERMINED, CLIPS = "region graph", "what the views determine", "DiffCollage"
BACK = "back-projection on DiffCollage"


def per_dimension(error: Tensor, case: Case) -> float:
    return fisher(error, SIGMAS, len(case.C)).item()


def composed(case: Case) -> list[dict[str, Any]]:
    """Measure each composition: J, its density over ln sigma, excess error by band, samples and their memory."""
    best = wiener(case.C, SIGMAS)
    least = torch.stack([(case.C - W @ case.C).trace() for W in best])
    samplers = case.compositions(SAMPLER)
    rows = []
    for name, W in {**case.compositions(SIGMAS), "exact": best}.items():
        error = squared_error(W, case.C, SIGMAS, best)
        made = sampled(samplers.get(name, wiener(case.C, SAMPLER)), SAMPLER)
        excess = {
            band: (error[inside].sum() / least[inside].sum()).item()
            for band, (low, high) in BANDS.items()
            if (inside := SIGMAS.clamp(0.99 * low, 1.01 * high) == SIGMAS).any()
        }
        rows.append(
            {
                "composition": name,
                "J": per_dimension(error, case),
                "J_density": (error / SIGMAS**2 / len(case.C)).tolist(),
                "excess": excess,
                "W2_squared": wasserstein(case.C, made) / len(case.C),
                "lag_correlation": lag_correlation(made, case.frames, LAG),
            }
        )
    return rows


def worth(J: float, direct: Callable[[float], float]) -> float:
    """Full videos at which training directly on them reaches ``J``: the root of a falling function, by bisection."""
    low, high = 1.0, 1e7
    for _ in range(25):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if direct(middle) > J else (low, middle)
    return (low * high) ** 0.5


def unseen(rho: float) -> dict[str, float]:
    """What the correlation that no view sees costs: ``rho`` of the detail's variance never fades."""
    case = Case(covariance(FRAMES, waves(SIDE), rho=rho), FRAMES, SIDE)
    best, learners = wiener(case.C, SIGMAS), Learners(case.C, SIGMAS)
    by_name = case.compositions(SIGMAS)
    J, J_determined = (
        per_dimension(squared_error(by_name[name], case.C, SIGMAS, best), case) for name in (GRAPH, DETERMINED)
    )
    direct = direct_training(learners)
    n0 = worth(J, direct)
    return {
        "rho": rho,
        "J0": J,
        "J0_determined": J_determined,
        "unseen_nats": nats(case.C, case.determined(case.overlap)) / len(case.C),
        "n0": n0,
        "n0_determined": worth(J_determined, direct),
        "n0_J0": n0 * J,
    }


def direct_training(learners: Learners) -> Callable[[float], float]:
    """J of training directly on n full videos, shrunk by the best share."""
    return lambda n: fisher(learners.shrunk(n), SIGMAS, len(learners.C)).min().item()


def learned(case: Case) -> list[dict[str, Any]]:
    """What n full videos add: J of each way to learn from them, and the direct videos that it is worth per video."""
    learners, d = Learners(case.C, SIGMAS), len(case.C)
    D_views = case.compositions(SIGMAS)[GRAPH]
    direct = direct_training(learners)
    n0 = worth(per_dimension(squared_error(D_views, case.C, SIGMAS), case), direct)
    prior = case.determined(case.overlap)
    mixes = [learners.mixed(prior, share) for share in learners.shares[::3].tolist()]
    rows = []
    for n in VIDEOS:
        ridge = learners.ridge(n, D_views)
        gated, g = learners.gate(n, D_views)
        J = {
            "residual, unregularised": fisher(learners.ridge(n, D_views, penalties=torch.zeros(1)), SIGMAS, d).item(),
            "residual, one ridge": fisher(ridge, SIGMAS, d).min().item(),
            "residual, ridge per sigma": fisher(ridge.min(0).values, SIGMAS, d).item(),
            "residual, gate per sigma": fisher(gated, SIGMAS, d).item(),
            "full videos and endless samples of what the views determine": min(
                fisher(mix(n), SIGMAS, d).item() for mix in mixes
            ),
        }
        factors = {name: worth(value, direct) / n for name, value in J.items()}
        c = {name: factor - n0 / n for name, factor in factors.items()}  # n_eq = n0 + c n
        rows.append({"n": n, "direct_J": direct(n), "J": J, "factor": factors, "c": c, "gate": g.tolist()})
    return rows


def gated(case: Case) -> dict[str, Any]:
    """The view gate, D_clips + w(sigma) A⁺ [D_low − A D_clips], with the best w of each level, beside both its ends."""
    by_name, best = case.compositions(SIGMAS), wiener(case.C, SIGMAS)
    M = case.C + SIGMAS[:, None, None] ** 2 * torch.eye(len(case.C), dtype=case.C.dtype)
    clips, back = by_name[CLIPS], by_name[BACK]
    step = back - clips
    w = (((best - clips) @ M * step).sum((1, 2)) / (step @ M * step).sum((1, 2))).clamp(0, 1)
    gate = clips + w[:, None, None] * step
    least = torch.stack([(case.C - W @ case.C).trace() for W in best])
    error = {
        name: squared_error(W, case.C, SIGMAS, best)
        for name, W in {"clips": clips, "back-projection": back, "view gate": gate, GRAPH: by_name[GRAPH]}.items()
    }
    ends = torch.minimum(error["clips"], error["back-projection"])
    loses = SIGMAS[error["back-projection"] > error["clips"]].tolist()
    return {
        "J": {name: per_dimension(e, case) for name, e in error.items()},
        "J_determined": per_dimension(squared_error(by_name[DETERMINED], case.C, SIGMAS, best), case),
        "excess": {name: (e / least).tolist() for name, e in error.items()},
        "w": w.tolist(),
        "back_projection_loses_at": loses,
        "gate_never_worse": bool((error["view gate"] <= ends * (1 + 1e-9)).all()),
        "operator_difference": ((back - by_name[GRAPH]).norm() / by_name[GRAPH].norm()).item(),
    }


def varied() -> list[dict[str, Any]]:
    """J of the region graph and of what the views determine, one thing of the case changed at a time."""
    changes = [
        *({"frames": frames} for frames in (8, 16, 32)),
        *({"clip": clip, "overlap": clip // 2} for clip in (2, 8)),
        *({"clip": clip, "overlap": overlap} for clip, overlap in ((4, 1), (4, 3), (8, 6))),
        {"factor": 4},
    ]
    rows = []
    for change in changes:
        frames = change.get("frames", FRAMES)
        case = Case(covariance(frames, waves(SIDE)), frames, SIDE, **{k: v for k, v in change.items() if k != "frames"})
        best, by_name = wiener(case.C, SIGMAS), case.compositions(SIGMAS)
        J = {n: per_dimension(squared_error(by_name[n], case.C, SIGMAS, best), case) for n in (GRAPH, DETERMINED)}
        rows.append({"changed": change, "J": J})
    return rows


def exact() -> dict[str, Any]:
    """Everything the exact case answers."""
    still, apart = waves(SIDE), scattered(SIDE)
    case = Case(covariance(FRAMES, still), FRAMES, SIDE)
    everything = wiener(case.determined(case.clip - 1), SIGMAS)
    larger = 2 * SIDE  # pooling by 2 commutes with a stationary law of 4x4, not of 8x8
    cases = {
        "stationary": case,
        "stationary, 8 frames of 8x8": Case(covariance(8, waves(larger)), 8, larger),
        "growing in time": Case(covariance(FRAMES, still, growth=4.0), FRAMES, SIDE),
        "scattered in space": Case(covariance(FRAMES, apart), FRAMES, SIDE),
        "scattered and growing": Case(covariance(FRAMES, apart, growth=4.0), FRAMES, SIDE),
    }
    return {
        "sigmas": SIGMAS.tolist(),
        "compositions": composed(case),
        "lag_correlation_of_truth": lag_correlation(case.C, FRAMES, LAG),
        "J_every_clip_determines": per_dimension(squared_error(everything, case.C, SIGMAS), case),
        "unseen": [unseen(rho) for rho in UNSEEN],
        "learned": learned(case),
        "view_gate": {name: gated(one) for name, one in cases.items()},
        "varied": varied(),
    }


def picture(result: dict[str, Any]) -> str:
    """Four plots as one self-contained SVG."""
    sigma, by_name = Axis("noise level sigma", log=True), {row["composition"]: row for row in result["compositions"]}
    shown = ("windows mean", CLIPS, "back-projection on windows mean", GRAPH, DETERMINED)
    labels = ("windows mean", "DiffCollage", "back-proj. on mean", "region graph", "views determine")
    density = [
        Series(label, result["sigmas"], [1e3 * J for J in by_name[name]["J_density"]], 1 + i)
        for i, (name, label) in enumerate(zip(shown, labels, strict=True))
    ]
    hard = result["view_gate"]["scattered in space"]["excess"]
    ends = ("clips", "back-projection", "view gate")
    gate = [Series(n, result["sigmas"], [100 * e for e in hard[n]], i + 1) for i, n in enumerate(ends)]
    rows = result["learned"]
    ways = {"one ridge": "residual, one ridge", "gate per sigma": "residual, gate per sigma"}
    ways["real + samples"] = "full videos and endless samples of what the views determine"
    n = [row["n"] for row in rows]
    factor = [Series(k, n, [row["factor"][v] for row in rows], i + 1) for i, (k, v) in enumerate(ways.items())]
    J0 = [row["J0"] for row in result["unseen"]]
    plots = [
        line_plot(density, sigma, Axis("J per ln sigma, millinats/dim", log=True, limits=(0.01, 30))),
        line_plot(gate, sigma, Axis("excess error, %, scattered in space", log=True)),
        line_plot(factor, Axis("full videos n", log=True), Axis("n_eq / n", log=True)),
        line_plot(
            [Series("n0", J0, [row["n0"] for row in result["unseen"]], 1)],
            Axis("J0 of the region graph, nats/dim", log=True),
            Axis("full videos n0 the views are worth", log=True),
        ),
    ]
    placed = [
        plot.replace("<svg ", f'<svg x="{500 * (i % 2)}" y="{320 * (i // 2)}" width="480" height="300" ', 1)
        for i, plot in enumerate(plots)
    ]
    style = STYLE.replace("svg { display: block; width: 100%; height: auto; ", "svg { ")
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -10 1010 640">'
    return f'{head}<style>{style}</style><rect x="-10" y="-10" width="100%" height="100%" fill="var(--paper)"/>' + (
        "".join(placed) + "</svg>\n"
    )


def show(result: dict[str, Any]) -> None:
    print(f"{'composition':36} {'J':>8} {'low':>8} {'mid':>8} {'high':>8} {'W2²/d':>8} {f'lag {LAG}':>8}")
    for row in result["compositions"]:
        cells = [row["J"], *row["excess"].values(), row["W2_squared"], row["lag_correlation"]]
        print(f"{row['composition']:36} " + " ".join(f"{cell:8.4g}" for cell in cells))
    print(f"truth: correlation at lag {LAG} {result['lag_correlation_of_truth']:.3f}\n")
    for row in result["unseen"]:
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    print()
    for row in result["learned"]:
        cells = [f"{name} {J:.4f} ({row['factor'][name]:.3g}x, c {row['c'][name]:.2f})" for name, J in row["J"].items()]
        print(f"n {row['n']}: direct {row['direct_J']:.4f}; " + "; ".join(cells))
    print()
    for name, row in result["view_gate"].items():
        J = ", ".join(f"{way} {value:.4f}" for way, value in row["J"].items())
        print(f"{name}: J {J}; gate never worse: {row['gate_never_worse']}")
        print("  back-projection loses to the clips at", [round(s, 3) for s in row["back_projection_loses_at"]])
    print()
    for row in result["varied"]:
        print(row["changed"], {name: round(J, 4) for name, J in row["J"].items()})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = parser.add_subparsers(dest="case", required=True)
    one = cases.add_parser("exact", help="Gaussian videos: every error is a formula")
    one.add_argument("--json", action="store_true", help="print one JSON object")
    one.add_argument("--plot", type=Path, metavar="FILE", help="write the plots as one self-contained SVG")
    other = cases.add_parser("neural", help="procedural videos: nets are trained; run it again to go on")
    other.add_argument("--out", type=Path, required=True, help="folder for nets and cells")
    other.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    other.add_argument(
        "--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="these alone, beside those they are told by"
    )
    other.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    began = time.perf_counter()
    if args.case == "neural":
        ways = [way for way in WAYS if way in {*YARDSTICKS, *args.ways}]
        measure(NeuralCase(), args.out, args.seeds, lambda line: print(line, file=sys.stderr, flush=True), ways)
        result = table(args.out, args.seeds, ways)
        print(json.dumps(result)) if args.json else show_table(result)
        return 0
    result = exact()
    result["seconds"] = time.perf_counter() - began
    if args.plot:
        args.plot.write_text(picture(result))
        print(f"wrote {args.plot}", file=sys.stderr)
    if args.json:
        print(json.dumps(result))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

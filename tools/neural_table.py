"""The neural table of bench_data_efficiency: each way's loss at each n, and how many direct videos that is worth."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neural_case import SIGMAS, Case, as_float, losses, videos
from neural_learner import TEST_WORLD, Learner
from torch import Tensor

from vidboot import metrics
from vidboot.denoiser import Denoise
from vidboot.files import write_text
from vidboot.noise import Schedule, level_noise
from vidboot.sampler import sde

COMPOSITION, DIRECT, TUNED = "composition", "direct", "tuned clip net"
RESIDUAL, BLEND, DIRECT_BLEND = "residual", "tuned clip net, gated", "direct and views, gated (twice the steps)"
LONGER, IN_CLIPS = "direct, twice the steps", "direct, every second step in clips"
POOLED = "one net for all"
WAYS: Mapping[str, Callable[[Learner, int], Denoise]] = {
    DIRECT: lambda learner, n: learner.direct(n),
    TUNED: lambda learner, n: learner.tuned(n),
    "view gate": lambda learner, n: learner.gated_composition(n),
    RESIDUAL: lambda learner, n: learner.residual(n, learner.gated_composition(n)),
    BLEND: lambda learner, n: learner.blended(n, learner.gated_composition(n)),
    DIRECT_BLEND: lambda learner, n: learner.direct_blended(n, learner.gated_composition(n)),
    LONGER: lambda learner, n: learner.direct_longer(n),
    IN_CLIPS: lambda learner, n: learner.direct_in_clips(n),
    POOLED: lambda learner, n: learner.pooled(n),
    COMPOSITION: lambda learner, n: learner.gated_composition(n),
}
"""What can be made of n full videos."""
VIDEOS = (2, 8, 32, 128, 512, 2048)
FEW = (2, 8, 32, 128, 512)
DIRECT_VIDEOS = (2, 8, 32, 128, 256, 512, 1024, 2048, 8192, 16384)
ONLY = {
    COMPOSITION: (0,),
    POOLED: (0, *VIDEOS, 8192, 16384),
    DIRECT: DIRECT_VIDEOS,
    RESIDUAL: FEW,
    DIRECT_BLEND: FEW,
    LONGER: (512,),
    IN_CLIPS: (512,),
}
"""Not at all n: with many, each step of the residual needs the composition too, and nothing is left out to gate by."""
YARDSTICKS = (DIRECT, TUNED, COMPOSITION)
"""Ways that the worth of any other is told by."""
RESAMPLES = 2000
MEMORY_LEVELS = 70
"""Noise levels that samples of the memory's measure pass."""


def cells(ways: Collection[str] = WAYS) -> list[tuple[str, int]]:
    """Each way and n, cheapest first."""
    return [(way, n) for n in (0, *DIRECT_VIDEOS) for way in ways if n in ONLY.get(way, VIDEOS)]


def measure(
    case: Case, out: Path, seeds: Sequence[int], say: Callable[[str], None], ways: Collection[str] = WAYS
) -> None:
    """Fill the table; what is there already is kept."""
    test = as_float(videos(TEST_WORLD, 0, case.test, case))
    for seed in seeds:
        learner = Learner(case, out, seed)
        for way, n in cells(ways):
            path = _cell(out, way, n, seed)
            if path.is_file():
                continue
            began = time.process_time()
            denoise = WAYS[way](learner, n)
            with torch.no_grad():
                of_videos = losses(denoise, test, seed=seed)
            cpu_seconds = time.process_time() - began
            row = {"way": way, "n": n, "seed": seed, "cpu_seconds": cpu_seconds, "losses": of_videos.tolist()}
            write_text(path, json.dumps(row))
            say(f"seed {seed}: {way}, n = {n}: {of_videos.mean():.4f} ({cpu_seconds:.0f} CPU s)")
        for way in _alone(ways):
            if not (path := _memory(out, way, seed)).is_file():
                write_text(path, json.dumps(memory(WAYS[way](learner, 0), learner, test)))


def _cell(out: Path, way: str, n: int, seed: int) -> Path:
    return out / f"{re.sub('[^a-z]+', '-', way)}-n{n}-seed{seed}.json"


def _memory(out: Path, way: str, seed: int) -> Path:
    return out / f"memory-{re.sub('[^a-z]+', '-', way)}-seed{seed}.json"


def memory(denoise: Denoise, learner: Learner, test: Tensor, *, fresh: float = 1.0) -> dict[str, float]:
    """Do samples of what was learned without any full video keep what they show?

    ``fresh`` is the sampler's.
    """
    case = learner.case
    sigmas = Schedule(levels=MEMORY_LEVELS, sigma_max=100.0, sigma_min=0.05).sigmas()
    B, T, *frame = test.shape
    noise = level_noise((B, *frame), learner.seed)
    with torch.no_grad():
        made = sde(denoise, learner.mean.view(-1, 1, 1) + sigmas[0].item() * noise(0, 0, T), sigmas, noise, fresh=fresh)
    lag = 3 * case.frames // 4
    features = {name: metrics.colour_features(x) for name, x in (("made", made), ("real", test))}
    over = {
        "motion": metrics.motion_energy,
        "spread": metrics.spread,
        "detail": lambda x: metrics.high_band_energy(x, case.factor),
    }
    return {
        "lag_correlation": metrics.lag_correlation(features["made"], lag),
        "lag_correlation_real": metrics.lag_correlation(features["real"], lag),
        **{name: measure(made) / measure(test) for name, measure in over.items()},
    }


def worth(loss: float, direct: Mapping[int, float]) -> float:
    """Full videos at which direct training has this loss: linear in ln n between what was measured.

    A loss beyond what was measured gives the nearest n that was: a bound.

    Args:
        loss: to be reached.
        direct: n -> loss; taken as falling, what a larger n did worse counts as no better.
    """
    n = sorted(direct)
    falling = np.minimum.accumulate([direct[k] for k in n])
    return float(np.exp(np.interp(-loss, -falling, np.log(n))))


def table(out: Path, seeds: Sequence[int], ways: Collection[str] = WAYS) -> dict[str, Any]:
    """Read the cells and say what each way is worth, with 90 % intervals over seeds and test videos, in pairs."""
    of = {
        (way, n): torch.tensor([json.loads(_cell(out, way, n, seed).read_text())["losses"] for seed in seeds])
        for way, n in cells(ways)
    }  # [seeds, videos, S]
    values = {key: cell.mean(2).double().numpy() for key, cell in of.items()}
    rng = np.random.default_rng(0)
    some = next(iter(values.values()))
    draws = [tuple(rng.integers(size, size=size) for size in some.shape[:2]) for _ in range(RESAMPLES)]
    resampled = [_worths({key: x[np.ix_(*draw)].mean() for key, x in values.items()}) for draw in draws]
    means = {key: float(x.mean()) for key, x in values.items()}
    point = _worths(means)
    intervals = {key: np.quantile([one[key] for one in resampled], (0.05, 0.95)).tolist() for key in point}

    def worths(way: str, n: int | str) -> dict[str, Any]:
        at = [(way, n, key) for key in KEYS if (way, n, key) in point]
        return {key: {"value": point[way, n, key], "interval": intervals[way, n, key]} for _, _, key in at}

    def row(way: str, n: int) -> dict[str, Any]:
        by_band = {name: of[way, n][:, :, inside].mean().item() for name, inside in _bands().items()}
        return {"way": way, "n": n, "loss": means[way, n], "bands": by_band, **worths(way, n)}

    rows = [row(way, n) for way, n in cells(ways)]
    between = [{"way": way, "n": n, **worths(way, n)} for way in JOINED if way in ways for n in SHARES[way]]
    memories = {way: [json.loads(_memory(out, way, seed).read_text()) for seed in seeds] for way in _alone(ways)}
    return {"seeds": list(seeds), "rows": rows, "between": between, "memory": memories}


KEYS = ("n_eq", "c", "factor", "over_tuned")
JOINED = ("view gate", RESIDUAL, BLEND, DIRECT_BLEND, POOLED)
SHARES = {way: {"n0/4": 0.25, "n0": 1.0} | ({"16 n0": 16.0} if way == POOLED else {}) for way in JOINED}
"""Ways told of at these shares of their n0 too, ln n_eq being linear in ln n between what was measured."""
ALONE = (COMPOSITION, POOLED)
"""Ways that need no full video; all others but the pooled net are told of beside the composition."""


def _alone(ways: Collection[str]) -> list[str]:
    return [way for way in ALONE if way in ways]


def _bands() -> dict[str, Tensor]:
    return {"low": SIGMAS <= 0.2, "mid": (SIGMAS > 0.2) & (SIGMAS <= 1.3), "high": SIGMAS > 1.3}


def _worths(loss: Mapping[tuple[str, int], float]) -> dict[tuple[str, int | str, str], float]:
    """n_eq of each cell; c = (n_eq − n0) / n; n_eq over n, and over that of the tuned clip net."""
    direct = {n: loss[DIRECT, n] for n in DIRECT_VIDEOS}
    n0 = {way: worth(loss[way, 0], direct) for way, n in loss if not n}
    n_eq = {(way, n): worth(loss[way, n], direct) for way, n in loss if n and way != DIRECT}
    alone = {way: n0.get(way, n0[COMPOSITION]) for way, _ in n_eq}

    def between(way: str, n: float) -> float:
        measured = sorted(m for w, m in n_eq if w == way)
        return float(np.exp(np.interp(np.log(n), np.log(measured), np.log([n_eq[way, m] for m in measured]))))

    at: list[tuple[str, int | str, float]] = [(way, n, float(n)) for way, n in n_eq]
    at += [
        (way, name, share * alone[way])
        for way, of_n0 in SHARES.items()
        if way in alone
        for name, share in of_n0.items()
    ]
    result: dict[tuple[str, int | str, str], float] = {(way, 0, "n_eq"): n for way, n in n0.items()}
    for way, name, n in at:
        mine, tuned = between(way, n), between(TUNED, n)
        worths = (mine, (mine - alone[way]) / n, mine / n, mine / tuned)
        result |= {(way, name, key): value for key, value in zip(KEYS, worths, strict=True)}
    return result


def show(result: dict[str, Any]) -> None:
    """Print the table for a person."""
    print(f"{len(result['seeds'])} seeds; 90 % intervals over seeds and test videos")
    print(f"{'way':24} {'n':>5} {'loss':>7} {'low':>7} {'mid':>7} {'high':>7}  {', '.join(KEYS)}")
    for row in result["rows"]:
        losses_ = " ".join(f"{x:7.4f}" for x in (row["loss"], *row["bands"].values()))
        print(f"{row['way']:24} {row['n']:5} {losses_}  {_said(row)}")
    for row in result["between"]:
        print(f"{row['way']:24} {row['n']:>5} {'':31}  {_said(row)}")
    for way, of_seeds in result["memory"].items():
        for seed, one in zip(result["seeds"], of_seeds, strict=True):
            measured = "  ".join(f"{name} {value:.3f}" for name, value in one.items())
            print(f"seed {seed}, samples of the {way} without any full video: {measured}")


def _said(row: dict[str, Any]) -> str:
    of = [row[key] for key in KEYS if key in row]
    return "  ".join(f"{x['value']:.3g} [{x['interval'][0]:.3g}, {x['interval'][1]:.3g}]" for x in of)

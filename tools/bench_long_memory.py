"""Does a net that never saw a full video remember as long as real video does, and what does the sampler do to it?

The one net of bench_data_efficiency's neural case, without full videos, for as many steps as the others or several
times as many; each sampled by the ODE and by the SDE, 96 videos each. Correlation of what a frame shows with what is
shown at three quarters of the length later; motion, spread and detail over those of real video.

    python tools/bench_long_memory.py OUT [--seeds 0 1 2] [--times 1 4] [--json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from neural_case import Case, as_float, videos
from neural_learner import TEST_WORLD, Learner
from neural_table import memory

FRESH = (0.0, 1.0)
"""Of the sampler: the ODE, the SDE."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4], help="steps, over those that the others take")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    case = Case()
    test = as_float(videos(TEST_WORLD, 0, case.test, case))
    rows = []
    for seed in asked.seeds:
        learner = Learner(case, asked.out, seed)
        for times in asked.times:
            denoise = learner.pooled(0, times=times)
            for fresh in FRESH:
                row = {"seed": seed, "times": times, "fresh": fresh, **memory(denoise, learner, test, fresh=fresh)}
                rows.append(row)
                if not asked.json:
                    print("  ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
    if asked.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()

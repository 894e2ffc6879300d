"""Does the resident set of ``vidboot generate`` grow with the length of the video?

An untrained run is made (small nets, every stage there, the residual's gate open so that its net runs too), then
``python -m vidboot generate`` runs in a process of its own once per length. Its peak resident set is the kernel's own
(``ru_maxrss`` of that process, from ``os.wait4``); the file cache behind the noisy video on disk is not part of it.
Peaks vary by some MB from run to run, hence ``--repeats``: the least of each length counts. With ``--trace`` the
resident set is also read from /proc while the process runs, and its value at each tenth of the run is printed: growth
all through a run is a leak, a step at its start is not.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIMIT_MB = 50.0
TRACE_SECONDS = 0.05


def make_run(path: Path, side: int, width: int, levels: int) -> None:
    """Write a run directory whose stages hold fresh weights; only in a process of its own, it imports torch."""
    import torch
    from torch import nn

    from vidboot import config as configs
    from vidboot.build import Parts, gate_stage, low_res_stage
    from vidboot.run import Run, save_tensors

    net = {"width": width, "heads": 2, "patch": 8}
    config = configs.check(
        {
            "precision": "float32",
            "device": "cpu",
            "video": {"frames": 64, "height": side, "width": side},
            "low_res": {"factor": side // 8, "levels": 1, "net": {**net, "blocks": ["time"]}},
            "clip": {"long_window": 64, "net": {**net, "blocks": ["space", "time"]}},
            "sampler": {"levels": levels},
        }
    )
    record = {
        "config": config.model_dump(mode="json"),
        "data": "",
        "precision": "float32",
        "mean": [-0.5] * 3,
        "spread": 0.15,
        "clip_frames": max(config.clip.window, config.clip.long_window),
        "cache": str(path / "work" / "cache"),
    }
    run = Run.create(path, record)
    parts = Parts.of(run)
    residual = parts.residual(parts.clip())
    residual.gate.fill_(1.0)
    stages: dict[str, nn.Module] = {"clip": parts.clip(), "residual": residual}
    for level in range(config.low_res.levels + 1):
        stages |= {low_res_stage(level): parts.low_res(level), gate_stage(level): parts.gate(level)}
    for name, module in stages.items():
        # Fresh nets answer with nothing: a little weight in the last layer makes them do their work.
        with torch.no_grad():
            for p in module.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(0)), alpha=1e-3)
        save_tensors(run.weights(name), module.state_dict())


def generate(run: Path, frames: int, policy: str, *, trace: bool) -> dict[str, Any]:
    """Run ``vidboot generate`` and return its peak resident set in MB, its seconds, and the trace if asked for.

    Raises:
        RuntimeError: it failed.
    """
    out, began = run.parent / f"{frames}.mp4", time.monotonic()
    command = [sys.executable, "-m", "vidboot", "generate", str(run), "--out", str(out)]
    with open(run.parent / "stderr.txt", "w+") as stderr:
        child = subprocess.Popen(
            [*command, "--frames", str(frames), "--policy", policy], stdout=subprocess.DEVNULL, stderr=stderr
        )
        resident = list(resident_mb(child.pid)) if trace else []
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        if child.returncode:
            raise RuntimeError(f"vidboot generate ended with {child.returncode}: {stderr.read()[-500:]}")
    result: dict[str, Any] = {
        "frames": frames,
        "peak_mb": usage.ru_maxrss / 1024,
        "seconds": time.monotonic() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }
    if trace:
        result["trace_mb"] = [resident[len(resident) * i // 10] for i in range(10)]
    return result


def resident_mb(pid: int) -> Iterator[float]:
    """Yield the resident set of a child until it ends; the child is left for ``os.wait4``."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        yield int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
        time.sleep(TRACE_SECONDS)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Generate at every length, ``--repeats`` times in turn, and return the least peak of each."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        # A child starts with its parent's peak as its own, so this process must stay small: no torch in it.
        maker = multiprocessing.get_context("spawn").Process(
            target=make_run, args=(run, args.side, args.width, args.levels)
        )
        maker.start()
        maker.join()
        if maker.exitcode:
            raise RuntimeError("the untrained run could not be made")
        rounds = [[generate(run, n, args.policy, trace=args.trace) for n in args.frames] for _ in range(args.repeats)]
    return [min(same, key=lambda result: result["peak_mb"]) for same in zip(*rounds, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[256, 2048], help="lengths, shortest first")
    parser.add_argument("--side", type=int, default=128, help="height and width, px; divisible by 64")
    parser.add_argument("--width", type=int, default=32, help="channels of the nets")
    parser.add_argument("--levels", type=int, default=2, help="noise levels of the sampler")
    parser.add_argument("--policy", default="full", help="of vidboot generate")
    parser.add_argument("--repeats", type=int, default=1, help="runs per length")
    parser.add_argument("--limit-mb", type=float, default=LIMIT_MB, help="growth allowed from first to last length")
    parser.add_argument("--trace", action="store_true", help="also show the resident set during each run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    results = measure(args)
    growth = results[-1]["peak_mb"] - results[0]["peak_mb"]
    summary = {"side": args.side, "policy": args.policy, "results": results, "growth_mb": growth}
    summary |= {"limit_mb": args.limit_mb, "passed": growth <= args.limit_mb}
    if args.json:
        print(json.dumps(summary))
        return not summary["passed"]
    print(f"{'frames':>8} {'peak MB':>9} {'wall s':>8} {'cpu s':>8}" + "  resident MB at each tenth" * args.trace)
    for result in results:
        trace = " ".join(f"{mb:.0f}" for mb in result.get("trace_mb", []))
        columns = (result[key] for key in ("peak_mb", "seconds", "cpu_seconds"))
        print(f"{result['frames']:>8} {next(columns):>9.1f} {next(columns):>8.1f} {next(columns):>8.1f}  {trace}")
    verdict = "within" if summary["passed"] else "ABOVE"
    print(f"growth {growth:+.1f} MB at {args.side}x{args.side}, {verdict} the limit of {args.limit_mb:g} MB")
    return not summary["passed"]


if __name__ == "__main__":
    raise SystemExit(main())

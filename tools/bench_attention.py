"""The kernels on a GPU: first whether they are right, then what they cost beside what PyTorch offers.

    python tools/bench_attention.py --all [--json]

Right: what tests/kernels/test_on_gpu.py says; compute-sanitizer, if installed, must find nothing in it. If anything is
wrong no time is printed. Cost: each shape on slices of a fused projection, norm, rotation and layout
included, against SDPA by each of its kernels (norm, rotation and the copies it needs compiled by torch.compile),
FlexAttention compiled (the making of its mask not counted) and xformers; "bare" is SDPA on contiguous inputs that are
normed already. Times are medians over replays of a CUDA graph that walks over more inputs than the cache holds; shares
are of the copy rate measured in the same run. Gate, norm and modulation are timed likewise beside plain PyTorch,
compiled and eager. One training step of configs/base.toml is timed as it is and with SDPA in place of all kernels:
eager, as `vidboot train` runs it, and with its blocks compiled. What fails is left out, with its reason; the rest is
kept.

``--dry-run`` does the same on a CPU with small shapes and the reference in place of the kernels; its times mean nothing
and are not written.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from attention_contenders import Shape, with_gradients
from attention_table import said_of_steps, step_table, table, write
from modulation_contenders import StepShape

from vidboot import config as configs
from vidboot.denoiser import NetDenoiser
from vidboot.losses import Batch, view_loss
from vidboot.nets.factorized import FactorizedNet
from vidboot.optim import Optimizer

ROOT = Path(__file__).parent.parent
SECONDS = 420
"""After so long no more is measured."""
ROUNDS = (("ours", "sdpa", "compiled"), ("bare", "eager"), ("flex", "xformers"))
"""Contenders by the first word of their names: what matters most is timed first, of all shapes."""
REPLAYS = 5
"""Of a graph in one measurement, so that the time to launch it hardly counts."""
CACHE_BYTES = 256 * 2**20
TRAIN_STEPS = 10


SHAPES = [
    *(Shape("time", T, N) for T in (16, 32, 64) for N in (1024, 4096)),
    *(Shape("space", 16, N) for N in (1024, 4096)),
    *(Shape("space", 16, N, hidden=0.25) for N in (1024, 4096)),
    *(Shape("space", 16, N, E=128) for N in (1024, 4096)),
]
STEPS = [StepShape(16, N) for N in (1024, 4096)]
SMALL = [Shape("time", 4, 6, E=16, width=32), Shape("space", 3, 20, E=16, width=32, hidden=0.25)]
SMALL_STEPS = [StepShape(3, 5, D=16)]


def complaint() -> str | None:
    """What the tests say that run the kernels on this device; compute-sanitizer repeats them where it is installed."""
    tests = [sys.executable, "-m", "pytest", "-x", str(ROOT / "tests" / "kernels" / "test_on_gpu.py")]
    done = subprocess.run(tests, capture_output=True, text=True, cwd=ROOT, check=False)
    if not done.returncode and (tool := shutil.which("compute-sanitizer")):
        tests += ["-k", "300 or 21 or step"]
        # PyTorch keeps memory in pools, within which an access out of bounds would not show.
        environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        # PyTorch asks for functions that a driver may lack, which is no error of ours.
        command = [tool, "--report-api-errors", "no", "--error-exitcode", "9", *tests]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120, env=environment
            )
        except subprocess.TimeoutExpired:
            print("compute-sanitizer did not end within 120 s: accesses to memory are not checked", file=sys.stderr)
    elif not done.returncode:
        print("compute-sanitizer is not installed: accesses to memory are not checked", file=sys.stderr)
    return f"{done.args}\n{done.stdout[-4000:]}{done.stderr[-1000:]}" if done.returncode else None


def milliseconds(run: Callable[[], object], device: torch.device, *, replays: int = 9) -> float:
    """Median time of ``run``, as a CUDA graph."""
    if device.type == "cpu":
        began = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - began)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    found = []
    for _ in range(replays):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(REPLAYS):
            graph.replay()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end) / REPLAYS)
    return median(found)


def copy_rate(device: torch.device, size: int) -> float:
    """Bytes read and written per millisecond."""
    x = torch.zeros(size, dtype=torch.uint8, device=device)
    y = torch.empty_like(x)
    return 2 * size / milliseconds(lambda: y.copy_(x), device)


def measure(
    shape: Any, kinds: tuple[str, ...], ours: str, device: torch.device, deadline: float
) -> Iterator[dict[str, Any]]:
    """Rows of the contenders of one round on one shape."""
    count = 1 + max(1, CACHE_BYTES // (3 * shape.tensor_bytes)) if device.type == "cuda" else 1
    for name, make in shape.contenders(shape.calls(device, count), ours, device):
        if name.split()[0] not in kinds:
            continue
        with kept_going(f"{shape}: {name}", deadline):
            run, calls = make()
            with torch.no_grad():
                forward = milliseconds(lambda: [run(call) for call in calls], device) / count  # noqa: B023
            both = milliseconds(lambda: [with_gradients(run, call) for call in calls], device) / count  # noqa: B023
            yield {"shape": str(shape), "contender": name, "forward_ms": forward, "both_ms": both}


@contextmanager
def kept_going(what: str, deadline: float) -> Iterator[None]:
    """Say on stderr why something was not measured, out of memory or time, not to be compiled or not there; go on."""
    try:
        if time.monotonic() > deadline:
            raise TimeoutError("time is up")
        yield
    except Exception as error:  # noqa: BLE001  # libraries raise anything, and what others measured must not be lost
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:150]
        print(f"{what} is left out: {reason}", file=sys.stderr)


def train_steps(device: torch.device, preset: str, kernels: str, deadline: float) -> dict[str, float]:
    """Milliseconds of a step by what was tried."""
    found = {}
    for compiled, (name, backend) in itertools.product(
        (False, True), (("with kernels", kernels), ("with SDPA", "sdpa"))
    ):
        what = f"{name}{', compiled' if compiled else ''}"
        with kept_going(f"a training step {what}", deadline):
            found[what] = train_step(backend, device, preset, compiled=compiled)
        os.environ.pop("VIDBOOT_ATTENTION", None)
    return found


def train_step(backend: str, device: torch.device, preset: str, *, compiled: bool) -> float:
    """Milliseconds of one step of a preset's clip net."""
    os.environ["VIDBOOT_ATTENTION"] = backend
    config = configs.read(preset=preset)
    B, T, H, W = config.clip.train.batch, config.clip.window, config.video.height, config.video.width
    torch.manual_seed(0)
    net = FactorizedNet(config.clip.net).to(device)
    for block in net.blocks if compiled else ():
        block.compile(backend="inductor" if device.type == "cuda" else "eager")
    model = NetDenoiser(net, torch.zeros(3, device=device), precision=torch.bfloat16)
    optimizer = Optimizer(model, config.clip.train.optim, precision=torch.bfloat16)
    video = torch.rand(B, T, 3, H, W, device=device) * 2 - 1
    clips = Batch(video, (torch.arange(T, device=device) / config.video.fps).expand(B, T))
    sigma, times = torch.full((B,), 0.5, device=device), []
    for step in range(3 + TRAIN_STEPS if device.type == "cuda" else 1):
        began = time.perf_counter()
        view_loss(model, clips, sigma, torch.randn_like(video)).backward()
        optimizer.step(step + 1, 1000)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - began))
    return median(times[-TRAIN_STEPS:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="check, measure, write the CSV and the table")
    what.add_argument("--dry-run", action="store_true", help="the same in small on a CPU, nothing kept")
    parser.add_argument("--csv", type=Path, default=Path("bench_attention.csv"))
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the tables")
    args = parser.parse_args()
    if args.all and not torch.cuda.is_available():
        print("bench_attention needs a CUDA device, and torch finds none; --dry-run runs without", file=sys.stderr)
        return 2
    os.environ.pop("VIDBOOT_ATTENTION", None)  # it would turn all into one
    deadline = time.monotonic() + SECONDS
    if args.all and (found := complaint()):
        print(f"something is wrong, so no times:\n{found}", file=sys.stderr)
        return 1
    torch._dynamo.config.recompile_limit = 64  # type: ignore[attr-defined]  # one for each shape
    device, ours, preset = (
        (torch.device("cuda"), "triton", "base") if args.all else (torch.device("cpu"), "reference", "smoke")
    )
    shapes, steps = (SHAPES, STEPS) if args.all else (SMALL, SMALL_STEPS)
    same = {"device": torch.cuda.get_device_name() if args.all else "none: a dry run, whose times mean nothing"}
    same |= {"torch": torch.__version__, "triton": version("triton"), "commit": commit()}
    rate = copy_rate(device, 2**30 if args.all else 2**20)
    rows: list[dict[str, Any]] = []
    trained: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as unkept:
        readme, path = ROOT / "kernels" / "README.md", args.csv
        if args.dry_run:
            readme, path = Path(shutil.copy(readme, unkept)), Path(unkept) / "times.csv"
        for kinds in ROUNDS:
            for shape in [*shapes, *steps]:
                rows += measure(shape, kinds, ours, device, deadline)
            trained = trained or train_steps(device, preset, "auto" if args.all else ours, deadline)
            print(f"{', '.join(kinds)}: measured", file=sys.stderr, flush=True)
            text = ", ".join(f"{key} {value}" for key, value in same.items()) + "; ms, bfloat16, B = 2, width 1024; "
            text += f"{rate / 1e9:.2f} TB/s copied (read + written). {said_of_steps(preset, trained)}."
            text += f"\n\n{table(shapes, rows, rate)}\n\n{step_table(steps, rows, rate)}"
            write(readme, text)
            keep(path, [row | same for row in rows])
    if args.json:
        text = json.dumps(same | {"copy_bytes_per_ms": rate, "train_step_ms": trained, "rows": rows})
    print(text)
    return 0


def commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip() or "unknown"


def keep(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    raise SystemExit(main())

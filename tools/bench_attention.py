"""The kernels on a GPU: first whether they are right, then what they cost beside what PyTorch offers.

    python tools/bench_attention.py --all

Right: what tests/kernels/test_on_gpu.py says; compute-sanitizer, if installed, must find nothing in it. If anything is
wrong no time is printed. Cost: each shape on slices of a fused projection, norm, rotation and layout
included, against SDPA by each of its kernels (norm, rotation and the copies it needs compiled by torch.compile),
FlexAttention compiled (the making of its mask not counted) and xformers; "bare" is SDPA on contiguous inputs that are
normed already. Times are medians over replays of a CUDA graph that walks over more inputs than the cache holds; shares
are of the copy rate measured in the same run. Gate, norm and modulation are timed likewise beside plain PyTorch,
compiled and eager. Then one training step of configs/base.toml, kernels on and off.

``--dry-run`` does the same on a CPU with small shapes and the reference in place of the kernels; its times mean nothing
and are not written.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from attention_contenders import Shape, with_gradients
from modulation_contenders import StepShape

from vidboot import config as configs
from vidboot.denoiser import NetDenoiser
from vidboot.losses import Batch, view_loss
from vidboot.nets.factorized import FactorizedNet
from vidboot.optim import Optimizer

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- begin: python tools/bench_attention.py --all -->", "<!-- end: bench_attention -->"
SECONDS = 420
"""After so long no more is measured, and 2 minutes before no more of FlexAttention and xformers."""
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
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        print("compute-sanitizer is not installed: accesses to memory are not checked", file=sys.stderr)
    repeated = [] if tool is None else [[tool, "--error-exitcode", "9", *tests, "-k", "300 or 21 or step"]]
    for command in [tests, *repeated]:
        try:
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            return f"{' '.join(command)} did not end within 120 s"
        if done.returncode:
            return f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-1000:]}"
    return None


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
        graph.replay()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end))
    return median(found)


def copy_rate(device: torch.device, size: int) -> float:
    """Bytes read and written per millisecond."""
    x = torch.zeros(size, dtype=torch.uint8, device=device)
    y = torch.empty_like(x)
    return 2 * size / milliseconds(lambda: y.copy_(x), device)


def measure(shape: Any, ours: str, device: torch.device, deadline: float) -> Iterator[dict[str, Any]]:
    """Rows of one shape; a contender that cannot run here is left out, with its reason on stderr."""
    count = 1 + max(1, CACHE_BYTES // (3 * shape.tensor_bytes)) if device.type == "cuda" else 1
    for name, make in shape.contenders(shape.calls(device, count), ours, device):
        if time.monotonic() > deadline - (120 if name in ("flex", "xformers") else 0):
            print(f"{shape}: {name} is left out, as time is up", file=sys.stderr)
            continue
        try:
            run, calls = make()
            with torch.no_grad():
                forward = milliseconds(lambda: [run(call) for call in calls], device) / count  # noqa: B023
            both = milliseconds(lambda: [with_gradients(run, call) for call in calls], device) / count  # noqa: B023
        except (RuntimeError, ValueError, ImportError) as error:
            print(f"{shape}: {name} is left out: {str(error).strip().splitlines()[0][:150]}", file=sys.stderr)
            continue
        yield {"shape": str(shape), "contender": name, "forward_ms": forward, "both_ms": both}


def train_step(backend: str, device: torch.device, preset: str) -> float:
    """Milliseconds of one step of a preset's clip net, its blocks compiled."""
    os.environ["VIDBOOT_ATTENTION"] = backend
    config = configs.read(preset=preset)
    B, T, H, W = config.clip.train.batch, config.clip.window, config.video.height, config.video.width
    torch.manual_seed(0)
    net = FactorizedNet(config.clip.net).to(device)
    for block in net.blocks:
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
    del os.environ["VIDBOOT_ATTENTION"]
    return median(times[-TRAIN_STEPS:])


def table(shapes: list[Shape], rows: list[dict[str, Any]], rate: float | None) -> str:
    """Of attention, in markdown; what was not measured says so."""
    lines = ["| shape | pass | ours | best SDPA | its / our time | bare SDPA | flex | xformers | of copy rate |"]
    lines.append("|---" * 9 + "|")
    for shape, name, ms in passes(shapes, rows):
        ours, best = ms.get("ours"), least(ms, "sdpa")
        cells = [said(x, "{:.3f}") for x in (ours, best, least(ms, "bare"), ms.get("flex"), ms.get("xformers"))]
        cells.insert(2, said(best / ours if ours and best else None, "{:.2f}"))
        cells.append(share(shape, name, ours, rate) if shape.op == "time" else "")
        lines.append(line(shape, name, cells, bool(ms)))
    return "\n".join(lines)


def step_table(shapes: list[StepShape], rows: list[dict[str, Any]], rate: float | None) -> str:
    """Of gate, norm and modulation, in markdown."""
    lines = ["| shape | pass | ours | compiled | its / our time | eager | of copy rate |", "|---" * 7 + "|"]
    for shape, name, ms in passes(shapes, rows):
        ours, best = ms.get("ours"), ms.get("compiled")
        cells = [said(x, "{:.3f}") for x in (ours, best, ms.get("eager"))]
        cells.insert(2, said(best / ours if ours and best else None, "{:.2f}"))
        cells.append(share(shape, name, ours, rate))
        lines.append(line(shape, name, cells, bool(ms)))
    return "\n".join(lines)


def passes(shapes: list[Any], rows: list[dict[str, Any]]) -> Iterator[tuple[Any, str, dict[str, float]]]:
    """Each shape and pass, with the milliseconds of each contender."""
    for shape, name in itertools.product(shapes, ("forward", "both")):
        yield shape, name, {row["contender"]: row[f"{name}_ms"] for row in rows if row["shape"] == str(shape)}


def line(shape: object, name: str, cells: list[str], measured: bool) -> str:
    return f"| {shape} | {name} | {' | '.join(cells if measured else ['not measured', *[''] * (len(cells) - 1)])} |"


def share(shape: Any, name: str, ours: float | None, rate: float | None) -> str:
    return said(shape.tensors[name] * shape.tensor_bytes / ours / rate if ours and rate else None, "{:.0%}")


def least(ms: dict[str, float], kind: str) -> float | None:
    return min((x for name, x in ms.items() if name.startswith(kind)), default=None)


def said(x: float | None, form: str) -> str:
    return "not measured" if x is None else form.format(x)


def write(path: Path, text: str) -> None:
    """Put the table between its markers in a file."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} lacks the line {BEGIN} or {END}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="check, measure, write the CSV and the table")
    what.add_argument("--dry-run", action="store_true", help="the same in small on a CPU, nothing kept")
    parser.add_argument("--csv", type=Path, default=Path("bench_attention.csv"))
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
    rows = []
    rate = copy_rate(device, 2**30 if args.all else 2**20)
    on, off = (train_step(backend, device, preset) for backend in (ours, "sdpa"))
    for shape in [*shapes, *steps]:
        rows += measure(shape, ours, device, deadline)
        print(f"{shape} is measured", file=sys.stderr, flush=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    same = {"device": torch.cuda.get_device_name() if args.all else "none: a dry run, whose times mean nothing"}
    same |= {"torch": torch.__version__, "triton": version("triton"), "commit": commit.stdout.strip() or "unknown"}
    text = ", ".join(f"{key} {value}" for key, value in same.items()) + "; ms, bfloat16, B = 2, width 1024; "
    text += f"{rate / 1e9:.2f} TB/s copied (read + written). One training step of {preset}: {on:.1f} ms with kernels, "
    text += f"{off:.1f} with SDPA, ratio {off / on:.2f}.\n\n{table(shapes, rows, rate)}"
    text += f"\n\n{step_table(steps, rows, rate)}"
    print(text)
    with tempfile.TemporaryDirectory() as unkept:
        readme, path = ROOT / "kernels" / "README.md", args.csv
        if args.dry_run:
            readme, path = Path(shutil.copy(readme, unkept)), Path(unkept) / "times.csv"
        write(readme, text)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0], *same])
            writer.writeheader()
            writer.writerows(row | same for row in rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What bench_attention found, in markdown; what was not measured says so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attention_contenders import Shape
from modulation_contenders import StepShape

BEGIN, END = "<!-- begin: python tools/bench_attention.py --all -->", "<!-- end: bench_attention -->"


def table(shapes: list[Shape], rows: list[dict[str, Any]], rate: float | None) -> str:
    """Of attention."""
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
    """Of gate, norm and modulation."""
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


def said_of_steps(preset: str, steps: dict[str, float]) -> str:
    """Milliseconds of training steps by what was tried, in one sentence."""
    if not steps:
        return f"A training step of {preset}: not measured"
    times = ", ".join(f"{name} {ms:.1f} ms" for name, ms in steps.items())
    ratios = [
        f"{steps[f'with SDPA{how}'] / steps[f'with kernels{how}']:.2f}{how}"
        for how in ("", ", compiled")
        if {f"with SDPA{how}", f"with kernels{how}"} <= steps.keys()
    ]
    return f"A training step of {preset}: {times}" + (f"; ratio {' and '.join(ratios)}" if ratios else "")

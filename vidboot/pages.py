"""How a folder and an evaluation are shown: sections of a page, the page itself, and lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidboot import metrics, report
from vidboot.data.encode import to_uint8
from vidboot.data.ledger import Line, filtered
from vidboot.data.records import FileRecord
from vidboot.evaluate import Evaluation
from vidboot.report import write_report
from vidboot.report.page import allowed
from vidboot.run import Run

VIEW_NAMES = {
    "full": "long, sharp, clean",
    "low_res": "small and long",
    "short_clip": "sharp and short",
    "masked": "subtitled or damaged, through masks",
    "unused": "nothing",
}

MEMORY_SLACK = 0.1
"""Memory may fall behind that of real video by this much."""
RANGE = (0.7, 1.4)
"""Share of real motion, spread and detail within which memory counts."""

MEMORISED = 0.5
"""Distance to the nearest training clip, over that of real video, below which clips are copies."""

MEANINGS = {
    "motion_energy": ("motion energy", "mean squared difference of neighbouring frames, over that of real video"),
    "spread": ("spread across videos", "variance between videos of their mean frame, over that of real video"),
    "high_band_energy": ("detail", "energy above the low-res band, over that of real video"),
    "flicker": ("flicker", "mean squared second difference in time, over that of real video"),
}

PAINTED = {
    "leak_score": ("marks painted", "correlation with the training clips' mark that shows most; real video is clean"),
    "text_hits_per_100_frames": ("text painted", "lines of text found in 100 frames"),
}


def ledger_rows(files: Sequence[FileRecord], lines: Sequence[Line]) -> list[report.LedgerRow]:
    """Return how much video teaches each view, beside what filtering keeps of it."""
    kept = filtered(files, lines)

    def row(view: str, name: str) -> report.LedgerRow:
        of_view = [line for line in lines if line.view == view]
        paths = {line.path for line in of_view}
        return report.LedgerRow(name, seconds_of(of_view), seconds_of(kept) if view == "full" else 0.0, len(paths))

    return [row(view, name) for view, name in VIEW_NAMES.items()]


def seconds_of(lines: Sequence[Line]) -> float:
    return sum((line.seconds for line in lines), 0.0)


def refused(files: Sequence[FileRecord]) -> list[report.Refused]:
    """Return the files that teach nothing, by reason."""
    by_reason: dict[str, list[str]] = {}
    for file in files:
        if file.reason is not None:
            by_reason.setdefault(file.reason.value, []).append(file.path)
    return [report.Refused(reason, paths) for reason, paths in by_reason.items()]


def page_sections(evaluation: Evaluation, *, most_videos: int = 8) -> dict[str, Any]:
    """Return the parts of a report that show an evaluation: samples, lag curves, measures, losses per noise level."""
    numbers = evaluation.numbers
    notes = {"real": "videos of the folder that is measured on"}
    return {
        "samples": [
            report.Samples(policy, [to_uint8(x) for x in videos[:most_videos]], evaluation.fps, notes.get(policy, ""))
            for policy, videos in evaluation.videos.items()
        ],
        "lag_curves": [
            report.LagCurve(policy, [lag / evaluation.fps for lag in evaluation.lags], curve)
            for policy, curve in evaluation.curves.items()
        ],
        "metrics": list(_measures(numbers)),
        "sigma_losses": [
            report.SigmaLoss(policy, float(sigma), loss)
            for policy, bands in numbers.get("held_out_bands", {}).items()
            for sigma, loss in bands.items()
        ],
    }


def _measures(numbers: Mapping[str, Any]) -> Iterator[report.Metric]:
    def metric(name: str, meaning: str, values: Mapping[str, float], allowed: Any = (None, None)) -> report.Metric:
        return report.Metric(name, meaning, {k: report.Measured(v) for k, v in values.items()}, allowed)

    memory = numbers["lag_correlation"]
    yield metric(
        "memory of colour",
        f"correlation {numbers['lag']} frames apart; 1 = the same things are still there",
        memory,
        (memory["real"] - MEMORY_SLACK, None),
    )
    for key, (name, meaning) in MEANINGS.items():
        real = numbers[key]["real"]
        allowed = RANGE if key != "flicker" else (None, None)
        yield metric(name, meaning, {k: metrics.over(v, real) for k, v in numbers[key].items()}, allowed)
    yield metric("memory of motion", "correlation of speed as far apart", numbers["motion_lag_correlation"])
    if numbers["seam_ratio"]:
        meaning = "frame difference where windows join over that elsewhere; 1 = none"
        yield metric("seams", meaning, numbers["seam_ratio"])
    yield metric("colour drift", "absolute slope of the mean colour, per second", numbers["colour_drift_slope"])
    if numbers["nearest_training_clip"] is not None:
        meaning = "distance to the nearest training clip; far below real = memorised"
        yield metric("novelty", meaning, numbers["nearest_training_clip"])
    for key, (name, meaning) in PAINTED.items():
        if numbers[key] is not None:
            yield metric(name, meaning, numbers[key])
    if "held_out_loss" in numbers:
        meaning = "weighted denoising loss on held-out videos, mean over noise levels; lower is better"
        yield metric("held-out loss", meaning, numbers["held_out_loss"])
        missed = numbers["missed_nats_per_dimension"]
        values = {policy: report.Measured(**of) for policy, of in missed["by_policy"].items()}
        yield report.Metric("correlation missed", missed["meaning"].partition(", ")[2], values)


def write_page(path: Path, evaluation: Evaluation, run: Run) -> None:
    """Write the evaluation as one self-contained page."""
    write_report(
        path,
        report.Report(
            title=f"Evaluation of {run.path.name}",
            verdict=verdict(evaluation.numbers),
            losses=run.metrics(),
            details={"frames": str(evaluation.frames), "samples": _counted(evaluation)},
            **page_sections(evaluation),
        ),
    )


def verdict(numbers: Mapping[str, Any]) -> str:
    """Say how well a run remembers, and what takes that back."""
    memory = numbers["lag_correlation"]
    best = "full" if "full" in memory else next(name for name in memory if name != "real")
    said = f"{numbers['lag']} frames on, {best} keeps {kept(memory[best])} of what a frame shows; "
    said += f"real video keeps {kept(memory['real'])}.{doubts(numbers, best)}"
    if seen := numbers["trained_on"]:
        said += f" {seen} of the {numbers['real_videos']} real videos were trained on: of these it says nothing."
    return said


def kept(correlation: float) -> str:
    """Write how much of a frame is kept; of videos that are all alike that cannot be told."""
    return "an unknown share" if math.isnan(correlation) else f"{correlation:.2f}"


def doubts(numbers: Mapping[str, Any], policy: str) -> str:
    """Return the sentence that takes back what a policy remembers, or nothing."""
    ratios = {MEANINGS[key][0]: metrics.over(numbers[key][policy], numbers[key]["real"]) for key in metrics.HEALTH}
    wrong = [f"{name} {ratio:.3g}" for name, ratio in ratios.items() if ratio < RANGE[0] or ratio > RANGE[1]]
    told = f" But over those of real video its {', '.join(wrong)} should lie between {RANGE[0]} and {RANGE[1]}."
    told = told if wrong else ""
    nearest = numbers.get("nearest_training_clip")
    if nearest and metrics.over(nearest[policy], nearest["real"]) < MEMORISED:
        told += " But it copies training clips: it is more than twice as near to them as real video is."
    return told


def _counted(evaluation: Evaluation) -> str:
    return ", ".join(f"{count} {policy}" for policy, count in evaluation.numbers["samples"].items())


def format_numbers(evaluation: Evaluation, page: Path) -> str:
    """Return the verdict and the measures as lines for a person to read; what is outside its range is marked."""
    lines = [
        verdict(evaluation.numbers),
        f"samples of {evaluation.frames} frames: {_counted(evaluation)}; page: {page}",
    ]
    for measure in _measures(evaluation.numbers):
        values = "  ".join(f"{policy} {_written(measure, policy)}" for policy in measure.values)
        passes = f"  (allowed: {allowed(measure)})" if allowed(measure) else ""
        lines.append(f"{measure.name:<22} {values}{passes}")
    return "\n".join(lines)


def _written(measure: report.Metric, policy: str) -> str:
    measured, fails = measure.values[policy], measure.allowed != (None, None) and not measure.passes(policy)
    value = "unknown" if math.isnan(measured.value) else f"{measured.value:.3f}{'!' * fails}"
    if measured.low is None or measured.high is None:
        return value
    return f"{measured.value:.4f} ({measured.low:.4f} to {measured.high:.4f})"

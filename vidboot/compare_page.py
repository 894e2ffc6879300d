"""The page of a comparison: numbers, and the videos of all policies side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vidboot import metrics, pages, report
from vidboot.comparison import Comparison, Table, verdict
from vidboot.data.encode import to_uint8
from vidboot.held_out import MISSED

MOST_SHOWN = 8
"""Videos of each policy."""


def page(comparison: Comparison, table: Table) -> report.Report:
    """Return the page."""
    keep, config = comparison.keep, comparison.config
    seen = {"real": (keep.evaluation, "real", "videos set aside; no policy has seen them")} | {
        one.curation.name: (one.trained.evaluation, one.trained.best, f"{one.curation.meaning}; {one.amount}")
        for one in comparison.contenders
        if one.trained
    }
    seconds = [lag / config.video.fps for lag in keep.evaluation.lags]
    return report.Report(
        title=comparison.title,
        verdict=verdict(comparison, table),
        headlines=list(_headlines(comparison, table)),
        ledger=pages.ledger_rows(comparison.folder.files, comparison.folder.lines(config)),
        refused=pages.refused(comparison.folder.files),
        samples=[
            report.Samples(name, [to_uint8(x) for x in of.videos[best][:MOST_SHOWN]], of.fps, note)
            for name, (of, best, note) in seen.items()
        ],
        lag_curves=[report.LagCurve(name, seconds, of.curves[best]) for name, (of, best, _) in seen.items()],
        clip_seconds=config.clip.window / config.video.fps,
        metrics=list(_metrics(table)),
        losses=[
            {**row, "stage": f"{name}: {row['stage']}"}
            for name, one in comparison.trained.items()
            for row in one.run.metrics()
        ],
        sigma_losses=[
            report.SigmaLoss(name, float(sigma), loss)
            for name, one in comparison.trained.items()
            for sigma, loss in one.evaluation.numbers["held_out_bands"][one.best].items()
        ],
        details=_details(comparison),
    )


def _headlines(comparison: Comparison, table: Table) -> Iterator[report.Headline]:
    for one in comparison.contenders:
        name, ratios = one.curation.name, table["loss_over_keep"]
        if one.trained is None:
            yield report.Headline("0 clips", f"{one.finds}: it has nothing to train on")
        elif name in ratios:
            low, high = ratios[name].low, ratios[name].high
            yield report.Headline(
                f"{ratios[name].value:.2f}×", f"held-out loss of {name} over that of keep ({low:.2f} to {high:.2f})"
            )
    yield report.Headline(_flop(comparison.keep.flops), "of matrix products train each policy")


def _metrics(table: Table) -> Iterator[report.Metric]:
    def metric(key: str, name: str, meaning: str, allowed: tuple[float | None, float | None] = (None, None)) -> Any:
        return report.Metric(name, meaning, table[key], allowed)

    yield metric("held_out_loss", "held-out loss", "weighted denoising loss, mean over noise levels; lower is better")
    yield metric("loss_over_keep", "held-out loss over keep's", "paired by video; above 1 keep is better")
    kept = table["lag_correlation"]["real"].value
    told = "correlation of colours at 3/4 of the length; 1 = the same things are still there"
    yield metric("lag_correlation", "memory of colour", told, (kept - pages.MEMORY_SLACK, None))
    for key in metrics.HEALTH:
        yield metric(key, *pages.MEANINGS[key], pages.RANGE)
    yield metric("missed_nats_per_dimension", "correlation missed", MISSED.partition(", ")[2])


def _details(comparison: Comparison) -> dict[str, str]:
    seconds = {name: f"{one.optimisation_seconds:.0f} s" for name, one in comparison.trained.items()}
    flops = {name: f"{one.flops:.5g}" for name, one in comparison.trained.items()}
    return {
        "seed": str(comparison.config.seed),
        "target": str(comparison.config.target),
        "torch": str(comparison.keep.run.record["torch"]),
        "FLOPs of training": _listed(flops),
        "time in its steps, on this machine": _listed(seconds),
        "net that is measured": _listed({name: one.best for name, one in comparison.trained.items()}),
        "samples": str(len(comparison.keep.videos)),
        "set aside": ", ".join(shot.path for shot in comparison.held_out),
        "other versions of these, left out": ", ".join(comparison.other_versions) or "none found",
    }


def _flop(flops: int) -> str:
    for scale, unit in ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP")):
        if flops >= scale:
            return f"{flops / scale:.1f} {unit}"
    return f"{flops / 1e6:.1f} MFLOP"


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def format_table(result: Mapping[str, Any]) -> str:
    """Return the result as lines for a person to read."""
    lines = [result["verdict"]]
    for name, of in result["policies"].items():
        loss = of.get("held_out_loss")
        told = f"held-out loss {loss['value']:.4f} ({loss['low']:.4f} to {loss['high']:.4f})" if loss else "not trained"
        lines.append(f"{name:<8} {told}; {of['finds']}")
    return "\n".join([*lines, f"open {result['page']}"])

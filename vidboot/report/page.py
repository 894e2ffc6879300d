"""The page: one function per section, each a record in and HTML out. Every string from outside is escaped."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from vidboot.files import check_writable, write_text
from vidboot.report.media import enlarge, filmstrip, image_url, mosaic, video_url
from vidboot.report.model import LagCurve, LedgerRow, Metric, Refused, Report, Samples, SigmaLoss
from vidboot.report.plots import Axis, Series, line_plot, number, short
from vidboot.report.style import STYLE

PALETTE = 7  # colours beside that of the text
LISTED_FILES = 50
PLOTTED_POINTS = 300
COLUMNS = 4
STRIP_FRAMES = 12
# Nothing but what is in the file may be loaded, whatever a name in it says.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


def write_report(path: Path, report: Report) -> None:
    """Write one self-contained HTML file, whole or not at all.

    Raises:
        ValueError: ``path`` cannot be written, or a record does not fit (see `vidboot.report.model`).
    """
    check_writable(path)
    write_text(path, render(report))


def render(report: Report) -> str:
    """Return the page as HTML."""
    colours = policy_colours(report)
    sections = [
        _header(report),
        _ledger(report.ledger, report.refused),
        _samples(report.samples, colours),
        _memory(report.lag_curves, report.clip_seconds, colours),
        _metrics(report.metrics),
        _losses(report.losses),
        _sigma_losses(report.sigma_losses, colours),
        _details(report.details),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body><main>\n{chr(10).join(filter(None, sections))}\n</main></body>\n</html>\n"
    )


def policy_colours(report: Report) -> dict[str, int]:
    """Number of each policy's colour: 0, that of the text, for "real", the palette in order for the others."""
    shown = (*report.samples, *report.lag_curves, *report.sigma_losses)
    others = [name for name in dict.fromkeys(one.policy for one in shown) if name != "real"]
    return {"real": 0} | {name: 1 + i % PALETTE for i, name in enumerate(others)}


def duration(seconds: float) -> str:
    """Write seconds as a person reads them: 0.5 s, 45 s, 3 min 20 s, 12 h 05 min."""
    if seconds < 10:
        return f"{short(round(seconds, 1))} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min".replace(",", " ")


def _section(title: str, lead: str, body: str) -> str:
    return f'<section>\n<h2>{escape(title)}</h2>\n<p class="lead">{escape(lead)}</p>\n{body}\n</section>'


def _header(report: Report) -> str:
    tiles = "".join(f"<div><dt>{escape(h.value)}</dt><dd>{escape(h.meaning)}</dd></div>" for h in report.headlines)
    return (
        f'<header><h1>{escape(report.title)}</h1>\n<p class="verdict">{escape(report.verdict)}</p>\n'
        + (f'<dl class="headlines">{tiles}</dl>' if tiles else "")
        + "</header>"
    )


def _ledger(rows: Sequence[LedgerRow], refused: Sequence[Refused]) -> str:
    if not rows and not refused:
        return ""
    table = _ledger_table(rows) if rows else ""
    lists = "".join(_refused(one) for one in sorted(refused, key=lambda one: -len(one.files)))
    return _section(
        "What the folder teaches",
        "Seconds of video that train each view, beside what is left when every partial file is thrown away.",
        table + (f"<h3>Files that teach nothing</h3>\n{lists}" if lists else ""),
    )


def _ledger_table(rows: Sequence[LedgerRow]) -> str:
    longest = max(max(row.seconds, row.filtered_seconds) for row in rows) or 1
    body = "".join(
        f"<tr><th>{escape(row.view)}<small>{row.files} {'file' if row.files == 1 else 'files'}</small></th>"
        f"<td>{duration(row.seconds)}</td><td>{duration(row.filtered_seconds)}</td>"
        f'<td class="wide"><span class="bar c1" style="width:{100 * row.seconds / longest:.2f}%"></span>'
        f'<span class="bar c2" style="width:{100 * row.filtered_seconds / longest:.2f}%"></span></td></tr>'
        for row in rows
    )
    return (
        '<div class="scroll"><table><thead><tr><th>View</th>'
        '<th><span class="key c1"></span>trains</th><th><span class="key c2"></span>filtering keeps</th>'
        f"<th></th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def _refused(refused: Refused) -> str:
    names = "".join(f"<li>{escape(name)}</li>" for name in refused.files[:LISTED_FILES])
    more = len(refused.files) - LISTED_FILES
    return (
        f"<details><summary>{len(refused.files)} × {escape(refused.reason)}</summary><ul>{names}"
        + (f"<li>and {more} more</li>" if more > 0 else "")
        + "</ul></details>\n"
    )


def _samples(samples: Sequence[Samples], colours: Mapping[str, int]) -> str:
    if not samples:
        return ""
    return _section(
        "Videos",
        "Each row below a mosaic is its first video, from its first frame to its last.",
        f'<div class="samples">{"".join(_mosaic(one, colours[one.policy]) for one in samples)}</div>',
    )


def _mosaic(samples: Samples, colour: int) -> str:
    tiles = [enlarge(video) for video in samples.videos]
    movie = video_url(mosaic(tiles, COLUMNS), samples.fps)
    strip = image_url(filmstrip(tiles[0], STRIP_FRAMES))
    name = escape(samples.policy, quote=True)
    return (
        f'<figure><figcaption><b><span class="key c{colour}"></span>{name}</b> {escape(samples.note)}</figcaption>'
        f'<video src="{movie}" aria-label="{name}" autoplay loop muted playsinline controls></video>'
        f'<img class="strip" src="{strip}" alt="Frames of the first video, {name}"></figure>'
    )


def _memory(curves: Sequence[LagCurve], clip_seconds: float | None, colours: Mapping[str, int]) -> str:
    if not curves:
        return ""
    series = [Series(c.policy, c.lag_seconds, c.correlation, colours[c.policy]) for c in curves]
    lowest = min([0.0, *(v for c in curves for v in c.correlation if math.isfinite(v))])
    mark = None if clip_seconds is None else (clip_seconds, "one clip")
    plot = line_plot(series, Axis("lag, s"), Axis("correlation", limits=(lowest, 1.02)), mark=mark)
    return _section(
        "Memory",
        "Correlation of the colours in a frame with those in a later frame of the same video: "
        "1 = what is there stays, 0 = it is forgotten.",
        f'<div class="plots one">{plot}</div>',
    )


def _metrics(metrics: Sequence[Metric]) -> str:
    if not metrics:
        return ""
    named = dict.fromkeys(policy for metric in metrics for policy in metric.values)
    policies = sorted(named, key=lambda policy: policy != "real")
    head = "".join(f"<th>{escape(policy)}</th>" for policy in policies)
    body = "".join(
        f"<tr><th>{escape(metric.name)}<small>{escape(metric.meaning)}</small></th><td>{allowed(metric)}</td>"
        + "".join(_value(metric, policy) for policy in policies)
        + "</tr>"
        for metric in metrics
    )
    return _section(
        "Numbers",
        "A value outside its allowed range is marked ✕. Small figures: 90 % interval over videos.",
        f'<div class="scroll"><table><thead><tr><th>Measure</th><th>allowed</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>",
    )


def allowed(metric: Metric) -> str:
    """Write the range within which a measure passes; nothing if any value does."""
    low, high = metric.allowed
    if low is not None and high is not None:
        return f"{short(low)} to {short(high)}"
    if low is not None:
        return f"≥ {short(low)}"
    return "" if high is None else f"≤ {short(high)}"


def _value(metric: Metric, policy: str) -> str:
    if policy not in metric.values:
        return "<td></td>"
    measured = metric.values[policy]
    interval = ""
    if measured.low is not None and measured.high is not None:
        interval = f"<small>{number(measured.low)} to {number(measured.high)}</small>"
    if metric.allowed == (None, None) or metric.passes(policy):
        return f"<td>{number(measured.value)}{interval}</td>"
    return f'<td class="fails">✕ {number(measured.value)}{interval}</td>'


def _losses(rows: Sequence[Mapping[str, object]]) -> str:
    stages = list(dict.fromkeys(str(row["stage"]) for row in rows))
    plots = [_loss_plot(stage, [row for row in rows if str(row["stage"]) == stage]) for stage in stages]
    body = "".join(f"<div><h3>{escape(stage)}</h3>{plot}</div>" for stage, plot in zip(stages, plots, strict=True))
    return _section("Training", "Weighted denoising loss.", f'<div class="plots">{body}</div>') if body else ""


def _loss_plot(stage: str, rows: Sequence[Mapping[str, object]]) -> str:
    series = []
    for colour, (key, name) in enumerate((("train_loss", "training"), ("held_out_loss", "held out")), start=1):
        points = [(float(str(row["step"])), float(str(row[key]))) for row in rows if row.get(key) is not None]
        if points:
            x, y = thin(points)
            series.append(Series(name, x, y, colour))
    if not any(math.isfinite(v) and v > 0 for s in series for v in s.y):
        return "<p>No loss was recorded.</p>"
    return line_plot(series, Axis("step"), Axis("loss", log=True))


def thin(points: Sequence[tuple[float, float]], *, most: int = PLOTTED_POINTS) -> tuple[list[float], list[float]]:
    """Average neighbouring (x, y) so that at most ``most`` points are left."""
    groups = np.array_split(np.array(points, float), min(most, len(points)))
    return [float(g[:, 0].mean()) for g in groups], [float(g[:, 1].mean()) for g in groups]


def _sigma_losses(rows: Sequence[SigmaLoss], colours: Mapping[str, int]) -> str:
    if not rows:
        return ""
    policies: dict[str, list[SigmaLoss]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.sigma):
        policies[row.policy].append(row)
    series = [
        Series(policy, [at.sigma for at in levels], [at.loss for at in levels], colours[policy])
        for policy, levels in policies.items()
    ]
    plot = line_plot(series, Axis("noise level sigma", log=True), Axis("held-out loss", log=True))
    return _section("Loss by noise level", "", f'<div class="plots one">{plot}</div>')


def _details(details: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in details.items())
    return _section("How to make it again", "", f'<dl class="details">{rows}</dl>') if rows else ""

"""Line plots as inline SVG: labelled axes, direct labels, colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 480, 300
LEFT, TOP, BOTTOM = 58, 24, 46
LETTER = 7.8  # width of a bold letter of a label in a wide typeface, px
LABEL_LETTERS = 18
LABEL_STEP = 15
TICKS = 5

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line; ``colour`` is a number of the style sheet's palette, points that are not finite leave a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int


@dataclass(frozen=True)
class Axis:
    """Label with its unit; ``limits`` default to the data's."""

    label: str
    log: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool
    start: float
    """Pixel of ``low``."""
    end: float
    """Pixel of ``high``."""

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def holds(self, value: float | None) -> bool:
        return value is not None and math.isfinite(value) and (value > 0 or not self.log)


def line_plot(series: Sequence[Series], x: Axis, y: Axis, *, mark: tuple[float, str] | None = None) -> str:
    """Return an <svg> of the lines; ``mark`` is an x with a name, drawn as a vertical line.

    Raises:
        ValueError: not one point can be drawn.
    """
    right = WIDTH - 16 - LETTER * min(LABEL_LETTERS, max((len(s.name) for s in series), default=0))
    x_scale = _fit(x, [v for s in series for v in s.x] + ([mark[0]] if mark else []), LEFT, right)
    y_scale = _fit(y, [v for s in series for v in s.y], HEIGHT - BOTTOM, TOP)
    parts = [_grid(x, y, x_scale, y_scale)]
    if mark:
        parts.append(_mark(mark, x_scale))
    parts += [_line(s, x_scale, y_scale) for s in series]
    parts.append(_labels(series, x_scale, y_scale))
    label = escape(f"{y.label} against {x.label}: {', '.join(s.name for s in series)}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _fit(axis: Axis, values: Sequence[float], start: float, end: float) -> _Scale:
    drawn = [v for v in values if math.isfinite(v) and (v > 0 or not axis.log)]
    if not drawn and axis.limits is None:
        raise ValueError(f"nothing to draw along {axis.label!r}")
    low, high = axis.limits or (min(drawn), max(drawn))
    if low == high:
        low, high = (low / 2, high * 2) if axis.log else (low - 0.5, high + 0.5)
    elif axis.limits is None and not axis.log and start > end:  # a little air above and below a line
        low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    return _Scale(low, high, axis.log, start, end)


def ticks(low: float, high: float, *, log: bool = False) -> list[float]:
    """Round numbers within [low, high]: about `TICKS` of them."""
    if log:
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digits in ((1,), (1, 3), (1, 2, 5)):
            found = [digit * 10.0**e for e in exponents for digit in digits if low <= digit * 10.0**e <= high]
            if len(found) >= 3:
                return found[:: math.ceil(len(found) / (2 * TICKS))]
    rough = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= 0.95 * rough)
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Write a number with three significant digits: 1.00, 0.0123, −1234."""
    if not math.isfinite(value):
        return "–"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2g}".replace("e+0", "e").replace("e-0", "e-").replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{digits}f}".replace("-", "−")


def short(value: float) -> str:
    """Write a round number without the zeros at its end: 1, 0.5."""
    written = number(value)
    return written.rstrip("0").rstrip(".") if "." in written and "e" not in written else written


def _grid(x: Axis, y: Axis, x_scale: _Scale, y_scale: _Scale) -> str:
    bottom, right = HEIGHT - BOTTOM, x_scale.end
    parts = []
    for value in ticks(y_scale.low, y_scale.high, log=y.log):
        at = y_scale(value)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{right:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value in ticks(x_scale.low, x_scale.high, log=x.log):
        at = x_scale(value)
        parts.append(f'<path class="axis" d="M{at:.1f} {bottom}v5"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{short(value)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {bottom}H{right:.1f}"/>')
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text class="label" x="{(LEFT + right) / 2:.1f}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x.label)}</text>"
        f'<text class="label" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    return "".join(parts)


def _mark(mark: tuple[float, str], x_scale: _Scale) -> str:
    value, name = mark
    at = x_scale(value)
    return (
        f'<path class="mark" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        f'<text class="tick" x="{at:.1f}" y="{TOP - 7}" text-anchor="middle">{escape(name)}</text>'
    )


def _pieces(xs: Sequence[float], ys: Sequence[float], x_scale: _Scale, y_scale: _Scale) -> list[list[Point]]:
    """Pixels of the points, cut where one cannot be drawn."""
    pieces: list[list[Point]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if x_scale.holds(x) and y_scale.holds(y):
            inside = min(max(y, y_scale.low), y_scale.high)
            pieces[-1].append((x_scale(x), y_scale(inside)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _line(series: Series, x_scale: _Scale, y_scale: _Scale) -> str:
    pieces = _pieces(series.x, series.y, x_scale, y_scale)
    dots = "".join(
        f'<circle class="dot c{series.colour}" cx="{piece[0][0]:.1f}" cy="{piece[0][1]:.1f}" r="3"/>'
        for piece in pieces
        if len(piece) == 1
    )
    return f'<path class="line c{series.colour}" d="{"".join(map(_path, pieces))}"/>{dots}'


def _labels(series: Sequence[Series], x_scale: _Scale, y_scale: _Scale) -> str:
    """Names at the lines' right ends, moved apart where they would overlap."""
    ends = [(s, pieces[-1][-1]) for s in series if (pieces := _pieces(s.x, s.y, x_scale, y_scale))]
    ends.sort(key=lambda end: end[1][1])
    heights = spread_apart([y for _, (_, y) in ends], TOP + 6, HEIGHT - BOTTOM, LABEL_STEP)
    parts = []
    for (s, (x, y)), height in zip(ends, heights, strict=True):
        name = s.name if len(s.name) <= LABEL_LETTERS else s.name[: LABEL_LETTERS - 1] + "…"
        parts.append(f'<path class="leader c{s.colour}" d="M{x + 2:.1f} {y:.1f}L{x_scale.end + 9:.1f} {height:.1f}"/>')
        parts.append(
            f'<text class="name c{s.colour}" x="{x_scale.end + 12:.1f}" y="{height + 4:.1f}">{escape(name)}</text>'
        )
    return "".join(parts)


def spread_apart(heights: Sequence[float], low: float, high: float, step: float) -> list[float]:
    """Move increasing ``heights`` as little as a sweep can, to be ``step`` apart and, if they fit, within bounds."""
    placed = list(heights)
    for i, height in enumerate(placed):
        placed[i] = max(height, low if i == 0 else placed[i - 1] + step)
    limit = high
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - step
    assert all(b - a >= step - 1e-6 for a, b in pairwise(placed))
    return placed

"""The page shows what it was given, loads nothing, and cannot be broken by a name."""

import math
import re
import shutil
import subprocess
from dataclasses import fields, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from vidboot import report
from vidboot.report import media, page, plots
from vidboot.report.plots import Axis, Series

EVIL = "<script>alert('&\"')</script>.mp4"
MAGENTA = np.full((8, 32, 32, 3), (255, 0, 255), np.uint8)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "img", "path", "circle"}


def example(name: str = "clips-only") -> report.Report:
    """A report with each section, and ``name`` wherever a string goes."""
    return report.Report(
        title=name,
        verdict=name,
        headlines=[report.Headline(name, name)],
        ledger=[report.LedgerRow(name, 9605, 256, 332), report.LedgerRow("full videos", 256, 256, 1)],
        refused=[report.Refused(name, [name] * 60)],
        samples=[report.Samples(policy, [MAGENTA] * 5, 8, name) for policy in ("real", name)],
        lag_curves=[report.LagCurve(policy, [0, 1, 2], [1, 0.5, math.nan]) for policy in ("real", name)],
        clip_seconds=1,
        metrics=[
            report.Metric(
                name, name, {"real": report.Measured(1), name: report.Measured(0.02, -0.1, 0.1)}, allowed=(0.9, None)
            )
        ],
        losses=[{"stage": name, "step": i, "train_loss": 1 / (i + 1), "held_out_loss": None} for i in range(900)],
        sigma_losses=[report.SigmaLoss(name, 0.1 * 2**i, 0.3) for i in range(4)],
        details={name: name},
    )


class Balance(HTMLParser):
    """Open elements, all elements and all attribute values of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.values: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.values += [value or "" for _, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html() -> str:
    return page.render(example())


@pytest.fixture(scope="module")
def evil_html() -> str:
    return page.render(example(EVIL))


def test_every_element_is_closed_and_every_section_is_there(html: str) -> None:
    parsed = Balance(html)
    assert not parsed.open
    titles = re.findall("<h2>(.*?)</h2>", html)
    assert titles == [
        "What the folder teaches",
        "Videos",
        "Memory",
        "Numbers",
        "Training",
        "Loss by noise level",
        "How to make it again",
    ]
    assert parsed.seen.count("video") == 2
    assert parsed.seen.count("svg") == 3


def test_no_name_becomes_an_element(evil_html: str) -> None:
    parsed = Balance(evil_html)
    assert not parsed.open
    assert "script" not in parsed.seen
    assert parsed.seen == Balance(page.render(example())).seen
    assert evil_html.count("&lt;script&gt;") > 70


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<link|<script", re.sub(r"data:[^\"]*", "", html))
    assert all(value.startswith("data:") for value in re.findall(r'(?:src|href)="([^"]*)"', html))
    assert "default-src 'none'" in html


@pytest.mark.parametrize("name", [field.name for field in fields(report.Report)][2:])
def test_a_section_without_content_is_left_out(name: str) -> None:
    empty = report.Report("a title", "a verdict")
    shown = page.render(replace(empty, **{name: getattr(example(), name)}))
    assert shown.count("<h2>") == (name not in ("headlines", "clip_seconds"))
    assert "<h2>" not in page.render(empty)


def test_a_value_outside_its_range_is_marked_and_not_by_colour_alone(html: str) -> None:
    assert re.findall(r'<td class="fails">(.*?)</td>', html) == ["✕ 0.0200<small>−0.100 to 0.100</small>"]
    metric = example().metrics[0]
    assert metric.passes("real")
    assert not replace(metric, values={"real": report.Measured(math.nan)}).passes("real")
    assert not replace(metric, allowed=(None, 0.5)).passes("real")


def test_the_ledger_compares_seconds(html: str) -> None:
    assert "2 h 40 min" in html
    assert "4 min 16 s" in html
    assert "width:100.00%" in html
    assert "1 file<" in html
    assert "and 10 more" in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.46, "0.5 s"),
        (9.99, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (4e6, "1 111 h 06 min"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert page.duration(seconds) == text


def test_a_policy_has_one_colour_and_real_that_of_the_text(html: str) -> None:
    assert page.policy_colours(example()) == {"real": 0, "clips-only": 1}
    assert 'class="line c0"' in html
    assert 'class="key c1"></span>clips-only' in html


def test_losses_that_are_not_numbers_do_not_break_the_page() -> None:
    rows = [{"stage": "a", "step": i, "train_loss": value} for i, value in enumerate((1.0, math.nan, math.inf, 2.0))]
    assert "<svg" in page.render(report.Report("t", "v", losses=rows))
    assert "No loss was recorded" in page.render(report.Report("t", "v", losses=rows[1:3]))


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    report.write_report(tmp_path / "report.html", report.Report("t", "v"))
    before = (tmp_path / "report.html").read_text()
    broken = report.Report("t", "v", samples=[report.Samples("a", [MAGENTA, MAGENTA[:1]], 8)])
    with pytest.raises(ValueError, match="one shape"):
        report.write_report(tmp_path / "report.html", broken)
    assert (tmp_path / "report.html").read_text() == before
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="cannot write"):
        report.write_report(tmp_path / "no" / "report.html", report.Report("t", "v"))


@pytest.mark.parametrize(("low", "high"), [(0, 1.02), (-3, 7), (0.0012, 0.0018), (0, 1e6), (-0.2, 0.2)])
def test_ticks_are_few_round_and_within(low: float, high: float) -> None:
    found = plots.ticks(low, high)
    assert 3 <= len(found) <= 2 * plots.TICKS
    assert low - 1e-9 <= found[0]
    assert found[-1] <= high + 1e-9
    assert all(len(plots.short(abs(tick))) <= 6 for tick in found)


@pytest.mark.parametrize(("low", "high"), [(0.02, 40), (0.18, 2.3), (1, 1.1), (1e-8, 1e8)])
def test_ticks_of_a_logarithmic_axis_are_within(low: float, high: float) -> None:
    found = plots.ticks(low, high, log=True)
    assert 2 <= len(found) <= 2 * plots.TICKS
    assert all(low <= tick <= high for tick in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1, "1.00"), (-0.5, "−0.500"), (0.0123, "0.0123"), (1234.5, "1234"), (2e-7, "2e−7"), (math.nan, "–")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert plots.number(value) == text


def test_round_numbers_are_short() -> None:
    assert [plots.short(value) for value in (0, 1, -0.5, 100, 1e6)] == ["0", "1", "−0.5", "100", "1e6"]


def test_labels_never_overlap() -> None:
    heights = plots.spread_apart([50, 50, 51, 290, 299], 20, 254, 15)
    assert all(b - a >= 15 for a, b in pairwise(heights))
    assert heights[0] >= 20
    assert heights[-1] <= 254


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    svg = plots.line_plot([Series("a", [0, 1, 2, 3, 4], [0, 1, math.nan, 1, 0], 1)], Axis("x"), Axis("y"))
    [path] = re.findall(r'class="line c1" d="(.*?)"', svg)
    assert path.count("M") == 2
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.line_plot([Series("a", [0, 1], [math.nan, 0], 1)], Axis("x"), Axis("y", log=True))


def test_pixels_are_enlarged_and_tiled_without_blur() -> None:
    videos = [np.full((2, 4, 6, 3), value, np.uint8) for value in (10, 20, 30)]
    tiled = media.mosaic([media.enlarge(video, side=12) for video in videos], 2)
    assert tiled.shape == (2, 2 * 8 + media.GAP, 2 * 12 + media.GAP, 3)
    assert set(np.unique(tiled)) == {0, 10, 20, 30}
    counting = np.arange(9, dtype=np.uint8)[:, None, None, None].repeat(3, -1)
    assert media.filmstrip(counting, 3)[0, :: 1 + media.GAP, 0].tolist() == [0, 4, 8]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_the_page_and_plays_its_videos(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    report.write_report(tmp_path / "report.html", example(EVIL))
    browser = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
        *("--window-size=500,3000", f"--user-data-dir={tmp_path / 'profile'}"),
    ]
    url = (tmp_path / "report.html").as_uri()
    dom = subprocess.run([*browser, "--dump-dom", url], capture_output=True, text=True, timeout=60, check=True).stdout
    assert dom.count("<video") == 2
    assert "</body>" in dom
    assert "<script" not in dom
    subprocess.run(
        [*browser, f"--screenshot={tmp_path / 'page.png'}", url], capture_output=True, timeout=60, check=True
    )
    pixels = iio.imread(tmp_path / "page.png")[..., :3].astype(int)
    magenta = (np.abs(pixels - (255, 0, 255)) < 40).all(-1).mean()
    # The filmstrips alone are 3.3 % of the page: more means that the videos are drawn.
    assert magenta > 0.06

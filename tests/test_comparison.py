"""Intervals of a comparison hold what they are made for."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vidboot.comparison import health_by_video, over_real, verdict
from vidboot.metrics import over
from vidboot.plain import plain
from vidboot.report import Measured


@pytest.mark.parametrize("key", ["motion_energy", "spread"])
def test_ratios_over_few_real_videos_lie_around_the_truth(key: str) -> None:
    """Sixteen samples and five or eight real videos of one law: the ratio is 1, and nine of ten intervals hold it."""
    generator = torch.Generator().manual_seed(0)
    for real in (5, 8):
        below = above = 0
        for _ in range(100):
            a, b = (torch.randn(n, 24, generator=generator) for n in (16, real))
            if key == "motion_energy":  # as energies are: above 0, and a few are much larger
                a, b = a[:, 0].exp(), b[:, 0].exp()
            ratio = over_real(health_by_video(4)[key], a, b)
            assert ratio.low is not None
            assert ratio.high is not None
            below, above = below + (ratio.high < 1), above + (ratio.low > 1)
        assert below + above <= 20


@pytest.mark.parametrize(
    ("low", "high", "films", "told"),
    [
        (1.05, 1.2, 5, "beats filter, the better"),
        (1.01, 1.2, 5, "cannot be told apart"),  # so much do two trainings differ
        (0.8, 0.9, 5, "does not pay here, filter is better"),
        (0.8, 0.99, 5, "cannot be told apart"),
        (1.05, 1.2, 4, "Too few videos"),
    ],
)
def test_a_verdict_says_no_more_than_its_interval_and_number_of_films(
    low: float, high: float, films: int, told: str
) -> None:
    over = {"filter": Measured((low + high) / 2, low, high), "upscale": Measured(high + 1, high, high + 2)}
    assert told in verdict(measured_on(films), {"loss_over_keep": over})


def test_a_verdict_counts_the_videos_that_were_measured_and_not_those_set_aside() -> None:
    over = {"filter": Measured(1.2, 1.1, 1.3)}
    assert "on 64 videos" in verdict(measured_on(64, set_aside=100), {"loss_over_keep": over})
    assert "Too few videos" in verdict(measured_on(4, set_aside=5), {"loss_over_keep": over})


def measured_on(films: int, *, set_aside: int | None = None) -> Any:
    keep = SimpleNamespace(losses=torch.ones(films))
    return SimpleNamespace(keep=keep, held_out=[None] * (set_aside or films), contenders=[])


def test_where_real_video_stands_still_what_moves_has_no_ratio() -> None:
    assert math.isnan(over(0.1, 0.0))
    assert plain({"a": [over(0.1, 0.0), 2.0], "b": math.inf, "c": "nan"}) == {"a": [None, 2.0], "b": None, "c": "nan"}

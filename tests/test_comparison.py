"""Intervals of a comparison hold what they are made for."""

import math

import torch

from vidboot.comparison import _sampled
from vidboot.metrics import over
from vidboot.plain import plain


def test_the_interval_of_the_spread_lies_around_the_truth_and_not_below_it() -> None:
    generator = torch.Generator().manual_seed(0)
    below = above = 0
    for _ in range(60):
        # Eight videos of 24 independent numbers, each of variance 1, which their frames repeat.
        videos = torch.randn(8, 1, 3, 4, 2, generator=generator).expand(8, 9, 3, 4, 2)
        spread = dict(_sampled(videos, 4, 2))["spread"]
        assert spread.low is not None
        assert spread.high is not None
        assert spread.low <= spread.value <= spread.high
        below, above = below + (spread.high < 1), above + (spread.low > 1)
    assert below <= 12
    assert above <= 12


def test_where_real_video_stands_still_what_moves_has_no_ratio() -> None:
    assert math.isnan(over(0.1, 0.0))
    assert plain({"a": [over(0.1, 0.0), 2.0], "b": math.inf, "c": "nan"}) == {"a": [None, 2.0], "b": None, "c": "nan"}

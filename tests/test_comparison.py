"""Intervals of a comparison hold what they are made for."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vidboot.comparison import _mean, _variance, over_real
from vidboot.metrics import over
from vidboot.plain import plain


@pytest.mark.parametrize("statistic", [_mean, _variance])
def test_ratios_over_few_real_videos_lie_around_the_truth(statistic: Callable[[Tensor], float]) -> None:
    """Sixteen samples and five or eight real videos of one law: the ratio is 1, and nine of ten intervals hold it."""
    generator = torch.Generator().manual_seed(0)
    for real in (5, 8):
        below = above = 0
        for _ in range(100):
            a, b = (torch.randn(n, 24, generator=generator) for n in (16, real))
            if statistic is _mean:  # as energies are: above 0, and a few are much larger
                a, b = a[:, 0].exp(), b[:, 0].exp()
            ratio = over_real(statistic, a, b)
            assert ratio.low is not None
            assert ratio.high is not None
            below, above = below + (ratio.high < 1), above + (ratio.low > 1)
        assert below + above <= 20


def test_where_real_video_stands_still_what_moves_has_no_ratio() -> None:
    assert math.isnan(over(0.1, 0.0))
    assert plain({"a": [over(0.1, 0.0), 2.0], "b": math.inf, "c": "nan"}) == {"a": [None, 2.0], "b": None, "c": "nan"}

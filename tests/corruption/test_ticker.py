"""Lines that travel one after the other are one ticker, and others are not."""

import numpy as np
import pytest

from vidboot.corruption.found import Found
from vidboot.corruption.ticker import Travelled, with_tickers


def passing(first: float, last: float, x: float, *, width: float = 150, speed: float = -60, y: float = 80) -> Travelled:
    """A line whose left end is at ``x`` when it is seen first, in a frame 200 wide."""
    times = np.arange(first, last, 0.1)
    lefts = x + speed * (times - first)
    boxes = [(max(0.0, left), y, min(200.0, left + width), y + 12) for left in lefts]
    found = [
        Found(kind="subtitle", first_seconds=t, last_seconds=t + 0.1, box=box)
        for t, box in zip(times.tolist(), boxes, strict=True)
    ]
    return Travelled(tuple(found), (speed, 0.0), width)


def test_lines_that_follow_each_other_in_their_rows_are_one_ticker_hidden_from_its_first_letter_on() -> None:
    ticker = passing(3.0, 5.0, 50), passing(5.0, 7.0, 90, width=100)
    (one,) = with_tickers(ticker, 200)
    assert (one.first_seconds, one.last_seconds) == pytest.approx((0.5, 9.5))
    assert one.box == (0, 80, 200, 92)
    (before,) = with_tickers([passing(-7.0, -4.9, 50), passing(-5.0, -3.0, 90, width=100)], 200)
    assert (before.first_seconds, before.last_seconds) == pytest.approx((-9.5, -0.5))


@pytest.mark.parametrize(
    "other", [passing(5.3, 7.0, 50), passing(4.0, 7.0, 60, y=100), passing(4.0, 7.0, 60, speed=-90), passing(3, 5, 50)]
)
def test_lines_apart_in_time_rows_or_speed_or_no_longer_than_the_frame_are_no_ticker(other: Travelled) -> None:
    lines = passing(3.0, 5.0, 50), other
    assert with_tickers(lines, 200) == [box for line in lines for box in line.boxes]


def test_a_line_between_two_others_of_a_ticker_joins_them() -> None:
    left, middle, right = (passing(t, t + 1.0, 10, width=60) for t in (3.0, 3.9, 4.8))
    apart = with_tickers([left, right], 100)
    assert len(apart) == len(left.boxes) + len(right.boxes)
    assert len(with_tickers([left, right, middle], 100)) == 1

"""Of events that lie in each other the surest stays."""

from dataclasses import replace

import pytest

from vidboot.corruption.found import Found, without_parts

LINE = Found(kind="subtitle", first_seconds=1, last_seconds=4, box=(20, 80, 200, 92), score=0.7)


@pytest.mark.parametrize(
    ("other", "stays"),
    [
        (LINE, False),
        (replace(LINE, first_seconds=1.5), False),
        (replace(LINE, first_seconds=1.5, score=0.9), True),
        (replace(LINE, box=(20, 80, 100, 92)), False),
        (replace(LINE, box=(20, 84, 200, 96)), True),
        (replace(LINE, first_seconds=0.98, last_seconds=3.5), False),
        (replace(LINE, first_seconds=0.9, last_seconds=3.5), True),
        (replace(LINE, last_seconds=9, score=0.6), True),
    ],
)
def test_what_lies_in_an_event_that_is_surer_or_longer_or_larger_is_left_out(other: Found, stays: bool) -> None:
    assert without_parts([LINE, other]) == [LINE, other][: 1 + stays]
    assert without_parts([]) == []

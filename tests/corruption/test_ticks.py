"""A clock is told by its letters that change at once, wherever they lie in its box."""

import numpy as np
import pytest

from vidboot.corruption.ticks import LEAST, Ticks

HEIGHT, LETTER = 16, 8
QUIET = np.zeros(100, np.float32)


def writing(at: int, seed: int) -> np.ndarray:
    """Gradients of a dozen letters, half of one of which, from pixel ``at`` on, is drawn anew for each seed."""
    field = np.random.default_rng(0).normal(0, 30, (HEIGHT, 12 * LETTER, 2)).astype(np.float32)
    field[:, at : at + LETTER // 2] = np.random.default_rng(1 + seed).normal(0, 30, (HEIGHT, LETTER // 2, 2))
    return field


@pytest.mark.parametrize("at", range(40, 48))
def test_a_letter_that_changes_in_part_ticks_wherever_it_lies(at: int) -> None:
    ticks = Ticks()
    for k in range(LEAST + 1):
        assert not ticks.sure
        ticks.see(writing(at, seed=k), QUIET, quiet_levels=4.0)
    assert ticks.sure


def test_writing_that_stays_does_not_tick_nor_does_one_in_a_picture_that_changes() -> None:
    still, moving = Ticks(), Ticks()
    for k in range(2 * LEAST):
        still.see(writing(40, seed=0), QUIET, quiet_levels=4.0)
        moving.see(writing(40, seed=k), QUIET + 10 * k, quiet_levels=4.0)
    assert not still.sure
    assert not moving.sure


@pytest.mark.parametrize(("often", "sure"), [(2, True), (20, False)])
def test_something_may_pass_behind_each_letter_of_a_clock_now_and_then(often: int, sure: bool) -> None:
    ticks = Ticks()
    for k in range(41):
        field = writing(40, seed=k)
        for letter in range(12):
            if letter != 5 and (k + letter) % (40 // often) == 0:
                field[:, letter * LETTER : (letter + 1) * LETTER] *= -1
        ticks.see(field, QUIET, quiet_levels=4.0)
    assert ticks.sure == sure

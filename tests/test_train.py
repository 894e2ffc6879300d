"""Lines of stages that need nothing of each other run at once, and none outlives another's failure."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vidboot.build import Parts
from vidboot.config import Config
from vidboot.train import side_by_side

SECONDS = 20.0
"""Long enough for any thread to be seen; no test waits for it unless it fails."""


@pytest.fixture(autouse=True)
def two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def training(device: str = "cpu") -> Any:
    return SimpleNamespace(config=Config(device=device), stop=threading.Event())


def test_two_lines_run_at_once_each_on_half_of_the_cores_and_a_third_after_them() -> None:
    met = threading.Barrier(2, timeout=SECONDS)
    threads, ended = [], []

    def first(_: Any) -> None:
        met.wait()  # breaks unless the other line is there too
        threads.append(torch.get_num_threads())
        ended.append("first")

    def third(_: Any) -> None:
        threads.append(torch.get_num_threads())
        ended.append("third")

    side_by_side(training(), first, first, third)
    assert threads == [1, 1, 1]
    assert ended.index("third") > 0
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("device", "threads"), [("meta", 2), ("cpu", 1)])
def test_an_accelerator_and_a_single_core_take_one_line_after_the_other(device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    lines = []
    side_by_side(training(device), *(lambda _, n=n: lines.append(n) for n in (1, 2)))
    assert lines == [1, 2]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_line_that_fails_stops_the_other_and_its_error_is_told(failing: int) -> None:
    stopped, met = [], threading.Barrier(2, timeout=SECONDS)

    def fails(_: Any) -> None:
        met.wait()
        raise ValueError("no shot is left")

    def works(one: Any) -> None:
        met.wait()
        stopped.append(one.stop.wait(SECONDS))

    lines = [fails, works] if failing == 0 else [works, fails]
    with pytest.raises(ValueError, match="no shot is left"):
        side_by_side(training(), *lines)
    assert stopped == [True]


def test_fresh_weights_are_the_same_whatever_other_threads_draw() -> None:
    parts = Parts(Config(), torch.zeros(3), 0.15, 8, torch.float32, torch.device("cpu"))
    alone = [parts.clip().state_dict(), parts.low_res(0).state_dict()]
    drawn: dict[int, list[Any]] = {0: [], 1: []}

    def draw(kind: int) -> None:
        for _ in range(5):
            drawn[kind].append((parts.clip() if kind == 0 else parts.low_res(0)).state_dict())

    threads = [threading.Thread(target=draw, args=(kind,)) for kind in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind, states in drawn.items():
        assert len(states) == 5
        for state in states:
            assert all(torch.equal(value, alone[kind][name]) for name, value in state.items())

import os
import signal
import time
from collections.abc import Iterator

import pytest

from vidboot.data.workers import Death, Earned, Outcome, Task, run


def echo(value: object) -> Iterator[object]:
    yield value


def modules(name: str) -> Iterator[bool]:
    import sys

    yield name in sys.modules


def hang(value: object) -> Iterator[object]:
    yield value
    while True:
        pass


def get_on(times: int) -> Iterator[object]:
    yield "begun"
    for _ in range(times):
        time.sleep(0.5)
        yield Earned(0.5)
    yield "done"


def grow() -> Iterator[int]:
    yield len(bytearray(4 << 30))


def die(number: int) -> Iterator[None]:
    os.kill(os.getpid(), number)
    yield None


def fail() -> Iterator[None]:
    raise ValueError("the reason")
    yield


def task(function: str, *arguments: object, limit_seconds: float = 30.0) -> Task:
    return Task(f"test_workers:{function}", arguments, limit_seconds)


def only(outcomes: Iterator[Outcome]) -> Outcome:
    (outcome,) = outcomes
    return outcome


def test_every_task_has_its_outcome() -> None:
    outcomes = list(run([task("echo", i) for i in range(50)], 2))
    assert sorted(outcome.result for outcome in outcomes) == list(range(50))
    assert all(outcome.death is None and outcome.task.arguments == (outcome.result,) for outcome in outcomes)


def test_a_worker_that_hangs_is_stopped_and_what_it_yielded_counts() -> None:
    # The limit of the second task holds no start of an interpreter.
    _, outcome = run([task("echo", 1), task("hang", 7, limit_seconds=2.0)], 1)
    assert (outcome.result, outcome.death) == (7, Death.TIMEOUT)


def test_a_task_that_gets_on_earns_time() -> None:
    _, outcome = run([task("echo", 1), task("get_on", 6, limit_seconds=2.0)], 1)
    assert (outcome.result, outcome.death) == ("done", None)


def test_a_worker_that_takes_too_much_memory_is_stopped() -> None:
    assert only(run([task("grow")], 1)).death == Death.MEMORY


@pytest.mark.parametrize(
    ("number", "death"),
    [(signal.SIGSEGV, Death.CRASHED), (signal.SIGABRT, Death.CRASHED), (signal.SIGKILL, Death.MEMORY)],
)
def test_a_worker_that_dies_costs_its_task_only(number: int, death: Death) -> None:
    outcomes = list(run([task("echo", 1), task("die", int(number)), task("echo", 2), task("echo", 3)], 1))
    assert [outcome.death for outcome in outcomes] == [None, death, None, None]
    assert [outcome.result for outcome in outcomes] == [1, None, 2, 3]


def test_an_error_of_ours_is_told() -> None:
    outcome = only(run([task("fail")], 1))
    assert outcome.death == Death.CRASHED
    assert "ValueError: the reason" in outcome.message


def test_leaving_early_leaves_no_process() -> None:
    outcomes = run([task("echo", 0), task("hang", 1)], 2)
    next(outcomes)
    start = time.monotonic()
    outcomes.close()  # type: ignore[attr-defined] - run is a generator
    assert time.monotonic() - start < 10


def test_workers_do_not_import_torch() -> None:
    assert only(run([task("modules", "torch")], 1)).result is False


def test_no_tasks_need_no_workers() -> None:
    assert list(run([], 2)) == []

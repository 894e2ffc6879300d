"""Worker processes for work on files we cannot trust: each has a time and a memory limit, and may die.

A task is a generator function that yields ever better results for one file: what it yielded before it hung, ran out
of memory or crashed still counts. Workers are fresh interpreters, so they hold no copy of the caller's modules.
"""

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

MEMORY_LIMIT_BYTES = 1500 * 2**20
COMMAND = "import sys; sys.path[:] = {path!r}; from vidboot.data.workers import serve; serve({handle})"


class Death(StrEnum):
    """How a worker ended before its task did."""

    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Task:
    """A call of a generator function, named "module:function", for a worker to make."""

    function: str
    arguments: tuple[Any, ...]
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Earned:
    """Yielded in place of a result by a task that gets on: it may take so much longer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last result a task yielded, None if there was none, and how its worker died, None if it did not."""

    task: Task
    result: Any
    death: Death | None
    message: str = ""


def run(tasks: Sequence[Task], workers: int) -> Iterator[Outcome]:
    """Yield the outcome of each task as it ends, in any order; at most ``workers`` run at a time."""
    waiting = list(reversed(tasks))
    pool: list[_Worker] = []
    try:
        pool.extend(_Worker() for _ in range(min(workers, len(tasks))))
        while waiting or any(worker.task for worker in pool):
            for worker in pool:
                if worker.task is None and waiting:
                    worker.start(waiting.pop())
            for worker in _ready(pool):
                outcome = worker.outcome()
                if outcome is not None:
                    yield outcome
    finally:
        for worker in pool:
            worker.kill()


def serve(handle: int) -> None:
    """Answer a parent's tasks until it closes the connection; what a worker process runs."""
    connection = Connection(handle)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    while True:
        try:
            function, arguments = connection.recv()
            module, name = function.split(":")
            task = getattr(importlib.import_module(module), name)
            for result in task(*arguments):
                connection.send(("result", result))
            connection.send(("done", None))
        except MemoryError:
            # The heap is in doubt: tell, and let the parent start a fresh process.
            connection.send(("memory", None))
            return
        except (EOFError, BrokenPipeError):
            return


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


def _ready(pool: list["_Worker"]) -> list["_Worker"]:
    busy = [worker for worker in pool if worker.task is not None]
    timeout = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
    spoken = set(wait([worker.connection for worker in busy], timeout))
    return [worker for worker in busy if worker.connection in spoken or time.monotonic() > worker.deadline]


class _Worker:
    """A process that may die at any time, replaced by a fresh one when it does."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.result: Any = None
        self.deadline = 0.0
        self._spawn()

    def _spawn(self) -> None:
        self.connection, theirs = Pipe()
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # One thread each: the files are what runs in parallel, and idle thread pools eat the memory limit.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND.format(path=sys.path, handle=theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.stderr,
                pass_fds=[theirs.fileno()],
                env=environment,
                start_new_session=True,
            )

    def start(self, task: Task) -> None:
        if self.process.poll() is not None:
            self.kill()  # closes what the dead process left open
            self._spawn()
        self.task, self.result = task, None
        self.deadline = time.monotonic() + task.limit_seconds
        self.stderr.seek(0)
        self.stderr.truncate()
        # If it died just now, outcome() reads the end of the connection.
        with contextlib.suppress(BrokenPipeError):
            self.connection.send((task.function, task.arguments))

    def outcome(self) -> Outcome | None:
        """Read what the worker says; return the outcome when its task has ended."""
        if not self.connection.poll():
            return self._bury(Death.TIMEOUT, "stopped after its time limit")
        try:
            kind, result = self.connection.recv()
        except (EOFError, ConnectionResetError, pickle.UnpicklingError):
            return self._mourn()
        if kind == "result":
            if isinstance(result, Earned):
                self.deadline += result.seconds
            else:
                self.result = result
            return None
        if kind == "memory":
            return self._bury(Death.MEMORY, "needs more memory than allowed")
        return self._finish(None, "")

    def _mourn(self) -> Outcome:
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return self._bury(Death.MEMORY, "its process was killed, most likely for lack of memory")
        self.stderr.seek(0)
        last_words = self.stderr.read().decode(errors="replace").strip().splitlines()
        cause = f"signal {-code}" if code < 0 else (last_words or [f"exit status {code}"])[-1][:300]
        return self._bury(Death.CRASHED, f"its process ended: {cause}")

    def _bury(self, death: Death, message: str) -> Outcome:
        self.kill()
        return self._finish(death, message)

    def _finish(self, death: Death | None, message: str) -> Outcome:
        assert self.task is not None
        outcome = Outcome(self.task, self.result, death, message)
        self.task, self.result = None, None
        return outcome

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.stderr.close()

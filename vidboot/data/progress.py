"""How long work tells a person how far it is: a bar on a terminal, plain lines on stderr elsewhere."""

import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[int, int, str], None]
"""Called with (done, total, name of what was done last)."""
Part = Callable[[str], AbstractContextManager[Progress]]
"""Name of a part of the work -> where that part tells how far it is, while it lasts."""

SECONDS_BETWEEN_LINES = 5.0
STEERS = ("Cc", "Zl", "Zp")
"""Unicode categories of what moves the cursor: control characters, line and paragraph separators."""
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of what follows."""


def silent(done: int, total: int, name: str) -> None:
    """Tell nobody."""


@contextmanager
def on_stderr(verb: str) -> Iterator[Progress]:
    """Yield a ``Progress`` that shows ``verb`` and what is done, on stderr."""
    if sys.stderr.isatty():
        with _bar(verb) as progress:
            yield progress
    else:
        yield _lines(verb)


@contextmanager
def _bar(verb: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    counts = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*counts, TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("", total=None)

        def progress(done: int, total: int, name: str) -> None:
            bar.update(row, completed=done, total=total, description=escape(printable(name)))

        yield progress


def _lines(verb: str) -> Progress:
    last_line = 0.0

    def progress(done: int, total: int, name: str) -> None:
        nonlocal last_line
        now = time.monotonic()
        if done == total or now - last_line >= SECONDS_BETWEEN_LINES:
            last_line = now
            print(f"{verb}: {done}/{total} {printable(name)}", file=sys.stderr, flush=True)

    return progress


def printable(name: str) -> str:
    """Return a file name that any terminal can show: bytes that are no text, and what would steer it, become "?"."""
    decoded = name.encode("utf-8", "replace").decode("utf-8")
    return "".join("?" if unicodedata.category(c) in STEERS or c in TURNS else c for c in decoded)

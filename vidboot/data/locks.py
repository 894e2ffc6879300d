"""One process at a time in a folder; a kill lets go."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = ".lock"


@contextmanager
def alone(folder: Path, does: str) -> Iterator[None]:
    """Let no other process in that ``does`` the same, e.g. "trains RUN".

    Raises:
        ValueError: one is in there.
    """
    with open(folder / NAME, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process {does} now") from None
        yield


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with this folder."""
    with open(folder / NAME, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.getLogger("vidboot").warning("waiting for another process that works in %s", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

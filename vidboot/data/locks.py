"""One process at a time in a folder that several may want to fill."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with this folder; a kill lets go."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.getLogger("vidboot").warning("waiting for another process that works in %s", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""What becomes of freed memory: glibc keeps what lies between blocks in use, and gives back what lies at their end."""

from __future__ import annotations

import ctypes

_LIBC = ctypes.CDLL(None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST_MMAP_THRESHOLD = 32 << 20


def keep() -> None:
    """Keep freed memory from now on: each training step asks for the same again, and gets it faster so."""
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_MMAP_THRESHOLD, _MOST_MMAP_THRESHOLD)
        _LIBC.mallopt(_TRIM_THRESHOLD, 1 << 30)


def give_back() -> None:
    """Return what is free of the heap to the system, where its C library can."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)

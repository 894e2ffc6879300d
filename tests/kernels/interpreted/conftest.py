"""Tests that run kernels on a CPU, in a process of their own: ``test_interpreter.py`` starts it, or you by hand:

TRITON_INTERPRET=1 pytest tests/kernels/interpreted
"""

import os
from collections.abc import Iterator

import pytest
import torch

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]


@pytest.fixture(autouse=True)
def _new_memory_is_nan() -> Iterator[None]:
    """Fill what ``torch.empty`` returns: what a kernel does not write shows."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)

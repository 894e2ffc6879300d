"""Kernels in triton's interpreter: a process is interpreter or compiler for good, so each file has one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")
FILES = sorted((Path(__file__).parent / "interpreted").glob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_kernels_agree_with_the_formula_in_the_interpreter(file: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", str(file)]
    inner = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert inner.returncode == 0, inner.stdout + inner.stderr
    if " passed" not in inner.stdout:
        pytest.skip(inner.stdout.strip().splitlines()[-1])

"""Settings of every test, and a run that several look at."""

from pathlib import Path
from typing import Any

import pytest
import torch
from command import SIZES, train
from restoring import untrained

from vidboot.data.encode import save_tiny
from vidboot.synthetic import write_folder

# Many tiny tensors: two threads that wait for each other cost more than they bring, most of all on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ``videos``, a small folder of every kind, and ``work``."""
    root = tmp_path_factory.mktemp("cli")
    write_folder(
        root / "videos", SIZES, held_out_path=root / "held_out", work=root / "work", encode=save_tiny, workers=1
    )
    return root


@pytest.fixture(scope="session")
def trained(root: Path) -> Any:
    return train(root, "--json", "--set", "precision=float32")


@pytest.fixture
def run(root: Path, trained: Any) -> Path:
    assert trained.exit_code == 0, trained.output
    return root / "run"


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose nets were never trained, but answer with more than nothing."""
    return untrained(tmp_path_factory.mktemp("untrained") / "run")

"""A cache of small films, and clips of them."""

from pathlib import Path

import numpy as np
import pytest
from small_films import BOX, FPS, HIDDEN_SECONDS, LENGTHS, SIDE

from vidboot import masks
from vidboot.data.cache import Entry, Spec, build
from vidboot.data.clips import Pool
from vidboot.data.encode import save_tiny
from vidboot.scan import audit


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of three films that brighten to the right, and with time; b.mp4 has a mask."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "videos").mkdir()
    for number, (name, frames) in enumerate(LENGTHS.items()):
        across = 60 + 3 * np.arange(SIDE)[None, None, :, None] + 2 * np.arange(frames)[:, None, None, None]
        tint = np.array([number * 20, 10, 0])
        film = np.broadcast_to(across + tint, (frames, SIDE, SIDE, 3)).astype(np.uint8)
        save_tiny(folder / "videos" / name, film, FPS)
    _, shots = audit(folder / "videos", folder / "work", workers=1)
    build(shots, folder / "videos", folder / "work", [Spec(SIDE, SIDE, FPS)], workers=1)
    sha256 = next(shot.sha256 for shot in shots if shot.path == "b.mp4")
    first, last = HIDDEN_SECONDS
    event = masks.Event(id="s0", kind="subtitle", first_seconds=first, last_seconds=last, box=BOX)
    masks.save(folder / "work" / "masks" / f"{sha256}.json", masks.Mask(sha256, SIDE, SIDE, (event,)))
    return folder / "work"


@pytest.fixture(scope="module")
def entries(work: Path) -> dict[str, Entry]:
    _, shots = audit(work.parent / "videos", work, workers=1)
    built = build(shots, work.parent / "videos", work, [Spec(SIDE, SIDE, FPS)], workers=1).entries
    assert sorted((entry.source, entry.frames) for entry in built) == sorted(LENGTHS.items())
    return {entry.source: entry for entry in built}


@pytest.fixture
def pool(work: Path, entries: dict[str, Entry]) -> Pool:
    return Pool(list(entries.values()), work / "masks", window=16)

"""What a scanned folder gives to train on: its usable shots, cached at the views' sizes, and a held-out split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidboot.config import Config
from vidboot.data import cache
from vidboot.data.clips import Pool
from vidboot.data.ledger import Line, Rules, ledger, masked_files
from vidboot.data.progress import Progress
from vidboot.data.records import FileRecord, Shot

Entries = Sequence[cache.Entry]


@dataclass(frozen=True)
class Folder:
    """A scanned folder: where its videos and its working folder are, and what the scan found."""

    videos: Path
    work: Path
    files: Sequence[FileRecord]
    shots: Sequence[Shot]

    def lines(self, config: Config) -> list[Line]:
        """Return the ledger for the video that the settings want."""
        rules = Rules(low_res_factor=config.low_res.factor)
        return ledger(self.files, self.shots, config.video.target, masked=masked_files(self.work), rules=rules)


@dataclass(frozen=True)
class TrainingData:
    """The cached shots that the stages draw from."""

    config: Config
    low: Entries
    """All usable shots, at the low-res view's size."""
    sharp: Entries
    """Those at least as large as the video we want."""
    full: Entries
    """Those that are also long enough and clean."""
    held_out: frozenset[str]
    """SHA-256 of the files kept from training."""
    work: Path

    @classmethod
    def of(cls, folder: Folder, config: Config, progress: Progress) -> TrainingData:
        """Sort the shots by what they can teach and cache them.

        Raises:
            ValueError: no shot can be used.
            OSError: the cache does not fit on the disk, or cannot be written.
        """
        shot_of = {(shot.path, shot.shot): shot for shot in folder.shots}
        usable = [
            (line.view, shot_of[line.path, line.shot])
            for line in folder.lines(config)
            if line.shot is not None and line.view != "unused"
        ]
        if not usable:
            raise ValueError(f"no shot of {folder.videos} can be used for {config.video.target}: see vidboot scan")
        video, factor = config.video, config.low_res.factor
        sharp = cache.Spec(video.height, video.width, video.fps)
        low = cache.Spec(video.height // factor, video.width // factor, video.fps)
        built = cache.build([s for _, s in usable], folder.videos, folder.work, [sharp, low], progress=progress)
        full = {(shot.sha256, shot.shot) for view, shot in usable if view == "full"}
        of_sharp = [entry for entry in built.entries if entry.height == sharp.height]
        return cls(
            config=config,
            low=[entry for entry in built.entries if entry.height == low.height],
            sharp=of_sharp,
            full=[entry for entry in of_sharp if (entry.sha256, entry.shot) in full],
            held_out=_held_out(usable, config.data.held_out),
            work=folder.work,
        )

    def pool(self, entries: Entries, **how: Any) -> Pool:
        """Draw clips from these shots; ``how`` goes to ``Pool``."""
        data = self.config.data
        return Pool(entries, self.work / "masks", flip=data.flip, reverse=data.reverse, **how)

    def split(self, entries: Entries, **how: Any) -> tuple[Pool, Pool]:
        """Return the pool to train on and that to measure on."""
        kept = [entry for entry in entries if entry.sha256 not in self.held_out]
        held_out = [entry for entry in entries if entry.sha256 in self.held_out]
        return self.pool(kept, **how), self.pool(held_out, **how)

    @property
    def digest(self) -> str:
        """Names the data: the same shots, sizes, split and masks give the same digest."""
        parts = (self.low, self.sharp, self.full)
        names = [[(Path(e.path).name, e.sha256 in self.held_out) for e in part] for part in parts]
        shas = {entry.sha256 for entry in self.low}
        masks = [path.read_text() for path in sorted((self.work / "masks").glob("*.json")) if path.stem in shas]
        return hashlib.sha256(json.dumps([names, masks]).encode()).hexdigest()


def _held_out(usable: Sequence[tuple[str, Shot]], share: float) -> frozenset[str]:
    """Choose files to measure on, by hash, never one with a full shot: those are too few to spare."""
    full = {shot.sha256 for view, shot in usable if view == "full"}
    chosen: set[str] = set()
    for wanted in ("low_res", "short_clip"):
        files = sorted({shot.sha256 for view, shot in usable if view == wanted} - full)
        chosen.update(files[: round(share * len(files)) or int(share > 0 and len(files) >= 4)])
    return frozenset(chosen)

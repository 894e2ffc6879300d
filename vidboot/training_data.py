"""What a scanned folder gives to train on: its usable shots, cached at the views' sizes, and a held-out split."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidboot.config import Config
from vidboot.data import cache
from vidboot.data.clips import Pool
from vidboot.data.geometry import detail
from vidboot.data.hidden import hidden_by_masks
from vidboot.data.ledger import Line, Target, ledger
from vidboot.data.locks import one_at_a_time
from vidboot.data.mixture import Mixture, shares
from vidboot.data.progress import Progress
from vidboot.data.records import FileRecord, Shot
from vidboot.errors import WorkFailed
from vidboot.views import LowRes

Entries = Sequence[cache.Entry]

LEAST_PARTIAL, LEAST_FULL = 4, 20
"""Of so many files of a view one can be spared to measure on."""


@dataclass(frozen=True)
class Folder:
    """A scanned folder: where its videos and its working folder are, what the scan found, and how it is to be read."""

    videos: Path
    work: Path
    files: Sequence[FileRecord]
    shots: Sequence[Shot]
    heed_masks: bool = True
    """Whether what masks hide is left out; else marks count as part of the scene."""
    begun_with: Path | None = None
    """Masks that stand for those of the working folder: what a run began with."""
    enlarge: bool = False
    """Whether small pictures are enlarged to the size we want, and then count as sharp."""

    @property
    def masks(self) -> Path | None:
        """Folder of the mask files that are heeded."""
        return (self.begun_with or self.work / "masks") if self.heed_masks else None

    def with_masks_in(self, kept: Path, *, anew: bool) -> Folder:
        """Heed a copy of the masks, as a person may change those of the working folder while a run trains for hours.

        Args:
            kept: where the copy is, or goes.
            anew: copy again, though there is one.
        """
        if self.masks is None:
            return self
        if anew or not kept.is_dir():
            part = kept.with_name(f"{kept.name}.part")
            for left in (part, kept):
                shutil.rmtree(left, ignore_errors=True)
            part.mkdir()
            if self.masks.is_dir():
                self._copy_masks(self.masks, part)
            if self.begun_with is None and not any(part.iterdir()):
                told = "no masks in %s: what subtitles and marks there are is learned; vidboot mask %s finds them"
                logging.getLogger("vidboot").warning(told, self.work, self.videos)
            part.rename(kept)
        return replace(self, begun_with=kept)

    def _copy_masks(self, masks: Path, to: Path) -> None:
        ours = {file.sha256 for file in self.files}
        with one_at_a_time(masks):
            for path in masks.iterdir():
                if path.name.partition(".")[0] in ours and path.is_file():
                    shutil.copyfile(path, to / path.name)

    @property
    def masks_changed(self) -> bool:
        """Whether the masks of the working folder are other ones now."""
        ours = {file.sha256 for file in self.files}
        return bool(self.masks) and mask_texts(self.masks, ours) != mask_texts(self.work / "masks", ours)

    def lines(self, config: Config) -> list[Line]:
        """Return the ledger for the video that the settings want."""
        target = config.target
        shots = [_as_large_as(target, shot) for shot in self.shots] if self.enlarge else self.shots
        hidden = hidden_by_masks(self.masks) if self.masks else {}
        return ledger(self.files, shots, target, hidden=hidden)


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
    masks: Path | None
    """Folder of mask files, if they are heeded."""
    work: Path

    @classmethod
    def of(cls, folder: Folder, config: Config, progress: Progress) -> TrainingData:
        """Sort the shots by what they can teach and cache them.

        Raises:
            WorkFailed: no shot can be used.
            OSError: the cache does not fit on the disk, or cannot be written.
        """
        shot_of = {(shot.path, shot.shot): shot for shot in folder.shots}
        usable = [
            (line.view, shot_of[line.path, line.shot])
            for line in folder.lines(config)
            if line.shot is not None and line.view != "unused"
        ]
        if not usable:
            raise WorkFailed(f"no shot of {folder.videos} can be used for {config.target}: see vidboot scan")
        video, factor = config.video, config.low_res.factor
        sharp = cache.Spec(video.height, video.width, video.fps, folder.enlarge)
        low = cache.Spec(video.height // factor, video.width // factor, video.fps, folder.enlarge)
        built = cache.build([s for _, s in usable], folder.videos, folder.work, [sharp, low], progress=progress)
        held_out = spared([(view, shot.sha256) for view, shot in usable], config.data.held_out)
        full = {(shot.sha256, shot.shot) for view, shot in usable if view == "full" and shot.sha256 not in held_out}
        entries = sorted(built.entries, key=lambda entry: (entry.sha256, entry.shot))  # whatever the files are called
        of_sharp = [entry for entry in entries if entry.height == sharp.height]
        return cls(
            config=config,
            low=[entry for entry in entries if entry.height == low.height],
            sharp=of_sharp,
            full=[entry for entry in of_sharp if (entry.sha256, entry.shot) in full],
            held_out=held_out,
            masks=folder.masks,
            work=folder.work,
        )

    def pool(self, entries: Entries, **how: Any) -> Pool:
        """Draw clips from these shots; ``how`` goes to ``Pool``."""
        data = self.config.data
        return Pool(entries, self.masks, flip=data.flip, reverse=data.reverse, **how)

    def split(self, entries: Entries, **how: Any) -> tuple[Pool, Pool]:
        """Return the pool to train on and that to measure on."""
        kept = [entry for entry in entries if entry.sha256 not in self.held_out]
        held_out = [entry for entry in entries if entry.sha256 in self.held_out]
        return self.pool(kept, **how), self.pool(held_out, **how)

    def low_res_pools(self, level: int) -> tuple[Pool, Pool]:
        """Return the pools of a level of the low-res view, to train on and to measure on."""
        low = self.config.low_res
        how = {"window": low.window, "group": low.group**level, "hide": self.config.data.hide}
        return self.split(self.low, finer=self.sharp, **how)

    def gate_pool(self, level: int) -> Pool:
        """Return the pool that the gate between a low-res level and what is below it is measured on, marked or not:
        for level 0 sharp clips as long as a window, which tell as much as long videos do and are there in any folder,
        for others long videos."""
        low = self.config.low_res
        if level == 0:
            window = self.config.clip.window
            return self.pool(self.clip_pools()[0].entries, any_length=False, window=window, whole=low.whole(window))
        entries = self.low_res_pools(level)[0].entries
        how = {"window": low.window * low.group, "group": low.group ** (level - 1), "whole": low.group}
        return self.pool(entries, any_length=False, **how)

    def clip_pools(self) -> tuple[Pool, Pool]:
        """Return the pools of the short-clip view, to train on and to measure on."""
        return self.split(self.sharp, window=self.config.clip.window, hide=self.config.data.hide)

    def mixture(self) -> Mixture:
        """Return what the net of sharp video is trained on: short clips and, if it is to see farther, long videos."""
        config, hide = self.config.clip, self.config.data.hide
        clips, _ = self.clip_pools()
        low, _ = self.low_res_pools(0)
        sharp = {(entry.sha256, entry.shot) for entry in clips.entries}
        small = [entry for entry in low.entries if (entry.sha256, entry.shot) not in sharp]
        # As far as any video lasts; one that ends before half of that teaches as short clips do.
        reach = min(config.long_window, max((entry.frames for entry in (*clips.entries, *small)), default=0))
        farther = reach > config.window
        full = [entry for entry in clips.entries if farther and 2 * entry.frames >= reach]
        small = [entry for entry in small if farther and entry.frames > config.window]
        return Mixture(
            clips=clips,
            small=self.pool(small, window=reach, hide=hide),
            full=self.pool(full, window=reach, hide=hide),
            shares=shares(clips=len(clips.entries) - len(full), small=len(small), full=len(full)),
            view=LowRes(self.config.low_res.factor),
            least_sigma=config.least_sigma,
        )

    def full_pool(self, entries: Entries) -> Pool:
        """Return a pool of whole videos."""
        return self.pool(entries, window=self.config.video.frames, any_length=False)

    @property
    def digest(self) -> str:
        """Names the data: the same shots, sizes, split and masks give the same digest, whatever files are called."""
        parts = (self.low, self.sharp, self.full)
        names = [[(Path(e.path).name, e.sha256 in self.held_out) for e in part] for part in parts]
        masks = list(mask_texts(self.masks, {entry.sha256 for entry in self.low}).values()) if self.masks else []
        return hashlib.sha256(json.dumps([names, masks]).encode()).hexdigest()


def mask_texts(masks: Path, of: Collection[str]) -> dict[str, str]:
    """Read the mask files of some videos, by SHA-256."""
    return {path.stem: path.read_text() for path in sorted(masks.glob("*.json")) if path.stem in of}


def _as_large_as(target: Target, shot: Shot) -> Shot:
    """Return the shot as it counts once its pictures are enlarged to at least the target's size."""
    if detail(shot.width, shot.height, shot.stretch, target.height, target.width) >= 1:
        return shot
    return replace(shot, width=target.width, height=target.height, stretch=1.0)


def spared(usable: Sequence[tuple[str, str]], share: float) -> frozenset[str]:
    """Choose files to measure on, by hash, never all of a view: partial ones, else marked ones; full ones only where
    there are many and too few others.

    Args:
        usable: view and SHA-256 of the file of each shot.
        share: of the files of a view.
    """
    files: dict[str, set[str]] = defaultdict(set)
    for view, sha256 in usable:
        files[view].add(sha256)

    def some(of: set[str], enough: int) -> list[str]:
        count = round(share * len(of)) or int(share > 0 and len(of) >= enough)
        return sorted(of)[: min(count, max(0, len(of) - 1))]

    low_res, clips, masked = (
        some(files[view] - files["full"], LEAST_PARTIAL) for view in ("low_res", "short_clip", "masked")
    )
    full = some(files["full"], LEAST_FULL) if len(files["full"]) >= LEAST_FULL else []
    return frozenset(low_res + clips or masked or full)

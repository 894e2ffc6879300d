"""Ways of using a folder: vidboot's and those of other trainers, and the videos that none of them may see."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from vidboot.config import Config
from vidboot.data import ledger
from vidboot.data.records import Shot
from vidboot.errors import WorkFailed
from vidboot.fit import StageConfig
from vidboot.training_data import Folder

LEAST_HELD_OUT = 2
"""No interval can be given for fewer videos."""
LEAST_TO_TELL = 5
"""All of fewer videos favour one of two equal curations more often than one time in twenty."""
MOST_HELD_OUT = 32


def split(folder: Folder, config: Config, *, held_out: int | None = None) -> tuple[Folder, list[Shot]]:
    """Set whole files of full quality aside to measure on.

    They are drawn by content and seed: renaming a file changes nothing, and copies of it go to the same side. Other
    versions of the same film are found elsewhere (``vidboot.twins``).

    Args:
        folder: the scanned folder.
        config: settings; what full means, and the seed.
        held_out: files to set aside; default a third of the full ones, or as many of one half as are needed to tell
            policies apart, at least 2 and at most 32.

    Returns:
        The folder without them, and of each its longest full shot.

    Raises:
        ValueError: ``held_out`` is below 2.
        WorkFailed: there are too few full videos, or nothing else to train on.
    """
    if held_out is not None and held_out < LEAST_HELD_OUT:
        raise ValueError(f"{held_out = } must be at least {LEAST_HELD_OUT}: no interval can be given for fewer videos")
    longest: dict[str, Shot] = {}
    for shot in filtered(folder, config).shots:
        if shot.sha256 not in longest or shot.seconds > longest[shot.sha256].seconds:
            longest[shot.sha256] = shot
    count = held_out or _share(len(longest))
    if len(longest) < count:
        raise WorkFailed(
            f"{folder.videos} has {len(longest)} full videos ({config.target}, without damage or marks); "
            f"a comparison needs {count} to measure on: choose a smaller video with --set, or add some"
        )
    aside = sorted(longest, key=lambda sha256: hashlib.sha256(f"{config.seed} {sha256}".encode()).digest())[:count]
    return without(folder, config, aside), [longest[sha256] for sha256 in aside]


def without(folder: Folder, config: Config, sources: Collection[str]) -> Folder:
    """Leave out the files with these SHA-256.

    Raises:
        WorkFailed: nothing is left to train on.
    """
    rest = replace(
        folder,
        files=[file for file in folder.files if file.sha256 not in sources],
        shots=[shot for shot in folder.shots if shot.sha256 not in sources],
    )
    if all(line.view == "unused" for line in rest.lines(config)):
        raise WorkFailed(f"beside the videos of {folder.videos} that are measured on, no shot of it can be used")
    return rest


def _share(full: int) -> int:
    """How many of the full videos to set aside."""
    return min(MOST_HELD_OUT, max(LEAST_HELD_OUT, round(full / 3), min(LEAST_TO_TELL, full // 2)))


def usable(folder: Folder, config: Config) -> Folder:
    """Leave every shot that can teach anything."""
    return _only(folder, [line for line in folder.lines(config) if line.view != "unused"])


def filtered(folder: Folder, config: Config) -> Folder:
    """Leave the full shots without any mark, of files without any damage."""
    return _only(folder, ledger.filtered(folder.files, folder.lines(config)))


def upscaled(folder: Folder, config: Config) -> Folder:
    """Enlarge what is small, take marks for part of the scene, and leave what is then full."""
    return filtered(replace(folder, heed_masks=False, enlarge=True), config)


def _only(folder: Folder, lines: Sequence[ledger.Line]) -> Folder:
    kept = {(line.path, line.shot) for line in lines}
    return replace(folder, shots=[shot for shot in folder.shots if (shot.path, shot.shot) in kept])


@dataclass(frozen=True)
class Curation:
    """A way of using a folder."""

    name: str
    doing: str
    meaning: str
    selected: Callable[[Folder, Config], Folder]
    """What of a folder is trained on, and how it is read."""


KEEP = Curation("keep", "keeping", "every file trains the view it can", usable)
RIVALS = (
    Curation(
        "filter",
        "filtering",
        "one net, trained on the long, sharp, clean videos alone, to the end of the budget",
        filtered,
    ),
    Curation(
        "upscale",
        "upscaling",
        "one net; small videos enlarged, marks ignored, short and damaged ones left out; likewise",
        upscaled,
    ),
)


def views_only(config: Config) -> Config:
    """Return the settings without the baseline: a net for each view, their gates and the residual."""
    return config.model_copy(update={"direct": _with_steps(config.direct, 0)})


def direct_only(config: Config, *, steps: int) -> Config:
    """Return settings that train one net directly on whole videos, and nothing else."""
    low_res = config.low_res.model_copy(update={"train": _with_steps(config.low_res.train, 0)})
    clip = config.clip.model_copy(update={"train": _with_steps(config.clip.train, 0)})
    data = config.data.model_copy(update={"held_out": 0.0})  # nothing is measured on the way
    direct = _with_steps(config.direct, steps)
    return config.model_copy(update={"data": data, "low_res": low_res, "clip": clip, "direct": direct})


def _with_steps(stage: StageConfig, steps: int) -> StageConfig:
    return stage.model_copy(update={"steps": steps})

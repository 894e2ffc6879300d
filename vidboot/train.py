"""Training: from a scanned folder to a run that holds every view's net, their gates, the residual, the baseline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidboot.build import Model, Parts, low_res_stage
from vidboot.composition import whole
from vidboot.config import Config, check
from vidboot.data.clips import mean_colour
from vidboot.data.locks import alone
from vidboot.data.progress import Progress, printable, silent
from vidboot.device import device_of, faster_precision
from vidboot.fit import Report
from vidboot.leak import templates
from vidboot.memory import give_back, keep
from vidboot.nets.gate import KNOTS, corrected_by, gate_sums, smooth_gate
from vidboot.nets.residual import Residual
from vidboot.policy import Policy
from vidboot.run import Run, begun, check_empty, make, save_tensors
from vidboot.stages import Training
from vidboot.training_data import Entries, Folder, TrainingData

AT_ONCE = 2
"""Lines of stages that share the cores of a CPU."""
NAMED = 5
"""Files that a message names, at most."""
LEAST_LONG_SHOTS = 2
"""A coarser level needs this many shots that fill half of its window."""
CROSS_FIT_DRAWS = 2
"""Noise draws per full video and noise level when the residual is cross-fitted."""


MASKS = ".masks"
"""Folder of a run: the masks it began with."""


def train(
    folder: Folder,
    out: Path,
    config: Config,
    *,
    report: Report = lambda row: None,
    caching: AbstractContextManager[Progress] | None = None,
) -> Run:
    """Run every stage that the folder has data for; running it again resumes.

    Args:
        folder: what the scan found.
        out: the run directory.
        config: settings; those of an existing run must be the same.
        report: takes each row of metrics.jsonl.
        caching: where the building of the cache tells how far it is, while it lasts.

    Raises:
        ValueError: the run was begun with other settings or other videos, or another process trains it now.
        WorkFailed: no shot can be used.
        NonFiniteLoss: a loss, or its gradient, was NaN or infinite.
    """
    check_out(out)
    with alone(make(out), f"trains {out}"):
        folder = folder.with_masks_in(out / MASKS, anew=not begun(out))
        if folder.masks_changed:
            told = "the masks of %s have changed since %s was begun; it goes on with those it has"
            logging.getLogger("vidboot").warning(told, folder.videos, out)
        with caching or nullcontext(silent) as progress:
            data = TrainingData.of(folder, config, progress)
        run = _open(out, config, data)
        keep()
        training = Training(
            run, config, data, report, templates(data.work, folder.masks or data.work / "masks", config)
        )
        side_by_side(training, train_low_res, train_clips, train_direct)
        if run.done("clip") and run.done(low_res_stage(0)):
            train_joins(training)
    give_back()
    return run


def side_by_side(training: Training, *lines: Callable[[Training], None]) -> None:
    """Run lines of stages that need nothing of each other, on a CPU two at a time, each on half of the cores.

    Nets this small leave cores idle between two operations, and two trainings on half of them each get further than one
    after the other on all. If a line fails, or a person interrupts, the others stop at their next step.
    """
    threads = torch.get_num_threads()
    if device_of(training.config).type != "cpu" or threads < AT_ONCE:
        for line in lines:
            line(training)
        return
    torch.set_num_threads(threads // AT_ONCE)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            running = [pool.submit(line, training) for line in lines]
            try:
                for ended in wait(running, return_when=FIRST_EXCEPTION).done:
                    ended.result()
            finally:
                # One failed, or a person interrupted: no other goes on alone.
                if not all(line.done() for line in running):
                    training.stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)
    finally:
        torch.set_num_threads(threads)


def check_out(out: Path) -> None:
    """Raise ValueError unless ``out`` is a run, or can become one."""
    if begun(out):
        Run(out)
    elif out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file, not a run directory")
    elif out.is_dir():
        check_empty(out)


def lacking(run: Run) -> str:
    """Say why a run cannot make the video that is wanted, and what it can make; nothing if it can."""
    model = Model(run)
    if model.can(Policy.composition):
        return ""
    video, able = model.config.video, " and ".join(model.able())
    why = (
        "its settings train no more" if run.record["sharp"] else f"no shot is as large as {video.width}x{video.height}"
    )
    return f"{why}: it can make {able or 'no video'}" + (" alone (generate --policy)" if able else "")


def train_low_res(training: Training) -> None:
    """Train the low-res net, and for videos beyond its window a coarser one for each level the folder is long enough
    for: each starts from the weights below it, and a gate joins the two."""
    data, config, parts = training.data, training.config.low_res, Parts.of(training.run)
    below: nn.Module | None = None
    for level in range(config.levels + 1):
        stage = config.stage(level)
        pool, held_out = data.low_res_pools(level)
        long_enough = sum(2 * entry.frames >= config.window * pool.group for entry in pool.entries)
        if not (stage.steps and pool.longest) or (level and long_enough < LEAST_LONG_SHOTS):
            break
        model = parts.low_res(level)
        if below is not None:
            model.load_state_dict(below.state_dict())
        below = training.fit_view(low_res_stage(level), stage, model, pool, held_out)
        if level:
            training.measure_gate(level)


def train_clips(training: Training) -> None:
    """Train the net of sharp video."""
    data, config = training.data, training.config.clip
    pool, held_out = data.clip_pools()
    if config.train.steps and pool.longest:
        training.fit_view("clip", config.train, Parts.of(training.run).clip(), data.mixture(), held_out)


def train_direct(training: Training) -> None:
    """Train the baseline: one net on the full videos alone."""
    full, config = training.data.full, training.config.direct
    if config.steps and full:
        training.fit_view("direct", config, Parts.of(training.run).direct(), training.data.full_pool(full))


def train_joins(training: Training) -> None:
    """Make what joins the views: the view gate and, where there are full videos, the residual with its own gate."""
    config, data = training.config, training.data
    training.measure_gate(0)
    if data.full and config.residual.train.steps and not training.run.done("residual"):
        train_residual(training)


def train_residual(training: Training) -> None:
    """Train the residual on all full videos, and gate it by how it does on those it has not seen.

    Two halves of the videos each train a residual that is measured on the other half; their sums give g(sigma), by
    which the residual trained on all of them is trusted. With one full video nothing can be measured, and g is 0.
    """
    full = training.data.full
    files = sorted({entry.sha256 for entry in full})
    sums = torch.zeros(2, KNOTS)
    if len(files) > 1:
        for fold in (0, 1):
            unseen = set(files[fold::2])
            seen = training.data.full_pool([entry for entry in full if entry.sha256 not in unseen])
            residual = training.fit_residual(f"residual_fold{fold}", seen)
            sums += cross_fit(training, residual, [entry for entry in full if entry.sha256 in unseen])
    residual = training.fit_residual("residual_ungated", training.data.full_pool(full))
    residual.gate.copy_(smooth_gate(*sums))
    save_tensors(training.run.weights("residual"), residual.state_dict(), full_videos=len(files))


@torch.no_grad()
def cross_fit(training: Training, residual: Residual, unseen: Entries) -> Tensor:
    """Sum <R, x - D_views> and |R|² at each knot over videos that the residual has not seen: [2, knots]."""
    pool, model, seed = training.data.full_pool(unseen), Model(training.run), training.config.seed
    D_views = whole(model.composition(pool.longest))
    sums, size = torch.zeros(2, KNOTS), training.config.residual.train.batch
    for step, first in enumerate(range(0, CROSS_FIT_DRAWS * len(unseen), size)):
        count = min(size, CROSS_FIT_DRAWS * len(unseen) - first)
        video = pool.batch(count, seed=seed, stage="cross-fit", step=step).video.to(model.device)
        sums += gate_sums(corrected_by(D_views, residual), video, seed=seed * 1_000_003 + step * 1009)
    return sums


def _open(out: Path, config: Config, data: TrainingData) -> Run:
    """Open the run, or begin it.

    Raises:
        ValueError: it was begun with other settings or other videos.
    """
    settings = config.model_dump(mode="json")
    if begun(out):
        run = Run(out)
        recorded = check(run.record["config"]).model_dump(mode="json")
        # Where it is computed is no part of a run.
        changed = ", ".join(sorted({*_differences(recorded, settings)} - {"device"}))
        if changed:
            raise ValueError(f"{out} was begun with other settings ({changed}): use them, or another --out")
        if run.record["data"] != data.digest:
            raise ValueError(f"{out} was begun with {_other(run.record, data)}, or use another --out")
        run.record["config"]["device"] = settings["device"]
        return run
    pools = [
        data.split(entries, window=window)[0]
        for entries, window in ((data.low, config.low_res.window), (data.sharp, config.clip.window))
    ]
    mean, spread = mean_colour([pool for pool in pools if pool.entries])
    record = {
        "config": settings,
        "data": data.digest,
        "videos": _videos(data),
        "precision": config.precision if config.precision != "auto" else faster_precision(device_of(config)),
        "mean": mean.tolist(),
        "spread": spread,
        "clip_frames": max(config.clip.window, data.mixture().longest),
        "torch": torch.__version__,
        "cache": str(data.work.resolve() / "cache"),
        "sharp": [Path(entry.path).name for entry in pools[1].entries],
    }
    return Run.create(out, record)


def _videos(data: TrainingData) -> dict[str, str]:
    """SHA-256 -> path."""
    return {entry.sha256: entry.source for entry in (*data.low, *data.sharp)}


def _other(record: Mapping[str, Any], data: TrainingData) -> str:
    """Say how the videos that a run was begun with differ from those that are there now, and what to do."""
    then, now = record["videos"], _videos(data)
    gone, new = ([a[sha] for sha in a if sha not in b] for a, b in ((then, now), (now, then)))
    if not gone and not new:
        return "other cuts or masks of the same videos: put those back"
    todo = [f"put {_some(gone)} back"] * bool(gone) + [f"take {_some(new)} away"] * bool(new)
    return f"other videos: {' and '.join(todo)}"


def _some(paths: list[str]) -> str:
    shown = ", ".join(map(printable, sorted(paths)[:NAMED]))
    return f"{shown} and {len(paths) - NAMED} more" if len(paths) > NAMED else shown


def _differences(a: Any, b: Any, name: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from _differences(a.get(key), b.get(key), f"{name}.{key}" if name else key)
    elif a != b:
        yield name

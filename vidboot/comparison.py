"""What a comparison found: its numbers with their intervals, and its verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vidboot import metrics
from vidboot.config import Config
from vidboot.curation import LEAST_TO_TELL, Curation
from vidboot.data.records import Shot
from vidboot.evaluate import Evaluation
from vidboot.held_out import INTERVAL, MISSED, mean, with_interval
from vidboot.losses import HELD_OUT_SIGMAS
from vidboot.meter import missed_nats
from vidboot.policy import Policy
from vidboot.report import Measured
from vidboot.run import Run
from vidboot.training_data import Folder


@dataclass(frozen=True)
class Trained:
    """What came of a curation."""

    run: Run
    flops: int
    """Of all matrix products of its training."""
    best: Policy
    """The most that the run can do: by this it is measured."""
    evaluation: Evaluation

    @property
    def losses(self) -> Tensor:
        """Weighted denoising loss of each held-out video, the mean over noise levels: [videos]."""
        return self.evaluation.losses(self.best)

    @property
    def videos(self) -> Tensor:
        return self.evaluation.videos[self.best]

    @property
    def optimisation_seconds(self) -> float:
        """Time in the steps of all trained stages, two at once counted twice; measurements, and gates, left out."""
        seconds, before = 0.0, {}
        for row in self.run.metrics():
            seconds += row["ms_per_step"] / 1e3 * (row["step"] - before.get(row["stage"], 0))
            before[row["stage"]] = row["step"]
        return seconds


@dataclass(frozen=True)
class Contender:
    """A curation, what it finds in the folder, and what came of it; None where it finds nothing."""

    curation: Curation
    folder: Folder
    trained: Trained | None = None

    @property
    def amount(self) -> str:
        """How much there is to train on."""
        shots = self.folder.shots
        return f"{len(shots)} clips, {sum(shot.seconds for shot in shots):.0f} s of video" if shots else "0 clips"

    @property
    def finds(self) -> str:
        """What the curation leaves of the folder, as a clause."""
        return f"{self.curation.doing} leaves {self.amount}"


@dataclass(frozen=True)
class Comparison:
    """Policies, vidboot's first, and the folder and the videos they were compared on."""

    title: str
    config: Config
    folder: Folder
    held_out: Sequence[Shot]
    other_versions: Sequence[str]
    """Files that show the films measured on, and so train nothing."""
    contenders: Sequence[Contender]

    @property
    def trained(self) -> dict[str, Trained]:
        return {one.curation.name: one.trained for one in self.contenders if one.trained}

    @property
    def keep(self) -> Trained:
        keep = self.contenders[0].trained
        assert keep is not None
        return keep


SCATTER = 1.03
"""Losses of two trainings that differ by their seed alone lie up to so far apart (eight trainings of seconds)."""
Table = Mapping[str, Mapping[str, Measured]]
"""Measure -> curation -> value; of "real" too where it has one."""


def measure(comparison: Comparison) -> Table:
    """Return every measure of every curation that could be trained, with 90 % intervals by bootstrap over videos."""
    trained, keep = comparison.trained, comparison.keep
    lag, factor = keep.evaluation.numbers["lag"], comparison.config.low_res.factor
    shown = {"real": keep.evaluation.videos["real"]} | {name: one.videos for name, one in trained.items()}
    remembers = partial(metrics.lag_correlation, lag=lag)
    errors = {f"keep {policy}": of for policy, of in keep.evaluation.errors.items()}
    errors |= {name: one.evaluation.errors[one.best] for name, one in trained.items()}
    missed = missed_nats(errors, HELD_OUT_SIGMAS)
    return {
        "held_out_loss": {name: with_interval(mean, one.losses) for name, one in trained.items()},
        "loss_over_keep": {
            name: with_interval(_ratio, one.losses, keep.losses) for name, one in trained.items() if one is not keep
        },
        "lag_correlation": {name: with_interval(remembers, metrics.colour_features(x)) for name, x in shown.items()},
        **{
            key: {name: over_real(of, of.rows(shown[name]), of.rows(shown["real"])) for name in trained}
            for key, of in health_by_video(factor).items()
        },
        "missed_nats_per_dimension": {name: with_interval(mean, missed[name]) for name in trained},
    }


@dataclass(frozen=True)
class Health:
    """One of ``metrics.HEALTH`` as a statistic of rows, one a video: so can videos be drawn again."""

    rows: Callable[[Tensor], Tensor]
    """Of videos [B, T, C, H, W]: [B, ...]."""
    statistic: Callable[[Tensor], float] = mean
    drawn: Callable[[int], float] = lambda n: 1.0
    """Share of the statistic that is left, in the mean, of n rows drawn with replacement."""


def health_by_video(factor: int) -> dict[str, Health]:
    """Return what samples have too little or too much of."""
    each = {key: Health(partial(_each, of)) for key, of in metrics.health(factor).items()}
    return each | {"spread": Health(lambda x: x.mean(dim=1), _variance, lambda n: 1 - 1 / n)}


def _each(of: Callable[[Tensor], float], videos: Tensor) -> Tensor:
    return torch.tensor([of(video[None]) for video in videos])


def _variance(x: Tensor) -> float:
    return float(x.var(dim=0).mean())


def _ratio(a: Tensor, b: Tensor) -> float:
    return float(a.mean() / b.mean())


def over_real(health: Health, samples: Tensor, real: Tensor) -> Measured:
    """Return a measure of samples over that of real videos, a row a video, with an interval over both."""

    def ratio(a: Tensor, b: Tensor) -> float:
        return metrics.over(health.statistic(a), health.statistic(b))

    found = with_interval(ratio, samples, real, paired=False)
    assert found.low is not None
    assert found.high is not None
    left = metrics.over(health.drawn(len(samples)), health.drawn(len(real)))
    return Measured(found.value, found.low / left, found.high / left)


def summary(comparison: Comparison, table: Table) -> dict[str, Any]:
    """Return what ``vidboot compare --json`` prints."""

    def of(one: Contender) -> dict[str, Any]:
        found = {
            "clips": len(one.folder.shots),
            "seconds": round(sum(shot.seconds for shot in one.folder.shots), 1),
            "finds": one.finds,
        }
        if one.trained is None:
            return found
        name = one.curation.name
        measured = {key: vars(values[name]) for key, values in table.items() if name in values}
        return {**found, "net": one.trained.best, "flops": one.trained.flops, **measured}

    return {
        "verdict": verdict(comparison, table),
        "target": str(comparison.config.target),
        "seed": comparison.config.seed,
        "held_out": [shot.path for shot in comparison.held_out],
        "other_versions_left_out": list(comparison.other_versions),
        "interval": INTERVAL,
        "policies": {one.curation.name: of(one) for one in comparison.contenders},
        "real": {"lag": comparison.keep.evaluation.numbers["lag"], **vars(table["lag_correlation"]["real"])},
        "missed_nats_per_dimension": MISSED,
    }


def verdict(comparison: Comparison, table: Table) -> str:
    """Say in one sentence whether keeping every file is worth it, against the best of the others."""
    rivals = table["loss_over_keep"]
    if not rivals:
        left = " and ".join(one.finds for one in comparison.contenders[1:])
        return f"Only vidboot can train on this folder: {left}."
    name, ratio = min(rivals.items(), key=lambda rival: rival[1].value)
    assert ratio.low is not None
    assert ratio.high is not None
    measured = len(comparison.keep.losses)
    told = (
        f"its held-out loss is {ratio.value:.2f} times that of keep ({ratio.low:.2f} to {ratio.high:.2f}), "
        f"on {measured} videos that neither has seen, from one training each"
    )
    if measured < LEAST_TO_TELL:
        return f"Too few videos were set aside to tell keep from {name}: {told}; {LEAST_TO_TELL} are the least."
    if ratio.low > SCATTER:
        return f"Keeping every file beats {name}, the better of the others: {told}."
    if ratio.high < 1 / SCATTER:
        return f"Keeping every file does not pay here, {name} is better: {told}."
    return f"Keeping every file and {name} cannot be told apart here: {told}."

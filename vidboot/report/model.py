"""What a report shows, as plain records. Each section is left out if its field is empty.

Policies are names such as "real", "full", "clips-only"; a policy has the same colour in every section.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Headline:
    """A number worth reading first, such as ("12 h 05 min", "of video train the model; filtering keeps 40 s")."""

    value: str
    meaning: str


@dataclass(frozen=True)
class LedgerRow:
    """How much video teaches one view.

    Args:
        view: what is taught, such as "short clips".
        seconds: of video that train it.
        filtered_seconds: that would be left if every partial file were thrown away.
        files: number of files behind ``seconds``.
    """

    view: str
    seconds: float
    filtered_seconds: float
    files: int


@dataclass(frozen=True)
class Refused:
    """Files that teach nothing, and why."""

    reason: str
    files: Sequence[str]


@dataclass(frozen=True)
class SigmaLoss:
    """Held-out loss of one policy at one noise level."""

    policy: str
    sigma: float
    loss: float


@dataclass(frozen=True)
class Samples:
    """Videos of one policy, played in one mosaic.

    Args:
        policy: its name; "real" is drawn in the colour of the text.
        videos: uint8 [T, H, W, 3] each, of one shape.
        fps: frames per second.
        note: one sentence on what to look at.
    """

    policy: str
    videos: Sequence[np.ndarray]
    fps: float
    note: str = ""


@dataclass(frozen=True)
class LagCurve:
    """Correlation of what a video shows with what it shows later.

    Args:
        policy: its name.
        lag_seconds: [N], increasing.
        correlation: [N], 1 = remembers, 0 = has forgotten; nan leaves a gap.
    """

    policy: str
    lag_seconds: Sequence[float]
    correlation: Sequence[float]


@dataclass(frozen=True)
class Measured:
    """A number and the interval it lies in."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Metric:
    """One measure for each policy.

    Args:
        name: of the measure.
        meaning: one short sentence, with its unit.
        values: by policy.
        allowed: lowest and highest value that passes; None = no limit on that side.
    """

    name: str
    meaning: str
    values: Mapping[str, Measured]
    allowed: tuple[float | None, float | None] = (None, None)

    def passes(self, policy: str) -> bool:
        """Whether the policy's value is within the allowed range; nan is not."""
        low, high = self.allowed
        value = self.values[policy].value
        return not np.isnan(value) and (low is None or value >= low) and (high is None or value <= high)


@dataclass(frozen=True)
class Report:
    """All that one page shows.

    Args:
        title: of the page.
        verdict: one sentence: what was found.
        headlines: the few numbers to read first.
        ledger: what the folder teaches.
        refused: files that teach nothing.
        samples: in the order they are shown.
        lag_curves: one per policy.
        clip_seconds: length of the short-clip view, marked in the plot of the lag curves.
        metrics: in the order they are shown.
        losses: metrics rows of the run: stage, step, and train_loss, held_out_loss or both.
        sigma_losses: in any order.
        details: name and value of what is needed to make the page again: seed, command, versions.
    """

    title: str
    verdict: str
    headlines: Sequence[Headline] = ()
    ledger: Sequence[LedgerRow] = ()
    refused: Sequence[Refused] = ()
    samples: Sequence[Samples] = ()
    lag_curves: Sequence[LagCurve] = ()
    clip_seconds: float | None = None
    metrics: Sequence[Metric] = ()
    losses: Sequence[Mapping[str, object]] = ()
    sigma_losses: Sequence[SigmaLoss] = ()
    details: Mapping[str, str] = field(default_factory=dict)

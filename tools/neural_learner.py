"""The ways to learn from n full videos and many partial ones, for bench_data_efficiency.

Every way has the same nets and at most the same arithmetic: that of the two views and of what is then learned from the
full videos, in tokens. All that is chosen (steps, gates) is chosen by full videos left out of the n, never by the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from neural_case import FPS, MANY, SIGMAS, Case, as_float, batches, losses, videos
from torch import Tensor, nn

from vidboot.composition import Join, Stream, back_projection, joined, tapered, whole, windowed
from vidboot.data.mixture import enlarged, shares, turn
from vidboot.denoiser import Denoise, NetDenoiser, at_frame_rate
from vidboot.device import faster_precision
from vidboot.fit import Loss, Stage, StageConfig, fit
from vidboot.losses import Batch, view_loss
from vidboot.nets.factorized import FactorizedNet, NetConfig
from vidboot.nets.gate import KNOTS, ViewGate, both_ends, corrected_by, gate_at, gate_sums, knots, smooth_gate
from vidboot.nets.residual import Residual
from vidboot.noise import SigmaDensity, expand
from vidboot.run import Run
from vidboot.stages import residual_loss
from vidboot.views import LowRes

TEST_WORLD, PARTIAL_WORLD, FULL_WORLD = 1, 2, 3
"""Scenes of one world are never in another."""
MOST_MEASURED = 64
"""Left-out videos that are measured, at most."""
TUNING_LR = 0.5
"""Rates of a net that begins from trained weights, over those from nothing."""
LONG_LR = 1.5
"""Rates of a training that takes several times as long, over the usual ones."""
FEW_STEPS, EACH = 100, 60
"""A training on few videos is tried for at most so many steps and so many more for each."""
CHECKS = 8
"""Times that the loss of left-out videos is measured in a training whose length is to be chosen."""
CLIPS_REACH = 1.5
"""Noise level up to which a gate that was measured on clips is followed, as in preset ``tiny``."""
LEAST_SIGMA = 0.5
"""Noise level from which a small video, enlarged, passes for a full one."""
PRECISION = getattr(torch, faster_precision(torch.device("cpu")))
"""Of all nets."""


Correction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""R(y, D_views, sigma)."""


class Learner:
    """All that one seed learns; every net is kept in a run, so that what is done stays done."""

    def __init__(self, case: Case, out: Path, seed: int) -> None:
        self.case, self.seed = case, seed
        path = out / f"seed{seed}"
        self.run = Run(path) if (path / "run.json").is_file() else Run.create(path, {})
        self.low_view = LowRes(case.factor)
        self.mean = as_float(self.clips).mean((0, 1, 3, 4))
        means = as_float(self.clips).mean((1, 3, 4))
        self.spread = means.std(0).square().mean().sqrt().item()

    @cached_property
    def clips(self) -> Tensor:
        """Windows of scenes that are seen no further, from any of their frames on."""
        shown = videos(PARTIAL_WORLD, self.seed * 1_000_000, self.case.partial // 2, self.case)
        first = np.random.default_rng(self.seed).integers(self.case.frames - self.case.window + 1, size=len(shown))
        return torch.stack([video[at : at + self.case.window] for video, at in zip(shown, first, strict=True)])

    @cached_property
    def small(self) -> Tensor:
        """Other scenes, whole but small."""
        half = self.case.partial // 2
        shown = videos(PARTIAL_WORLD, self.seed * 1_000_000 + half, half, self.case)
        return self.low_view.restrict(shown.float()).round().byte()

    def full(self, n: int) -> Tensor:
        """The first n full videos: a smaller set is within a larger one."""
        return videos(FULL_WORLD, self.seed * 1_000_000, n, self.case)

    def net(self, patch: int, number: int) -> NetDenoiser:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed * 100 + number)
            net = FactorizedNet(NetConfig(blocks=("space", "time") * 2, width=self.case.width, patch=patch))
        return NetDenoiser(net, self.mean, spread=self.spread, precision=PRECISION)

    def fit(
        self,
        name: str,
        model: nn.Module,
        frames: Tensor | Callable[[int], Batch],
        steps: int,
        *,
        batch: int | None = None,
        loss: Callable[[nn.Module, nn.Module | None], Loss] = lambda net, _: partial(view_loss, net),  # type: ignore[arg-type]
        lower: float = 0.0,
        held_out: Callable[[nn.Module], Mapping[float, float]] | None = None,
        any_length: bool = False,
        lr: float = 1.0,
    ) -> nn.Module:
        """Train one net on videos, or on what each step draws.

        ``lower`` is subtracted from the mean of ln sigma, ``lr`` scales the learning rates.
        """
        config = StageConfig(steps=steps, batch=batch or self.case.batch, sigma=SigmaDensity(P_mean=-0.3 - lower))
        optim = config.optim.model_copy(
            update={"lr_muon": lr * config.optim.lr_muon, "lr_adamw": lr * config.optim.lr_adamw}
        )
        ema = min(config.ema, 1 - 20 / max(steps, 40))
        config = config.model_copy(update={"optim": optim, "ema": ema, "report_every": max(1, steps // CHECKS)})
        if isinstance(frames, Tensor):
            frames = batches(frames, config.batch, name=name, seed=self.seed, any_length=any_length)
        stage = Stage(name, config, model, loss, frames, held_out, seed=self.seed, precision=PRECISION)
        return fit(stage, self.run).requires_grad_(False).eval()

    # -- the views -----------------------------------------------------------------------------------------------

    def clip(self, n: int) -> NetDenoiser:
        """The clip net that there is for n full videos: what they leave to spend differs."""
        steps, net = self.case.budget(n).views, self.net(self.case.side // 2, 1)
        return self.fit(f"clip-{steps}", net, self.clips, steps, batch=2 * self.case.batch, any_length=True)  # type: ignore[return-value]

    def low(self, n: int) -> NetDenoiser:
        steps, net = self.case.budget(n).views, self.net(self.case.side // 2 // self.case.factor, 2)
        lower = float(np.log(self.case.factor))
        return self.fit(f"low-{steps}", net, self.small, steps, lower=lower, any_length=True)  # type: ignore[return-value]

    def composition(self, n: int, join: Join = back_projection) -> Stream:
        clips = windowed(at_frame_rate(self.clip(n), FPS), tapered(self.case.window, self.case.window // 2))
        low = windowed(at_frame_rate(self.low(n), FPS), tapered(self.case.frames, self.case.frames // 2))
        return joined(clips, self.low_view, low, join)

    def gated_composition(self, n: int) -> Denoise:
        """The view gate measured on the n videos or, without any, on clips, which say nothing of high noise."""
        gate = ViewGate(reach=float("inf") if n else CLIPS_REACH)
        measured = as_float((self.full(n) if n else self.clips)[:MOST_MEASURED])
        times = torch.arange(measured.shape[1]).expand(measured.shape[:2]) / FPS
        gate.measure(self.composition(n, both_ends), [Batch(measured, times)], seed=self.seed)
        return whole(self.composition(n, gate))

    # -- one net for all of them -----------------------------------------------------------------------------------

    def pooled(self, n: int, *, times: int = 1) -> Denoise:
        """One net, taught by short clips, by small videos from some noise level on, and by the n full ones.

        ``times`` as many steps as the others may take, then at higher rates.
        """
        name, lr = (f"pooled-n{n}-x{times}", LONG_LR) if times > 1 else (f"pooled-n{n}", 1.0)
        net = self.fit(name, self._fresh(), self.of_all(n), times * self.case.direct_steps, lr=lr)
        return at_frame_rate(net, FPS)  # type: ignore[arg-type]

    def of_all(self, n: int) -> Callable[[int], Batch]:
        """Draw from all videos by turns, as many frames in every step."""
        case = self.case
        share = shares(clips=len(self.clips), small=len(self.small), full=n)
        named = partial(batches, seed=self.seed)
        clips = named(self.clips, case.batch * case.frames // case.window, name="pooled clips")
        small = named(self.small, case.batch, name="pooled small")
        full = named(self.full(max(n, 1)), case.batch, name="pooled full")
        lifted = lambda step: enlarged(small(step), self.low_view, LEAST_SIGMA)  # noqa: E731
        return lambda step: (clips, lifted, full)[turn(share, step)](step)

    # -- learning from the n full videos ---------------------------------------------------------------------------

    def direct(self, n: int) -> Denoise:
        """From nothing, on the full videos alone."""
        return at_frame_rate(self.stopped(f"direct-n{n}", self._fresh, n, self._direct_steps(n)), FPS)  # type: ignore[arg-type]

    def direct_longer(self, n: int) -> Denoise:
        """The same for as many steps as direct training and the views take together, however it does."""
        steps = self.case.direct_steps + self.case.view_steps_as_direct(self.case.budget(n))
        return at_frame_rate(self.fit(f"direct-n{n}-longer", self._fresh(), self.full(n), steps), FPS)  # type: ignore[arg-type]

    def direct_in_clips(self, n: int) -> Denoise:
        """Direct training in which every second step is of short clips, cut from the same n videos."""
        case, named = self.case, partial(batches, seed=self.seed)
        starts = range(case.frames - case.window + 1)
        cut = torch.cat([self.full(n)[:, first : first + case.window] for first in starts])
        clips = named(cut, case.batch * case.frames // case.window, name="own clips")
        full = named(self.full(n), case.batch, name="own")
        draw = lambda step: (full, clips)[step % 2](step)  # noqa: E731
        return at_frame_rate(self.fit(f"direct-n{n}-in-clips", self._fresh(), draw, case.direct_steps), FPS)  # type: ignore[arg-type]

    def direct_blended(self, n: int, D_views: Denoise) -> Denoise:
        """D_views + g(sigma) (D_direct − D_views), g by the net that told how long to train, on what it never saw."""
        shorter = self.tried(f"direct-n{n}", self._fresh, n, self._direct_steps(n))
        unseen = as_float(self.full(n)[: self.left_out(n)])[:MOST_MEASURED]
        R = _toward(at_frame_rate(shorter, FPS))  # type: ignore[arg-type]
        sums = gate_sums(corrected_by(D_views, R), unseen, seed=self.seed)
        return _corrected(D_views, _toward(self.direct(n)), smooth_gate(*sums))

    def _direct_steps(self, n: int) -> int:
        return min(self.case.direct_steps, FEW_STEPS + EACH * n)

    def _fresh(self) -> NetDenoiser:
        return self.net(self.case.side // 2, 3)

    def tuned(self, n: int) -> Denoise:
        """The clip net, trained on at the full length."""
        return at_frame_rate(
            self.stopped(f"tuned-n{n}", partial(self._clip_copy, n), n, self.case.budget(n).tuning, lr=TUNING_LR), FPS
        )  # type: ignore[arg-type]

    def blended(self, n: int, D_views: Denoise) -> Denoise:
        """D_views + g(sigma) (D_tuned − D_views), g by nets tuned on one half of the n and measured on the other."""
        steps = self.chosen_steps(
            f"tuned-n{n}", partial(self._clip_copy, n), n, self.case.budget(n).tuning, lr=TUNING_LR
        )

        def learn(fold: int, seen: Tensor) -> Correction:
            net = self.fit(f"tuned-n{n}-fold{fold}", self._clip_copy(n), seen, steps, lr=TUNING_LR)
            return _toward(at_frame_rate(net, FPS))  # type: ignore[arg-type]

        sums = self.cross_fitted(n, D_views, learn)
        return _corrected(D_views, _toward(self.tuned(n)), smooth_gate(*sums))

    def residual(self, n: int, D_views: Denoise, *, penalty: float = 1.0, kind: str = "residual") -> Denoise:
        """R(y, D_views, sigma) of its own net, from the clip net's weights with a zero output and a penalty.

        Half as many steps, as each needs D_views too.
        """
        loss = lambda residual, _: residual_loss(residual, D_views, penalty=penalty)  # noqa: E731

        def made(name: str, seen: Tensor) -> Residual:
            net = Residual(self.clip(n), fps=FPS).requires_grad_(True)
            return self.fit(name, net, seen, self.case.budget(n).tuning // 2, loss=loss, lr=TUNING_LR)  # type: ignore[return-value]

        sums = self.cross_fitted(n, D_views, lambda fold, seen: made(f"{kind}-n{n}-fold{fold}", seen))
        return _corrected(D_views, made(f"{kind}-n{n}", self.full(n)), smooth_gate(*sums))

    def cross_fitted(self, n: int, D_views: Denoise, learn: Callable[[int, Tensor], Correction]) -> Tensor:
        """Sum <R, x − D_views> and |R|² over the n videos, each by the R that was learned without it."""
        # Halves, not every second one: what a scene shows takes turns with its number.
        first, second = self.full(n).chunk(2)
        sums = torch.zeros(2, KNOTS)
        for fold, (seen, unseen) in enumerate([(second, first), (first, second)]):
            measured = as_float(unseen[:MOST_MEASURED])
            sums += gate_sums(corrected_by(D_views, learn(fold, seen)), measured, seed=self.seed * 1_000_003 + fold)
        return sums

    def stopped(self, name: str, make: Callable[[], NetDenoiser], n: int, most: int, *, lr: float = 1.0) -> nn.Module:
        """Train on all n for as many steps as did best for videos left out."""
        return self.fit(name, make(), self.full(n), self.chosen_steps(name, make, n, most, lr=lr), lr=lr)

    def chosen_steps(self, name: str, make: Callable[[], NetDenoiser], n: int, most: int, *, lr: float) -> int:
        """The length, of up to ``most`` steps, at which a training on three quarters of the n is best on the others."""
        if n >= MANY:
            return most
        self.tried(name, make, n, most, lr=lr)
        rows = [row for row in self.run.metrics() if row["stage"] == f"{name}-choice"]
        return min(rows, key=lambda row: row["held_out_loss"])["step"]

    def left_out(self, n: int) -> int:
        """How many of the n, the first, tell how long to train."""
        return max(1, n // 4)

    def tried(self, name: str, make: Callable[[], NetDenoiser], n: int, most: int, *, lr: float = 1.0) -> nn.Module:
        """Train on the others for ``most`` steps, measuring those left out on the way."""
        frames, left_out = self.full(n), self.left_out(n)
        x = as_float(frames[:left_out])[:MOST_MEASURED]

        def held_out(net: nn.Module) -> dict[float, float]:
            with torch.no_grad():
                by_level = losses(at_frame_rate(net, FPS), x, seed=self.seed).mean(0)  # type: ignore[arg-type]
            return dict(zip(SIGMAS.tolist(), by_level.tolist(), strict=True))

        return self.fit(f"{name}-choice", make(), frames[left_out:], most, held_out=held_out, lr=lr)

    def _clip_copy(self, n: int) -> NetDenoiser:
        copy = self.net(self.case.side // 2, 1)
        copy.load_state_dict(self.clip(n).state_dict())
        return copy.requires_grad_(True)


def _toward(denoise: Denoise) -> Correction:
    return lambda y, D_views, sigma: denoise(y, sigma) - D_views


def _corrected(D_views: Denoise, R: Correction, gate: Tensor) -> Denoise:
    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        D_y, R_y = corrected_by(D_views, R)(y, sigma)
        return D_y + expand(gate_at(sigma, knots(), gate), y) * R_y

    return denoise

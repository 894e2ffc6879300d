"""The one place where names become objects: nets from settings, compositions from a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import torch
from torch import Tensor, nn

from vidboot import config as settings
from vidboot.composition import (
    Join,
    Plan,
    Stream,
    back_projection,
    joined,
    only_band,
    refined,
    tapered,
    windowed,
)
from vidboot.config import Config
from vidboot.denoiser import NetDenoiser, at_frame_rate
from vidboot.device import device_of, is_here, precision_here
from vidboot.nets.factorized import FactorizedNet, NetConfig
from vidboot.nets.gate import ViewGate
from vidboot.nets.residual import Residual
from vidboot.policy import Policy
from vidboot.run import Run, load_tensors
from vidboot.views import LowRes, TimeMean

M = TypeVar("M", bound=nn.Module)

_drawing = threading.Lock()
"""torch draws the weights of all threads from one generator."""


def low_res_stage(level: int) -> str:
    """Name of the net of a level of the low-res view: 0 is the finest."""
    return f"low_res{level}"


def gate_stage(level: int) -> str:
    """Name of the gate that joins what is below with the low-res net of a level."""
    return f"gate{level}"


NEEDS = {
    Policy.full: (low_res_stage(0), "clip", "residual"),
    Policy.composition: (low_res_stage(0), "clip"),
    Policy.clips_only: ("clip",),
    Policy.low_res_only: (low_res_stage(0),),
    Policy.direct: ("direct",),
}
"""Stages whose nets a policy takes."""


@contextmanager
def _fresh_weights(seed: int) -> Iterator[None]:
    """Draw weights from ``seed`` alone, whatever other threads draw."""
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        yield


@dataclass(frozen=True)
class Parts:
    """Builds a run's modules, with fresh weights."""

    config: Config
    mean: Tensor
    spread: float
    clip_frames: int
    """Longest clip that the net of sharp video was trained on, or the clips' window if that is longer."""
    precision: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, run: Run) -> Parts:
        """Read from a run what its modules need; what this machine does not have, or is very slow at, is replaced.

        Raises:
            ValueError: the run's settings are not of this version.
        """
        record = run.record
        missing = [key for key in ("config", "precision", "mean", "spread", "clip_frames") if key not in record]
        if missing:
            raise ValueError(f"{run.path / 'run.json'} lacks {', '.join(missing)}")
        config = settings.check(record["config"])
        if config.device != "auto" and not is_here(torch.device(config.device)):
            config = config.model_copy(update={"device": "auto"})
        device, precision = device_of(config), record["precision"]
        # What is set is done; what was measured was measured on another machine.
        dtype = precision_here(precision, device) if config.precision == "auto" else getattr(torch, precision)
        return cls(config, torch.tensor(record["mean"]), record["spread"], record["clip_frames"], dtype, device)

    def denoiser(self, net: NetConfig, *, seed: int) -> NetDenoiser:
        with _fresh_weights(seed):
            made = NetDenoiser(FactorizedNet(net), self.mean, spread=self.spread, precision=self.precision)
        return made.to(self.device)

    def low_res(self, level: int) -> NetDenoiser:
        return self.denoiser(self.config.low_res.net, seed=self.config.seed + 10 + level)

    def clip(self) -> NetDenoiser:
        return self.denoiser(self.config.clip.net, seed=self.config.seed + 1)

    def sharp_plan(self) -> Plan:
        """Return how a video is cut into windows for the net of sharp video: as long as the clips it learned from."""
        config, frames = self.config.clip, self.clip_frames
        return tapered(frames, config.overlap if frames == config.window else frames // 2)

    def clips_plan(self) -> Plan:
        """Return how a video is cut into windows as short as the shortest clips."""
        return tapered(self.config.clip.window, self.config.clip.overlap)

    def low_res_plan(self) -> Plan:
        """Return how a low-res video is cut into windows."""
        return tapered(self.config.low_res.window, self.config.low_res.overlap)

    def long_plan(self) -> Plan:
        """Return how a video is cut into windows as long as the full videos."""
        frames = self.config.video.frames
        return tapered(frames, frames // 2)

    def gate(self, level: int) -> ViewGate:
        return ViewGate(reach=self.config.gate_of(level).reach).to(self.device)

    def residual(self, clip: NetDenoiser) -> Residual:
        return Residual(clip, fps=self.config.video.fps).to(self.device)

    def direct(self) -> NetDenoiser:
        return self.denoiser(self.config.clip.net, seed=self.config.seed + 2)


class Model:
    """The trained modules of a run, and the denoisers that can be made of them.

    Raises:
        ValueError: the run's settings are not of this version.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.parts = Parts.of(run)
        self.config = self.parts.config
        self._modules: dict[str, nn.Module] = {}

    def stream(self, policy: Policy, frames: int) -> Stream:
        """Return the denoiser of a policy for videos of ``frames`` frames (see ``length``).

        Raises:
            ValueError: the run's training has not got far enough.
        """
        if policy == Policy.direct:
            return self._in_windows(self._loaded("direct", self.parts.direct), self._plan(policy, frames))
        if policy == Policy.low_res_only:
            return only_band(LowRes(self.config.low_res.factor), self.low_res_stream(frames))
        if policy == Policy.clips_only or frames <= self.config.clip.window:
            return self._in_windows(self.clip(), self._plan(policy, frames))
        composed = self.composition(frames)
        if self.made_by(policy) == Policy.composition:
            return composed
        return refined(composed, self.residual().gated, self.parts.long_plan())

    def _plan(self, policy: Policy, frames: int) -> Plan:
        """Return how a policy cuts a video into windows."""
        if policy == Policy.direct:
            return self.parts.long_plan()
        if policy == Policy.low_res_only:
            return self.parts.low_res_plan()
        short = policy == Policy.clips_only or frames <= self.config.clip.window
        return self.parts.clips_plan() if short else self.parts.sharp_plan()

    def joins(self, policy: Policy, frames: int) -> list[int]:
        """Return the first frames of the windows after the first, of which a policy joins a video."""
        return [piece.start for piece in self._plan(policy, frames)(frames)[1:]]

    @property
    def device(self) -> torch.device:
        return self.parts.device

    def can(self, policy: Policy) -> bool:
        """Whether the run has what the policy needs."""
        return all(self.run.done(stage) for stage in NEEDS[policy])

    def made_by(self, policy: Policy) -> Policy:
        """Return the policy that a video of ``policy`` is made by: where no residual was trained, ``full`` is the
        composition."""
        return Policy.composition if policy == Policy.full and not self.run.done("residual") else policy

    def able(self) -> list[Policy]:
        """Return the policies that the run has all nets of, the best first."""
        return [policy for policy in Policy if self.can(policy)]

    def length(self, policy: Policy, frames: int) -> int:
        """Return how many frames must be sampled to get ``frames``: whole groups of the coarsest level in use."""
        if policy in (Policy.direct, Policy.clips_only):
            return frames
        low_res = self.config.low_res
        group = low_res.group ** low_res.coarser(frames, self._coarser_levels())
        return -(-frames // group) * group

    def composition(self, frames: int, *, join: Join | None = None) -> Stream:
        """Sharp windows in time, joined with the low-res view; ``join`` stands in for the run's own gate."""
        sharp, view = self._in_windows(self.clip(), self.parts.sharp_plan()), LowRes(self.config.low_res.factor)
        # A gate that is being measured needs both ends at every level.
        below = self.config.clip.sigma_max if join is None else float("inf")
        return joined(sharp, view, self.low_res_stream(frames), join or self.join(0), inner_below=below)

    def clip(self) -> NetDenoiser:
        return self._loaded("clip", self.parts.clip)

    def _in_windows(self, net: NetDenoiser, plan: Plan) -> Stream:
        return windowed(at_frame_rate(net, self.config.video.fps), plan)

    def low_res_stream(self, frames: int, *, level: int = 0, join: Join | None = None) -> Stream:
        """The low-res net of a level, joined with the next coarser one, which sees farther and, of a short video, more
        of it in each frame."""
        config = self.config.low_res
        fps = self.config.video.fps / config.group**level
        net = self._loaded(low_res_stage(level), lambda: self.parts.low_res(level))
        fine = windowed(at_frame_rate(net, fps), self.parts.low_res_plan())
        if not config.coarser(frames, self._coarser_levels() - level):
            return fine
        coarser = self.low_res_stream(-(-frames // config.group), level=level + 1)
        return joined(fine, TimeMean(config.group), coarser, join or self.join(level + 1))

    def join(self, level: int) -> Join:
        """Return the gate above a level, or plain back-projection if none was measured."""
        if not self.run.done(gate_stage(level)):
            return back_projection
        return self._loaded(gate_stage(level), lambda: self.parts.gate(level))

    def residual(self) -> Residual:
        return self._loaded("residual", lambda: self.parts.residual(self.parts.clip()))

    def _coarser_levels(self) -> int:
        """Count the levels above the finest that the run has."""
        return next(level for level in count() if not self.run.done(low_res_stage(level + 1)))

    def _loaded(self, stage: str, make: Callable[[], M]) -> M:
        """Return a stage's module with its trained weights, loaded once."""
        if stage not in self._modules:
            if not self.run.done(stage):
                able = ", ".join(self.able())
                so_far = f"; as it is, it can make {able} (--policy)" if able else ""
                raise ValueError(
                    f"{self.run.path} holds no trained {stage!r}: its vidboot train goes on, if data allows{so_far}"
                )
            module = make()
            module.load_state_dict(load_tensors(self.run.weights(stage))[0])
            self._modules[stage] = module.requires_grad_(False).eval()
        return self._modules[stage]  # type: ignore[return-value] - the maker of a stage never changes

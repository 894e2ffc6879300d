"""The stages of a training: what each net is trained on, and with what loss, and what each gate is measured on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import imageio.v3 as iio
import torch
from einops import rearrange
from torch import Tensor, nn

from vidboot.build import Model, gate_stage
from vidboot.composition import whole
from vidboot.config import Config
from vidboot.data.clips import Pool
from vidboot.data.mixture import Mixture
from vidboot.denoiser import Denoise, Denoiser, NetDenoiser
from vidboot.fit import Loss, Report, Stage, StageConfig, Stopped, fit
from vidboot.losses import HELD_OUT_SIGMAS, Batch, held_out_losses, loss_weight, view_loss, without_holes
from vidboot.metrics import Template, leak_score
from vidboot.nets.gate import both_ends
from vidboot.nets.residual import Residual
from vidboot.noise import expand, level_noise
from vidboot.run import Run, save_tensors
from vidboot.sampler import sde
from vidboot.training_data import TrainingData

HELD_OUT_CLIPS = 16
"""Clips that the held-out loss of a view is measured on."""
STRIP_ROWS, STRIP_FRAMES, STRIP_LEVELS = 4, 16, 8
"""Size of a strip of samples, and the noise levels it is sampled with."""


@dataclass(frozen=True)
class Training:
    """One run being trained."""

    run: Run
    config: Config
    data: TrainingData
    report: Report
    marks: Sequence[Template] = ()
    """Of the folder: how much of them samples show is measured on the way."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Once set, every stage ends at its next step and can be resumed."""

    def fit_view(
        self, name: str, config: StageConfig, model: NetDenoiser, pool: Pool | Mixture, held_out: Pool | None = None
    ) -> nn.Module:
        """Train a net on the clips of one view, or of several."""
        device = model.mean.device
        measured = list(held_out.fixed(config.batch, most=HELD_OUT_CLIPS)) if held_out else []
        measured = [batch.to(device) for batch in measured]

        def loss_on_held_out(net: nn.Module) -> dict[float, float]:
            losses = held_out_losses(_as_denoiser(net), measured, HELD_OUT_SIGMAS, seed=self.config.seed)
            return dict(zip(HELD_OUT_SIGMAS, losses, strict=True))

        def draw(step: int) -> Batch:
            batch = pool.batch(config.batch, seed=self.config.seed, stage=name, step=step)
            return replace(batch, blind=pool.blind)

        stage = Stage(
            name=name,
            config=config,
            model=model,
            loss=lambda net, average: partial(view_loss, _as_denoiser(net), guess=average and _as_denoiser(average)),
            batch=draw,
            held_out=loss_on_held_out if measured else None,
            sample=partial(self._strip, name, pool),
            seed=self.config.seed,
            device=device,
            precision=model.precision,
        )
        return self._fit(stage)

    def measure_gate(self, level: int) -> None:
        """Measure the gate that joins what is below a level with it; stopped, it begins anew.

        Raises:
            Stopped: training was asked to stop.
        """
        name, config, pool = gate_stage(level), self.config.gate_of(level), self.data.gate_pool(level)
        frames, seed = pool.longest, self.config.seed
        least = self.config.low_res.group if level else 0  # of so short a video the coarser level sees one frame
        if not config.steps or frames <= least or self.run.done(name):
            return
        model = Model(self.run)
        gate = model.parts.gate(level)

        def batches() -> Iterator[Batch]:
            for step in range(config.steps):
                if self.stop.is_set():
                    raise Stopped(f"stage {name} was stopped at step {step}")
                batch = pool.batch(config.batch, seed=seed, stage=name, step=step)
                yield without_holes(batch).to(model.device)

        ends = (
            model.low_res_stream(frames, level=level - 1, join=both_ends)
            if level
            else model.composition(frames, join=both_ends)
        )
        gate.measure(ends, batches(), seed=seed)
        save_tensors(self.run.weights(name), gate.state_dict(), steps=config.steps)

    def fit_residual(self, name: str, pool: Pool) -> Residual:
        """Train a residual over the frozen composition."""
        model, config = Model(self.run), self.config.residual
        D_views = whole(model.composition(pool.longest))
        stage = Stage(
            name=name,
            config=config.train,
            model=model.parts.residual(model.clip()).requires_grad_(True),
            loss=lambda residual, _: residual_loss(residual, D_views, penalty=config.penalty),
            batch=lambda step: pool.batch(config.train.batch, seed=self.config.seed, stage=name, step=step),
            seed=self.config.seed,
            device=model.device,
            precision=model.parts.precision,
        )
        residual = self._fit(stage)
        assert isinstance(residual, Residual)
        return residual

    def _fit(self, stage: Stage) -> nn.Module:
        return fit(stage, self.run, self.report, stop=self.stop.is_set)

    def _strip(self, name: str, pool: Pool | Mixture, net: nn.Module, step: int) -> dict[str, float]:
        """Leave a picture of sampled clips, one a row, as samples/STAGE-STEP.png, and measure the marks in them."""
        assert isinstance(net, NetDenoiser)
        like = pool.batch(STRIP_ROWS, seed=self.config.seed, stage="strip", step=0).to(net.mean.device)
        B, T, *frame = like.video.shape
        sigmas = self.config.sampler.model_copy(update={"levels": STRIP_LEVELS}).sigmas()

        @torch.no_grad()
        def denoise(y: Tensor, sigma: Tensor) -> Tensor:
            return net(y, sigma, pts_seconds=like.pts_seconds)

        noise = level_noise((B, *frame), self.config.seed)
        y = net.mean + sigmas[0].item() * noise(0, 0, T).to(like.video)
        video = sde(denoise, y, sigmas, noise).cpu()
        strip = video[:, :: max(1, video.shape[1] // STRIP_FRAMES)].clamp(-1, 1).add(1).mul(127.5).round().byte()
        folder = self.run.path / "samples"
        folder.mkdir(exist_ok=True)
        iio.imwrite(folder / f"{name}-{step:06}.png", rearrange(strip, "B T C H W -> (B H) (T W) C").numpy())
        full_size = video.shape[-2:] == (self.config.video.height, self.config.video.width)
        return {"leak_score": leak_score(video, self.marks)} if self.marks and full_size else {}


def residual_loss(residual: nn.Module, D_views: Denoise, *, penalty: float) -> Loss:
    """Squared error of D_views + R, and a penalty on R: what is not there to be learnt costs more than it gains."""

    def loss(batch: Batch, sigma: Tensor, noise: Tensor) -> Tensor:
        y = batch.video + expand(sigma, batch.video) * noise
        with torch.no_grad():
            D_y = D_views(y, sigma)
        R = residual(y, D_y, sigma)
        error = (D_y + R - batch.video) ** 2 + penalty * R**2
        return (loss_weight(sigma) * error.mean((1, 2, 3, 4))).mean()

    return loss


def _as_denoiser(net: nn.Module) -> Denoiser:
    return net  # type: ignore[return-value] - the forward of a NetDenoiser is a Denoiser

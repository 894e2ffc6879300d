"""fit: the one training loop. Every stage uses it; running it again resumes, bit for bit on a CPU.

On a GPU the backward of PyTorch's attention adds in no fixed order.
"""

from __future__ import annotations

import copy
import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn

from vidboot.errors import WorkFailed
from vidboot.losses import Batch
from vidboot.noise import SigmaDensity, raised, seeded
from vidboot.optim import OptimConfig, Optimizer
from vidboot.run import Run, load_tensors, save_tensors
from vidboot.settings import Settings


class StageConfig(Settings):
    """How one stage is trained."""

    steps: int = Field(default=1000, ge=0)
    """Updates; 0 leaves the stage out."""
    batch: int = Field(default=8, gt=0)
    """Clips per update."""
    sigma: SigmaDensity = SigmaDensity()
    """Noise levels trained at."""
    optim: OptimConfig = OptimConfig()
    """Learning rates."""
    ema: float = Field(default=0.995, ge=0, lt=1)
    """Memory of the averaged weights, per step."""
    report_every: int = Field(default=100, gt=0)
    """Steps between measurements of the held-out loss."""
    checkpoint_seconds: float = Field(default=30.0, ge=0)
    """Least time between checkpoints."""


class NonFiniteLoss(WorkFailed):
    """Training stopped because a loss, or its gradient, was NaN or infinite."""


LEARNED = 0.25
"""Share of a run after which the average is worth asking."""
Loss = Callable[[Batch, Tensor, Tensor], Tensor]
"""(batch, sigma [B], noise like the video) -> scalar."""


@dataclass(frozen=True)
class Stage:
    """One thing to train, and what with."""

    name: str
    config: StageConfig
    model: nn.Module
    """Holds the parameters; only those that require a gradient are trained."""
    loss: Callable[[nn.Module, nn.Module | None], Loss]
    """Binds the loss to the model and, once it has learned something, to its average."""
    batch: Callable[[int], Batch]
    """The batch of a step: a pure function of the step."""
    held_out: Callable[[nn.Module], Mapping[float, float]] | None = None
    """Loss of the averaged model by noise level; None where nothing was held out."""
    sample: Callable[[nn.Module, int], Mapping[str, float]] | None = None
    """Leaves a picture of what the averaged model makes, given the step, and measures it."""
    seed: int = 0
    device: torch.device | str = "cpu"
    precision: torch.dtype = torch.float32
    """Of the optimizer's products."""


Report = Callable[[dict[str, object]], None]
"""Takes a row of metrics.jsonl."""


class Stopped(WorkFailed):
    """Training was asked to stop; the same call goes on."""


def fit(
    stage: Stage, run: Run, report: Report = lambda row: None, *, stop: Callable[[], bool] = lambda: False
) -> nn.Module:
    """Train a stage to its end, from its last checkpoint if there is one, and return the averaged model.

    The averaged weights are left in the run as ``STAGE/weights.safetensors``.

    Args:
        stage: what to train.
        run: where its checkpoint, its weights and its metrics go.
        report: takes each row of metrics.jsonl.
        stop: asked after each step.

    Raises:
        NonFiniteLoss: a loss or its gradient was NaN or infinite; the last checkpoint is untouched.
        Stopped: ``stop`` said so.
    """
    config = stage.config
    if run.done(stage.name):
        run.checkpoint(stage.name).unlink(missing_ok=True)
        return _load(copy.deepcopy(stage.model).eval(), load_tensors(run.weights(stage.name))[0])
    model, average = stage.model.train(), copy.deepcopy(stage.model).requires_grad_(False).eval()
    optimizer = Optimizer(model, config.optim, precision=stage.precision)
    first = _resume(stage, run, average, optimizer)
    loss_of, clock = stage.loss(model, None), _Clock(first, config.steps)
    learned = max(first, round(LEARNED * config.steps))
    for step, batch, sigma, noise in _prefetched(stage, first, clock):
        if step == learned:
            loss_of = stage.loss(model, average)
        loss = loss_of(batch, sigma, noise)
        loss.backward()
        norm = optimizer.step(step, config.steps)
        lost, length = torch.stack([loss.detach(), norm]).tolist()
        if not math.isfinite(lost + length):
            what = f"the loss is {lost}, the norm of its gradient {length}"
            raise NonFiniteLoss(_what_failed(stage, run, step, batch, what))
        _follow(average, model, min(config.ema, (step + 1) / (step + 10)))
        clock.took(lost)
        done = step + 1
        if done % config.report_every == 0 or done == config.steps:
            row = _measure(stage, average, done, clock)
            run.log(row)
            report(row)
        if clock.due(config.checkpoint_seconds) and done < config.steps:
            _save(stage, run, done, average, optimizer)
            clock.kept()
        if done < config.steps and stop():
            _save(stage, run, done, average, optimizer)
            raise Stopped(f"stage {stage.name} was stopped at step {done}")
    save_tensors(run.weights(stage.name), average.state_dict(), steps=config.steps)
    run.checkpoint(stage.name).unlink(missing_ok=True)
    return average


def _prefetched(stage: Stage, first: int, clock: _Clock) -> Iterator[tuple[int, Batch, Tensor, Tensor]]:
    """Read the next batch, and draw its noise levels and noise, while this one is trained on."""
    pinned = torch.device(stage.device).type == "cuda"

    def ready(step: int) -> tuple[Batch, Tensor, Tensor]:
        batch = stage.batch(step)
        sigma, noise = _draw(stage, step, batch)
        return (batch.pinned(), sigma, noise.pin_memory()) if pinned else (batch, sigma, noise)

    with ThreadPoolExecutor(1) as reader:
        steps = range(first, stage.config.steps)
        ahead = reader.submit(ready, first) if steps else None
        for step in steps:
            assert ahead is not None
            with clock.waiting():
                batch, sigma, noise = ahead.result()
            ahead = reader.submit(ready, step + 1) if step + 1 < stage.config.steps else None
            yield step, batch.to(stage.device), sigma.to(stage.device), noise.to(stage.device, non_blocking=pinned)


def _draw(stage: Stage, step: int, batch: Batch) -> tuple[Tensor, Tensor]:
    """Draw noise levels and noise: a pure function of the step, drawn on the CPU so that devices agree."""
    generator = seeded(stage.seed * 1_000_003 + step)
    sigma = raised(stage.config.sigma.draw(len(batch.video), generator), batch.least_sigma)
    return sigma, torch.randn(batch.video.shape, generator=generator)


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, memory: float) -> None:
    for a, p in zip(average.parameters(), model.parameters(), strict=True):
        if p.requires_grad:
            a.lerp_(p, 1 - memory)


def _resume(stage: Stage, run: Run, average: nn.Module, optimizer: Optimizer) -> int:
    """Load the last checkpoint, if any, and return the step to go on from."""
    path = run.checkpoint(stage.name)
    if not path.is_file():
        run.forget(stage.name, 0)
        return 0
    tensors, facts = load_tensors(path)
    _load(stage.model, _under("net.", tensors))
    _load(average, _under("average.", tensors))
    optimizer.load(_under("optimizer.", tensors))
    run.forget(stage.name, facts["step"])
    return facts["step"]


def _save(stage: Stage, run: Run, step: int, average: nn.Module, optimizer: Optimizer) -> None:
    parts = {"net": stage.model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state()}
    tensors = {f"{part}.{key}": value for part, state in parts.items() for key, value in state.items()}
    save_tensors(run.checkpoint(stage.name), tensors, step=step)


def _load(module: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    module.load_state_dict(state)
    return module


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _what_failed(stage: Stage, run: Run, step: int, batch: Batch, what: str) -> str:
    checkpoint = run.checkpoint(stage.name)
    kept = f"the last good checkpoint is {checkpoint}" if checkpoint.is_file() else "no checkpoint was written yet"
    files = ", ".join(sorted(set(batch.sources))) or "unnamed clips"
    return f"stage {stage.name}, step {step}: {what}; {kept}; the batch came from {files}"


def _measure(stage: Stage, average: nn.Module, step: int, clock: _Clock) -> dict[str, object]:
    row: dict[str, object] = {"stage": stage.name, "step": step, "steps": stage.config.steps, **clock.read(step)}
    if torch.device(stage.device).type == "cuda":
        row["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated(stage.device) / 2**20
    if stage.held_out is not None:
        bands = stage.held_out(average)
        row["held_out_loss"] = sum(bands.values()) / len(bands)
        row["held_out_bands"] = {str(sigma): loss for sigma, loss in bands.items()}
    if stage.sample is not None:
        row |= stage.sample(average, step)
    clock.pause_over()
    return row


class _Clock:
    """Where the time goes: training, waiting for data; and when it will be over."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps = first, steps
        self.began = self.saved = self.reported = time.monotonic()
        self.waited = 0.0
        self.losses: list[float] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.waited += time.monotonic() - began

    def took(self, loss: float) -> None:
        self.losses.append(loss)

    def due(self, seconds: float) -> bool:
        return time.monotonic() - self.saved >= seconds

    def kept(self) -> None:
        """A checkpoint is written; the time to the next counts from here, however long it took."""
        self.saved = time.monotonic()

    def read(self, step: int) -> dict[str, float]:
        """Summarise what happened since the last reading."""
        now = time.monotonic()
        row = {
            "train_loss": sum(self.losses) / len(self.losses),
            "seconds": now - self.began,
            "ms_per_step": 1e3 * (now - self.reported) / len(self.losses),
            "data_wait_percent": 100 * self.waited / (now - self.reported),
            "eta_seconds": (now - self.began) / (step - self.first) * (self.steps - step),
            "peak_memory_mb": peak_memory_mb(),
        }
        self.waited, self.losses = 0.0, []
        return row

    def pause_over(self) -> None:
        """Measuring is over; the next reading counts from here."""
        self.reported = time.monotonic()


def peak_memory_mb() -> float:
    """Peak resident set of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

"""Training: from a scanned folder to a run that holds every view's net, their gates, the residual, the baseline."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidboot.build import Model, Parts, device_of, faster_precision, gate_stage, knots, low_res_stage
from vidboot.composition import Join, whole
from vidboot.config import Config
from vidboot.data import cache
from vidboot.data.clips import Pool, mean_colour
from vidboot.data.ledger import Line, Rules, ledger, masked_files
from vidboot.data.progress import Progress, silent
from vidboot.data.records import FileRecord, Shot
from vidboot.denoiser import Denoise, Denoiser, NetDenoiser
from vidboot.fit import BANDS, Loss, Report, Stage, StageConfig, fit
from vidboot.losses import Batch, held_out_losses, loss_weight, view_loss
from vidboot.nets.residual import Residual, smooth_gate
from vidboot.noise import expand
from vidboot.run import Run, save_tensors
from vidboot.sampler import heun

HELD_OUT_CLIPS = 16
LEAST_LONG_SHOTS = 2
"""A coarser level needs this many shots that fill half of its window."""
CROSS_FIT_DRAWS = 4
"""Noise draws per full video and noise level when the residual is cross-fitted."""


@dataclass(frozen=True)
class Folder:
    """A scanned folder: ``files`` and ``shots`` of the audit, where the videos and the working folder are."""

    videos: Path
    work: Path
    files: Sequence[FileRecord]
    shots: Sequence[Shot]


def train(
    folder: Folder, out: Path, config: Config, *, report: Report = lambda row: None, progress: Progress = silent
) -> Run:
    """Run every stage that the folder has data for; running it again resumes.

    Args:
        folder: what the scan found.
        out: the run directory.
        config: settings; those of an existing run must be the same.
        report: takes each row of metrics.jsonl.
        progress: told as the cache is built.

    Raises:
        ValueError: the run was begun with other settings or other videos, no shot can be used, or another process
            trains it now.
    """
    data = Data.of(folder, config, progress)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file, not a run directory")
    run = _open(out, config, data)
    with _alone(run):
        _train_views(run, config, data, report)
        if data.full:
            _train_on_full(run, config, data, report)
    return run


@dataclass(frozen=True)
class Data:
    """The cached shots that the stages draw from."""

    low: Sequence[cache.Entry]
    """All usable shots at the low-res view's size."""
    sharp: Sequence[cache.Entry]
    """Those at least as large as the video we want."""
    full: Sequence[cache.Entry]
    """Those that are also long enough and clean."""
    held_out: frozenset[str]
    """SHA-256 of the files kept from training."""
    masks: Path

    @classmethod
    def of(cls, folder: Folder, config: Config, progress: Progress) -> Data:
        """Sort the shots by what they can teach and cache them.

        Raises:
            ValueError: no shot can be used.
        """
        rules = Rules(clip_frames=2, low_res_factor=config.low_res.factor)
        lines = ledger(folder.files, folder.shots, config.video.target, masked=masked_files(folder.work), rules=rules)
        shot_of = {(shot.path, shot.shot): shot for shot in folder.shots}
        usable = [line for line in lines if line.shot is not None and line.view != "unused"]
        shots = [shot_of[line.path, line.shot] for line in usable if line.shot is not None]
        if not shots:
            raise ValueError(f"no shot of {folder.videos} can be used for {config.video.target}: see vidboot scan")
        factor, video = config.low_res.factor, config.video
        sharp = cache.Spec(video.height, video.width, video.fps)
        small = cache.Spec(video.height // factor, video.width // factor, video.fps)
        built = cache.build(shots, folder.videos, folder.work, [sharp, small], progress=progress)
        full = {(shot_of[line.path, line.shot].sha256, line.shot) for line in usable if line.view == "full"}
        of_sharp = [entry for entry in built.entries if _at(entry, sharp)]
        return cls(
            low=[entry for entry in built.entries if _at(entry, small)],
            sharp=of_sharp,
            full=[entry for entry in of_sharp if (entry.sha256, entry.shot) in full],
            held_out=_held_out([line for line in usable], shot_of, config.data.held_out),
            masks=folder.work / "masks",
        )

    def pool(self, entries: Sequence[cache.Entry], config: Config, **how: Any) -> Pool:
        data = config.data
        return Pool(entries, self.masks, flip=data.flip, reverse=data.reverse, **how)

    def split(self, entries: Sequence[cache.Entry], config: Config, **how: Any) -> tuple[Pool, Pool]:
        """Return the pool to train on and that to measure on."""
        kept = [entry for entry in entries if entry.sha256 not in self.held_out]
        held_out = [entry for entry in entries if entry.sha256 in self.held_out]
        return self.pool(kept, config, **how), self.pool(held_out, config, **how)

    @property
    def digest(self) -> str:
        """Names the data: the same shots, sizes and split give the same digest."""
        rows = [(Path(e.path).name, e.sha256 in self.held_out) for part in (self.low, self.sharp, self.full) for e in part]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _at(entry: cache.Entry, spec: cache.Spec) -> bool:
    return (entry.height, entry.width, entry.fps) == (spec.height, spec.width, spec.fps)


def _held_out(lines: Sequence[Line], shot_of: dict[tuple[str, int | None], Shot], share: float) -> frozenset[str]:
    """Choose files to measure on, by hash, never one with a full shot: those are too few to spare."""
    full = {shot_of[line.path, line.shot].sha256 for line in lines if line.view == "full"}
    chosen: set[str] = set()
    for view in ("low_res", "short_clip"):
        files = sorted({shot_of[line.path, line.shot].sha256 for line in lines if line.view == view} - full)
        chosen.update(files[: round(share * len(files)) or int(share > 0 and len(files) >= 4)])
    return frozenset(chosen)


def _open(out: Path, config: Config, data: Data) -> Run:
    """Open the run, or begin it."""
    if (out / "run.json").is_file():
        run = Run(out)
        begun = run.record["config"]
        if begun != config.model_dump(mode="json"):
            changed = ", ".join(sorted(_differences(begun, config.model_dump(mode="json"))))
            raise ValueError(f"{out} was begun with other settings ({changed}): use them, or another --out")
        if run.record["data"] != data.digest:
            raise ValueError(f"{out} was begun with other videos or masks: put them back, or use another --out")
        return run
    precision = config.precision if config.precision != "auto" else faster_precision(device_of(config))
    low, _ = data.split(data.low, config, window=config.low_res.window)
    sharp, _ = data.split(data.sharp, config, window=config.clip.window)
    mean = mean_colour([pool for pool in (low, sharp) if pool.entries], seed=config.seed)
    record = {
        "config": config.model_dump(mode="json"),
        "data": data.digest,
        "precision": precision,
        "mean": mean.tolist(),
        "torch": torch.__version__,
        "sharp": [str(Path(entry.path).resolve()) for entry in sharp.entries],
    }
    return Run.create(out, record)


def _differences(a: Any, b: Any, name: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from _differences(a.get(key), b.get(key), f"{name}.{key}" if name else key)
    elif a != b:
        yield name


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    with open(run.path / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process trains {run.path} now") from None
        yield


def _train_views(run: Run, config: Config, data: Data, report: Report) -> None:
    """Train one net per view, each on what can teach it, and the gates between levels of the low-res view."""
    parts, low = Parts.of(run), config.low_res
    below: nn.Module | None = None
    for level in range(low.levels + 1):
        how = {"window": low.window, "group": low.group**level, "hide": config.data.hide}
        pool, held_out = data.split(data.low, config, **how)
        long_enough = sum(2 * entry.frames >= low.window * pool.group for entry in pool.entries)
        if not pool.longest or (level and long_enough < LEAST_LONG_SHOTS):
            break
        model = parts.low_res(level)
        if below is not None:
            model.load_state_dict(below.state_dict())
        stage_config = low.coarse if level else low.train
        below = _fit_view(run, low_res_stage(level), stage_config, model, pool, held_out, config, report)
        if level:
            gate_pool = data.pool(pool.entries, config, window=low.window * pool.group, any_length=False)
            _fit_gate(run, level, low.gate, gate_pool, config, report)
    pool, held_out = data.split(data.sharp, config, window=config.clip.window, hide=config.data.hide)
    if pool.longest:
        _fit_view(run, "clip", config.clip.train, parts.clip(), pool, held_out, config, report)


def _fit_view(
    run: Run,
    name: str,
    stage_config: StageConfig,
    model: NetDenoiser,
    pool: Pool,
    held_out: Pool,
    config: Config,
    report: Report,
) -> nn.Module:
    batches = list(held_out.fixed(stage_config.batch, most=HELD_OUT_CLIPS))
    device = device_of(config)
    batches = [batch.to(device) for batch in batches]
    stage = Stage(
        name=name,
        config=stage_config,
        model=model,
        loss=lambda net: partial(view_loss, _as_denoiser(net)),
        batch=lambda step: pool.batch(stage_config.batch, seed=config.seed, stage=name, step=step),
        held_out=(lambda net: held_out_losses(_as_denoiser(net), batches, BANDS, seed=config.seed))
        if batches
        else None,
        sample=partial(_sample_view, run, name, pool, config),
        seed=config.seed,
        device=device,
    )
    return fit(stage, run, report)


def _as_denoiser(net: nn.Module) -> Denoiser:
    return net  # type: ignore[return-value] - NetDenoiser.forward is a Denoiser


def _sample_view(run: Run, name: str, pool: Pool, config: Config, net: nn.Module, step: int) -> None:
    """Leave a strip of sampled clips, one a row, as samples/STAGE-STEP.png."""
    import imageio.v3 as iio

    batch = pool.batch(4, seed=config.seed, stage="sample", step=0)
    device = device_of(config)
    generator = torch.Generator().manual_seed(config.seed)
    sigmas = config.sampler.model_copy(update={"levels": 8, "sigma_max": 20.0}).sigmas()
    noise = torch.randn(batch.video.shape, generator=generator).to(device)
    assert isinstance(net, NetDenoiser)
    pts_seconds = batch.pts_seconds.to(device)

    @torch.no_grad()
    def denoise(y: Tensor, sigma: Tensor) -> Tensor:
        return net(y, sigma, pts_seconds=pts_seconds)

    video = heun(denoise, net.mean + sigmas[0] * noise, sigmas).cpu()
    strip = video[:, :: max(1, video.shape[1] // 16)].clamp(-1, 1).add(1).mul(127.5).round().byte()
    rows = strip.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)  # [B * H, T * W, C]
    (run.path / "samples").mkdir(exist_ok=True)
    iio.imwrite(run.path / "samples" / f"{name}-{step:06}.png", rows.numpy())


def _fit_gate(run: Run, level: int, stage_config: StageConfig, pool: Pool, config: Config, report: Report) -> None:
    """Fit the gate above a level on videos as long as the coarser net's window, the nets held fixed."""
    if not stage_config.steps or not pool.longest:
        return
    model, length = Model(run), pool.longest
    build: Callable[[Join], Any] = (
        (lambda join: model.low_res_stream(length, level=level - 1, join=join))
        if level
        else (lambda join: model.composition(length, join=join))
    )
    name = gate_stage(level)
    stage = Stage(
        name=name,
        config=stage_config,
        model=model.parts.gate(),
        loss=lambda gate: partial(view_loss, _unmasked(whole(build(gate)))),
        batch=lambda step: pool.batch(stage_config.batch, seed=config.seed, stage=name, step=step),
        seed=config.seed,
        device=device_of(config),
    )
    fit(stage, run, report)


def _unmasked(denoise: Denoise) -> Denoiser:
    """Compositions know evenly spaced frames, all of them shown."""
    return lambda y, sigma, *, shown=None, pts_seconds: denoise(y, sigma)


def _train_on_full(run: Run, config: Config, data: Data, report: Report) -> None:
    """Fit what needs full videos: the view gate, the residual with its own gate, the direct baseline."""
    pool = data.pool(data.full, config, window=config.video.frames, any_length=False)
    if run.done("clip") and run.done(low_res_stage(0)):
        _fit_gate(run, 0, config.gate, pool, config, report)
        if config.residual.train.steps:
            _train_residual(run, config, data, report)
    if config.direct.steps:
        _fit_view(
            run, "direct", config.direct, Parts.of(run).direct(), pool, data.pool([], config, window=1), config, report
        )


def _train_residual(run: Run, config: Config, data: Data, report: Report) -> None:
    """Train the residual on all full videos, and gate it by how it does on those it has not seen.

    Two halves of the videos each train a residual that is measured on the other half; their sums give g(sigma), which
    the residual trained on all of them is trusted by. With one full video nothing can be measured, and g is 0.
    """
    if run.done("residual"):
        return
    files = sorted({entry.sha256 for entry in data.full})
    sums = torch.zeros(2, len(knots()))
    if len(files) > 1:
        for fold in (0, 1):
            unseen = set(files[fold::2])
            kept = [entry for entry in data.full if entry.sha256 not in unseen]
            half = _fit_residual(run, f"residual_fold{fold}", config, data, kept, report)
            sums += _cross_fit(run, half, config, data, [e for e in data.full if e.sha256 in unseen])
    final = _fit_residual(run, "residual_ungated", config, data, data.full, report)
    final.gate.copy_(smooth_gate(sums[0], sums[1]))
    save_tensors(run.weights("residual"), final.state_dict(), full_videos=len(files))


def _fit_residual(
    run: Run, name: str, config: Config, data: Data, entries: Sequence[cache.Entry], report: Report
) -> Residual:
    pool = data.pool(entries, config, window=config.video.frames, any_length=False)
    model, stage_config = Model(run), config.residual.train
    D_views = whole(model.composition(pool.longest))
    stage = Stage(
        name=name,
        config=stage_config,
        model=model.parts.residual(model.clip()).requires_grad_(True),
        loss=lambda residual: _residual_loss(residual, D_views, config.residual.penalty),
        batch=lambda step: pool.batch(stage_config.batch, seed=config.seed, stage=name, step=step),
        seed=config.seed,
        device=device_of(config),
    )
    residual = fit(stage, run, report)
    assert isinstance(residual, Residual)
    return residual


def _residual_loss(residual: nn.Module, D_views: Denoise, penalty: float) -> Loss:
    """Squared error of D_views + R, and a penalty on R: what is not there to be learnt costs more than it gains."""

    def loss(batch: Batch, sigma: Tensor, noise: Tensor) -> Tensor:
        y = batch.video + expand(sigma, batch.video) * noise
        with torch.no_grad():
            D_y = D_views(y, sigma)
        R = residual(y, D_y, sigma)
        error = (D_y + R - batch.video) ** 2 + penalty * R**2
        return (loss_weight(sigma) * error.mean((1, 2, 3, 4))).mean()

    return loss


@torch.no_grad()
def _cross_fit(run: Run, residual: Residual, config: Config, data: Data, unseen: Sequence[cache.Entry]) -> Tensor:
    """Measure <R, x - D_views> and |R|² at each knot on videos the residual has not seen: [2, knots]."""
    pool = data.pool(unseen, config, window=config.video.frames, any_length=False)
    D_views = whole(Model(run).composition(pool.longest))
    device = device_of(config)
    sums = torch.zeros(2, len(knots()))
    for draw in range(CROSS_FIT_DRAWS):
        batch = pool.batch(len(unseen), seed=config.seed, stage="cross-fit", step=draw).to(device)
        for level, sigma in enumerate(knots().exp().tolist()):
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + draw * 1009 + level)
            noise = torch.randn(batch.video.shape, generator=generator).to(device)
            sigma_B = torch.full((len(batch.video),), sigma, device=device)
            y = batch.video + sigma * noise
            D_y = D_views(y, sigma_B)
            R = residual(y, D_y, sigma_B)
            sums[0, level] += (R * (batch.video - D_y)).sum().item()
            sums[1, level] += (R * R).sum().item()
    return sums

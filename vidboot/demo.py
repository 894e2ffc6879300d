"""The demo: everything on a small folder that it makes itself, ending with a video and a page to judge it by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vidboot import evaluate as evaluating
from vidboot import metrics, pages, report, scan, synthetic
from vidboot import train as training
from vidboot.config import Config
from vidboot.data.encode import save_tiny
from vidboot.data.ledger import Line, kept_by_filtering
from vidboot.data.progress import Part, Progress
from vidboot.data.records import FileRecord
from vidboot.evaluate import Evaluation
from vidboot.fit import Report
from vidboot.generate import generate
from vidboot.policy import Policy
from vidboot.run import Run, make_for

LEAST_GAIN = 0.5
"""Short clips alone must remember less than the whole model by this much, or memory is no proof of it."""

SETTINGS = ("data.flip=true", "data.reverse=true")
"""The demo knows its world: it has no handedness, and its time no direction."""


@dataclass(frozen=True)
class Sizes:
    """How much the demo makes and measures."""

    folder: synthetic.FolderSizes = field(default_factory=synthetic.FolderSizes)
    frames: int = 256
    """Length of the video it ends with."""
    samples: int = 32
    """Videos of the whole model that are measured at the training length: fewer tell little of motion and detail, as
    one species moves three times as much as the others."""
    compared_samples: int = 6
    """Videos of each other policy."""
    long_samples: int = 12
    """Videos per policy that are measured at ``frames``."""


SIZES = {
    "tiny": Sizes(),
    "smoke": Sizes(
        synthetic.FolderSizes(
            clips=8, low_res=8, full=3, subtitled=2, truncated=1, held_out=3, side=16, low_res_side=8, short_frames=8
        ),
        frames=48,
        samples=2,
        compared_samples=2,
        long_samples=2,
    ),
}
"""By preset."""


def sizes_of(preset: str) -> Sizes:
    """Return how much the demo makes with a preset.

    Raises:
        ValueError: the demo's videos do not fit the preset.
    """
    if preset not in SIZES:
        raise ValueError(f"the demo has no videos for preset {preset!r}; it has for {', '.join(SIZES)}")
    return SIZES[preset]


def demo(out: Path, config: Config, sizes: Sizes, *, rows: Report, part: Part) -> dict[str, Any]:
    """Make a folder of videos, scan it, train, generate, evaluate and report; running it again resumes.

    Args:
        out: folder for everything it makes.
        config: settings of the run.
        sizes: how much it makes and measures.
        rows: takes each row of metrics.jsonl.
        part: where each part of the work tells how far it is.

    Returns:
        What ``vidboot demo --json`` prints.

    Raises:
        ValueError: ``out`` cannot be written, or holds something else, or a demo of other settings.
    """
    began = time.monotonic()
    make_for("demo", out)
    videos, held_out, work, run_path = (out / name for name in ("videos", "held_out", "work", "run"))
    with part("making videos") as progress:
        _make_folder(out, sizes.folder, progress)
    with part("scan") as progress:
        files, shots = scan.audit(videos, work, progress=progress)
    folder = training.Folder(videos, work, files, shots)
    run = training.train(folder, run_path, config, report=rows, caching=part("cache"))
    video = out / "demo.mp4"
    with part("generate") as progress:
        generate(run_path, video, frames=sizes.frames, progress=progress)
    held_out_shots = scan.audit(held_out, out / "held_out.vidboot")[1]
    measure = partial(evaluating.evaluate, run_path, held_out, out / "held_out.vidboot", held_out_shots)
    with part("evaluate") as progress:
        policies = (Policy.full, Policy.clips_only, Policy.low_res_only, Policy.direct)
        how = {"policies": policies, "compared_samples": sizes.compared_samples}
        short = measure(samples=sizes.samples, progress=progress, **how)
    with part("evaluate long") as progress:
        how = {"policies": (Policy.full,), "loss_policies": ()}
        long = measure(frames=sizes.frames, samples=sizes.long_samples, progress=progress, **how)
    seconds = time.monotonic() - began
    page = out / "report.html"
    report.write_report(page, _page(short, long, files, folder.lines(config), run, seconds))
    return _result(short, long) | {
        "video": str(video),
        "report": str(page),
        "run": str(run_path),
        "seconds": round(seconds, 1),
    }


def _make_folder(out: Path, sizes: synthetic.FolderSizes, progress: Progress) -> None:
    made = out / "videos.made"
    if made.exists():
        return
    total, done = sum(sizes.counts.values()), 0

    def on_file(written: synthetic.WrittenFile) -> None:
        nonlocal done
        done += 1
        progress(done, total, written.path.name)

    synthetic.write_folder(
        out / "videos", sizes, held_out_path=out / "held_out", work=out / "work", encode=save_tiny, done=on_file
    )
    made.touch()


def _result(short: Evaluation, long: Evaluation) -> dict[str, Any]:
    def plain(values: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
        return {name.replace("-", "_"): round(values[name], 4) for name in names if name in values}

    ratios = {
        key: {name: metrics.over(value, short.numbers[key]["real"]) for name, value in short.numbers[key].items()}
        for key in metrics.HEALTH
    }
    shown = ("real", "full", "clips-only")
    return {
        "lag_correlation": plain(short.numbers["lag_correlation"], shown),
        "lag_correlation_long": plain(long.numbers["lag_correlation"], shown),
        "over_real": {key: plain(values, ("full", "composition", "clips-only")) for key, values in ratios.items()},
        "held_out_loss": plain(short.numbers["held_out_loss"], ("full", "composition", "clips-only", "direct")),
    }


def verdict(numbers: Mapping[str, Any]) -> str:
    """Say whether generated shapes last, beside those joined from short clips, and what takes that back."""
    memory = numbers["lag_correlation"]
    real, full, clips = (memory[name] for name in ("real", "full", "clips-only"))
    told = f"{numbers['lag']} frames on, generated videos keep {pages.kept(full)} of what they show "
    told += f"(real videos {pages.kept(real)}); joined from short clips alone, {pages.kept(clips)}."
    doubts = pages.doubts(numbers, "full")
    if not (abs(full - real) <= pages.MEMORY_SLACK and clips <= full - LEAST_GAIN):
        return f"This run has not learnt to keep a shape's identity: {told}{doubts}"
    return f"{told}{doubts}" if doubts else f"A shape keeps its identity for the whole video: {told}"


def _page(
    short: Evaluation, long: Evaluation, files: list[FileRecord], lines: list[Line], run: Run, seconds: float
) -> report.Report:
    memory_long = long.numbers["lag_correlation"]
    total = sum(line.seconds for line in lines if line.view != "unused")
    full = kept_by_filtering(files, lines)
    sections = pages.page_sections(short)
    sections["samples"] += [
        report.Samples(sample.policy, sample.videos, sample.fps, f"{long.frames} frames. {sample.note}".strip())
        for sample in pages.page_sections(long, most_videos=4)["samples"]
    ]
    return report.Report(
        title="vidboot demo",
        verdict=verdict(short.numbers),
        headlines=[
            report.Headline(f"{total / 60:.0f} min", f"of video train the model; filtering would keep {full:.0f} s"),
            report.Headline(
                f"{memory_long['full']:.2f}",
                f"memory {long.numbers['lag']} frames apart, at {long.frames} frames (real {memory_long['real']:.2f})",
            ),
            report.Headline(f"{seconds / 60:.1f} min", "for this call; what an earlier one had made was kept"),
        ],
        ledger=pages.ledger_rows(files, lines),
        refused=pages.refused(files),
        clip_seconds=run.record["config"]["clip"]["window"] / short.fps,
        losses=run.metrics(),
        details={"seed": str(run.record["config"]["seed"]), "torch": run.record["torch"]},
        **sections,
    )

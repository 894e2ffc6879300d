"""Does training through masks keep marks out of what is generated, and what does it cost?

Makes small procedural folders of the same scenes and trains one run on each: clean (the control); every clip marked at
one place, with masks and without; and marked at many places, with masks, so that each place is clear in most clips.
Prints how much of the mark each run paints, above the control and as a share of the run without masks, beside the
most of it that shows some pixels aside, where no mark was, and the loss on clean held-out video. Run it again to go on:
every training resumes.

    python tools/bench_leak.py OUT [--kind mark|subtitle] [--clips 300] [--steps 400] [--samples 16] [--seed 0] [--json]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidboot import config as configs
from vidboot import masks, metrics, scan, synthetic
from vidboot import train as training
from vidboot.boxes import Box
from vidboot.build import Model
from vidboot.composition import whole
from vidboot.config import Config
from vidboot.data.encode import save_tiny
from vidboot.denoiser import evenly_timed
from vidboot.files import write_text
from vidboot.generate import sample
from vidboot.losses import HELD_OUT_SIGMAS, Batch, held_out_losses
from vidboot.masks import Event, Mask
from vidboot.policy import Policy

CASES = ("clean", "masked", "unmasked", "scattered")
SIDE, FPS, SHORT, LONG = 32, 8, 16, 64
LOGO = np.random.default_rng(0).choice([20, 128, 250], (7, 10, 3)).astype(np.uint8)
PLACE = (20, 3)
HELD_OUT_VIDEOS, HELD_OUT_FRAMES, SAMPLE_FRAMES = 64, 32, 32
LEAST_LEAK = 0.05
"""Without masks at least this much above the control must leak, or the share says nothing."""


def mark(frames: np.ndarray, kind: str, place: tuple[int, int], seed: int) -> tuple[np.ndarray, Box]:
    """Burn a logo at a place (x, y), or a line of text that is new in each clip at the foot, into every frame."""
    if kind == "subtitle":
        return synthetic.burn_subtitle(frames, seed, 0, len(frames))
    (x, y), (height, width, _) = place, LOGO.shape
    marked = frames.copy()
    marked[:, y : y + height, x : x + width] = LOGO
    return marked, (x, y, x + width, y + height)


def write_case(case: str, folder: Path, *, kind: str, clips: int, seed: int) -> None:
    """Write one folder of clips, half of them short, half of them four times as long, and masks where the case has."""
    if (folder / "written").exists():
        return
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    drawn_from = 11 + 100 * seed
    for index in range(clips):
        frames, _ = synthetic.video(drawn_from, index, frames=LONG if index % 2 else SHORT, height=SIDE, width=SIDE)
        rng = np.random.default_rng((drawn_from, index))
        place = PLACE
        if case == "scattered":
            place = int(rng.integers(0, SIDE - LOGO.shape[1] + 1)), int(rng.integers(0, SIDE - LOGO.shape[0] + 1))
        box = None
        # Scattered subtitles cannot be: theirs is the foot of the frame. A fifth of the clips goes without instead.
        if case != "clean" and not (case == "scattered" and kind == "subtitle" and index % 5 == 0):
            frames, box = mark(frames, kind, place, index)
        path = folder / "videos" / f"{index:05}.mp4"
        save_tiny(path, frames, FPS)
        if box is not None and case in ("masked", "scattered"):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            last = len(frames) / FPS
            event = Event(
                id="m", kind="subtitle" if kind == "subtitle" else "mark", first_seconds=0, last_seconds=last, box=box
            )
            masks.save(masks.mask_path(folder / "work" / "masks", sha256), Mask(sha256, SIDE, SIDE, (event,)))
    (folder / "written").touch()


def settings(steps: int, seed: int) -> Config:
    """The demo's nets, trained for fewer steps, on nothing but the clips, and the gate that joins them."""
    changed = [
        f"seed={seed}",
        f"low_res.train.steps={steps}",
        "low_res.levels=0",
        f"clip.train.steps={steps}",
        f"video.frames={LONG}",
        "residual.train.steps=0",
        "direct.steps=0",
        "data.flip=false",
    ]
    return configs.read(preset="tiny", settings=changed)


def trained(folder: Path, config: Config) -> Model:
    """Train on a case's folder, or go on."""
    files, shots = scan.usable(folder / "videos", folder / "work")
    videos = training.Folder(folder / "videos", folder / "work", files, shots)

    def report(row: dict[str, object]) -> None:
        print(f"{folder.name}: {row['stage']} {row['step']}/{row['steps']}", file=sys.stderr, flush=True)

    return Model(training.train(videos, folder / "run", config, report=report))


def template(kind: str) -> metrics.Template:
    """What the mark, or what lines of text at one place have in common, looks like."""
    grey = np.full((1, SIDE, SIDE, 3), 100, np.uint8)
    marked, boxes = zip(*(mark(grey, kind, PLACE, seed) for seed in range(200)), strict=True)
    x0, y0, x1, y1 = (int(side) for side in boxes[0])
    return metrics.mark_template(as_videos(np.stack(marked)), (x0, y0, x1, y1))


def aside(template: metrics.Template) -> list[metrics.Template]:
    """The template up to three pixels to either side: what is like it there as well is like it by chance."""
    width = template.gradient.shape[-1] + 1
    columns = (template.column + by for by in (-3, -2, -1, 1, 2, 3))
    return [template._replace(column=column) for column in columns if 0 <= column <= SIDE - width]


def as_videos(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def measure(model: Model, kind: str, samples: int) -> dict[str, float]:
    """Return the leak score of what a run generates and its loss on clean held-out video."""
    generated = torch.cat(list(sample(model, Policy.composition, videos=samples, frames=SAMPLE_FRAMES, seed=1)))
    real = [synthetic.video(12, i, frames=HELD_OUT_FRAMES, height=SIDE, width=SIDE)[0] for i in range(HELD_OUT_VIDEOS)]
    x = as_videos(np.stack(real))
    batch = Batch(x, (torch.arange(HELD_OUT_FRAMES) / FPS).expand(len(x), -1)).to(model.device)
    denoise = whole(model.stream(Policy.composition, model.length(Policy.composition, HELD_OUT_FRAMES)))
    losses = held_out_losses(evenly_timed(denoise), [batch], HELD_OUT_SIGMAS, seed=3)
    return {
        "leak_score": metrics.leak_score(generated, [template(kind)]),
        "leak_score_aside": metrics.leak_score(generated, aside(template(kind))),
        "held_out_loss": sum(losses) / len(losses),
        "motion_energy": metrics.motion_energy(generated),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kind", choices=("mark", "subtitle"), default="mark")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the clips and of training; held-out video stays the same"
    )
    parser.add_argument("--case", action="append", choices=CASES, help="only these; what is measured is kept")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    name = f"{asked.kind}-{asked.clips}-{asked.steps}-{asked.samples}-{asked.seed}"
    for case in asked.case or CASES:
        folder = asked.out / name / case
        if not (folder / "measured.json").exists():
            write_case(case, folder, kind=asked.kind, clips=asked.clips, seed=asked.seed)
            measured = measure(trained(folder, settings(asked.steps, asked.seed)), asked.kind, asked.samples)
            write_text(folder / "measured.json", json.dumps(measured))
    found: dict[str, Any] = {
        case: json.loads(path.read_text())
        for case in CASES
        if (path := asked.out / name / case / "measured.json").exists()
    }
    if {"clean", "masked", "unmasked"} <= set(found):
        leak = {case: found[case]["leak_score"] - found["clean"]["leak_score"] for case in ("masked", "unmasked")}
        enough = leak["unmasked"] > LEAST_LEAK
        found["leak_above_control"] = leak
        found["leak_share"] = max(0.0, leak["masked"]) / leak["unmasked"] if enough else None
    if {"clean", "scattered"} <= set(found):
        found["loss_ratio"] = found["scattered"]["held_out_loss"] / found["clean"]["held_out_loss"]
    print(json.dumps(found) if asked.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

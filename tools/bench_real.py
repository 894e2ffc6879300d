"""Do views of real videos teach what a few full ones cannot? Train on a folder made partial, measure on held-out films.

Films long enough for the target are split by source. Some are held out whole, four are kept full, the others become
partial: half of them are cut to clips of eight frames, half are shrunk so that only a quarter of each side is left.
One run then trains the views and, for as many steps as both take, each of as much arithmetic, the baseline that sees
the four full films alone. Reported: weighted denoising loss on whole held-out films, per policy.

    python tools/bench_real.py VIDEOS --out real --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from vidboot import config as configs
from vidboot import evaluate, pages, scan, train
from vidboot.data import cache
from vidboot.data.encode import save_video
from vidboot.policy import Policy

FULL, HELD_OUT = 4, 8
SHORT_FRAMES, SHRINK_TO = 8, 16
MOST_CLIPS = 24
"""Short clips cut from one film, at most."""


def write_folder(videos: Path, work: Path, out: Path, config: configs.Config, *, seed: int) -> dict[str, int]:
    """Write the folder for one seed: ``out/videos`` to train on and ``out/held_out``; return the counts."""
    target = config.video
    _, shots = scan.audit(videos, work)
    long_enough = [shot for shot in shots if shot.fps >= 0.75 * target.fps]
    built = cache.build(long_enough, videos, work, [cache.Spec(target.height, target.width, target.fps)])
    longest: dict[str, cache.Entry] = {}
    for entry in built.entries:
        if entry.frames >= target.frames and entry.frames > getattr(longest.get(entry.source), "frames", 0):
            longest[entry.source] = entry
    sources = sorted(longest)
    np.random.default_rng(seed).shuffle(sources)
    held_out, full, rest = np.split(np.array(sources), [HELD_OUT, HELD_OUT + FULL])
    for folder in ("videos", "held_out"):
        (out / folder).mkdir(parents=True, exist_ok=True)

    def save(name: str, frames: np.ndarray) -> None:
        save_video(out / name, frames, target.fps, crf=8, pix_fmt="yuv444p")

    for source in held_out:
        save(f"held_out/{Path(source).stem}.mp4", _frames(longest[source])[: 2 * target.frames])
    for source in full:
        save(f"videos/full_{Path(source).stem}.mp4", _frames(longest[source])[: 2 * target.frames])
    clips = 0
    for number, source in enumerate(rest):
        frames = _frames(longest[source])
        if number % 2:
            small = _box_mean(frames, target.height // SHRINK_TO)
            save(f"videos/small_{Path(source).stem}.mp4", small)
            continue
        firsts = range(0, len(frames) - SHORT_FRAMES + 1, SHORT_FRAMES)
        for first in firsts[:: -(-len(firsts) // MOST_CLIPS)]:
            save(f"videos/clip_{Path(source).stem}_{first:05}.mp4", frames[first : first + SHORT_FRAMES])
            clips += 1
    return {"held_out": len(held_out), "full": len(full), "small": len(rest) // 2, "clips": clips}


def _frames(entry: cache.Entry) -> np.ndarray:
    return np.asarray(cache.open_clip(entry, 0, entry.frames)[0])


def _box_mean(frames: np.ndarray, factor: int) -> np.ndarray:
    T, H, W, C = frames.shape
    boxes = frames.reshape(T, H // factor, factor, W // factor, factor, C).astype(np.float32)
    return boxes.mean((2, 4)).round().astype(np.uint8)


def one_seed(videos: Path, out: Path, config: configs.Config, seed: int) -> dict[str, object]:
    """Make the folder, train, measure."""
    began = time.monotonic()
    folder = out / f"seed{seed}"
    config = config.model_copy(update={"seed": seed})
    counts = write_folder(videos, out / "source.vidboot", folder, config, seed=seed)
    files, shots = scan.audit(folder / "videos", folder / "work")
    run = train.train(
        train.Folder(folder / "videos", folder / "work", files, shots),
        folder / "run",
        config,
        report=lambda row: print(seed, row["stage"], row["step"], row.get("held_out_loss"), flush=True),
    )
    _, held_out_shots = scan.audit(folder / "held_out", folder / "held_out.vidboot")
    evaluation = evaluate.evaluate(
        run.path,
        folder / "held_out",
        folder / "held_out.vidboot",
        held_out_shots,
        samples=4,
        policies=(Policy.full, Policy.clips_only),
        seed=seed,
    )
    pages.write_page(folder / "evaluation.html", evaluation, run)
    seconds: dict[str, float] = {}
    for row in run.metrics():
        seconds[row["stage"]] = row["seconds"]
    return {"seed": seed, **counts, "stage_seconds": seconds, "seconds": time.monotonic() - began, **evaluation.numbers}


def main() -> None:
    """Run the seeds and print the losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs; run again to resume")
    parser.add_argument("--config", type=Path, default=configs.PRESETS / "real.toml")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="change a setting: part.name=value")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--no-baseline", dest="baseline", action="store_false", help="train the views alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    config = configs.read(path=arguments.config, settings=arguments.settings)
    if arguments.baseline:
        steps = config.low_res.train.steps + config.clip.train.steps
        config = config.model_copy(update={"direct": config.direct.model_copy(update={"steps": steps})})
    results = []
    for seed in arguments.seeds:
        result = one_seed(arguments.videos, arguments.out, config, seed)
        (arguments.out / f"seed{seed}.json").write_text(json.dumps(result, indent=1))
        results.append(result)
        if not arguments.json:
            losses = {policy: round(loss, 4) for policy, loss in result["held_out_loss"].items()}  # type: ignore[attr-defined]
            print(f"seed {seed}: {losses}  {result['seconds']:.0f} s", flush=True)
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()

"""Does ``vidboot train`` survive ``kill -9`` at any moment, and end with the very same weights?

A tiny procedural folder is trained on twice, undisturbed: if those two differ, so will killed runs, whatever resuming
does. Then, ``--kills`` times: the same training begins in a fresh run directory, is killed (SIGKILL, the whole process
group) at a moment drawn uniformly from the time an undisturbed one takes, and is run again to its end. Every
``weights.safetensors`` must equal that of the first run byte for byte. A checkpoint is written after every step, so
that kills hit the writing of checkpoints too. The working folder (scan and cache) is shared unless ``--fresh-work``;
then kills may hit the scan and the cache as well.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidboot.data.encode import save_tiny
from vidboot.synthetic import FolderSizes, write_folder

SIZES = FolderSizes(
    clips=8,
    low_res=6,
    full=3,
    subtitled=1,
    truncated=1,
    held_out=0,
    side=16,
    low_res_side=8,
    short_frames=16,
    long_frames=64,
)
STAGES = ("low_res.train", "low_res.coarse", "clip.train", "residual.train", "direct")


class Trainer:
    """Runs ``vidboot train`` on one folder, always with the same settings."""

    def __init__(self, folder: Path, scale: float) -> None:
        self.folder = folder
        steps = {"low_res.train": 60, "low_res.coarse": 20, "clip.train": 60, "residual.train": 10, "direct": 10}
        settings = ["precision=float32", "device=cpu"]
        settings += [f"{stage}.checkpoint_seconds=0" for stage in STAGES]
        settings += [f"{stage}.steps={max(1, round(scale * n))}" for stage, n in steps.items()]
        self._settings = [part for setting in settings for part in ("--set", setting)]

    def start(self, run: Path, work: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "vidboot", "train", str(self.folder), "--out", str(run), "--work", str(work)]
        with open(run.parent / "stderr.txt", "wb") as stderr:
            return subprocess.Popen(
                [*command, "--preset", "smoke", *self._settings],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                # Two lines of stages at once, one thread each: how a sum is split must not differ between runs.
                env={**os.environ, "OMP_NUM_THREADS": "2"},
            )

    def attempt(self, top: Path, work: Path, moments: Sequence[float]) -> dict[str, Any]:
        """Train in a fresh run directory, killed once at each of ``moments`` (seconds), then run to its end.

        Returns:
            Where the kills found it, the seconds of the last start, temporary files left behind, the weights.

        Raises:
            RuntimeError: training failed.
        """
        top.mkdir()
        run = top / "run"
        killed = []
        for seconds in moments:
            in_time = kill_after(self.start(run, work), seconds)
            killed.append(f"{seconds:.1f} s, {state(run) if in_time else 'had ended'}")
        began = time.monotonic()
        if code := self.start(run, work).wait():
            raise RuntimeError(f"vidboot train ended with {code}: {(top / 'stderr.txt').read_text()[-500:]}")
        seconds = time.monotonic() - began
        left = [str(path.relative_to(run)) for path in run.rglob(".*") if path.name != ".lock"]
        return {"killed": killed, "seconds": seconds, "left": left, "weights": weights(run)}


def weights(run: Path) -> dict[str, bytes]:
    """Read the weights of every stage that is done."""
    return {path.parent.name: path.read_bytes() for path in sorted(run.glob("*/weights.safetensors"))}


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kill a process group after some seconds; False if it had ended by then."""
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def state(run: Path) -> str:
    """Say how far a killed run had got: its stages that are done, and those with a checkpoint."""
    done = len(weights(run))
    begun = ", ".join(path.parent.name for path in sorted(run.glob("*/checkpoint.safetensors")))
    return f"{done} done" + (f", in {begun}" if begun else "") if (run / "run.json").is_file() else "not begun"


def differing(result: dict[str, Any], truth: dict[str, bytes]) -> list[str]:
    """Take the weights out of a result and name the stages whose bytes are not the true ones."""
    found = result.pop("weights")
    return sorted(stage for stage in truth.keys() | found.keys() if truth.get(stage) != found.get(stage))


def verdict(differ: Sequence[str]) -> str:
    return f"DIFFERS in {', '.join(differ)}" if differ else "is equal"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="killed runs")
    parser.add_argument("--each", type=int, default=1, help="kills per run before it may end")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--scale", type=float, default=1.0, help="times the steps of the stages")
    parser.add_argument("--fresh-work", action="store_true", help="scan and cache anew in every killed run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    rng, results = random.Random(args.seed), []
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        write_folder(top / "videos", SIZES, held_out_path=top / "held_out", work=top / "work", encode=save_tiny)
        masks = shutil.copytree(top / "work", top / "masks")
        trainer = Trainer(top / "videos", args.scale)
        undisturbed = [trainer.attempt(top / f"run{i}", top / "work", []) for i in range(2)]
        truth = undisturbed[0].pop("weights")
        again = differing(undisturbed[1], truth)
        # The second began with the scan and the cache done, as killed runs do unless they begin with neither.
        seconds = undisturbed[0 if args.fresh_work else 1]["seconds"]
        if not args.json:
            print(f"undisturbed: {seconds:.1f} s; a second one {verdict(again)}", flush=True)
        for number in range(args.kills):
            work = shutil.copytree(masks, top / f"work{number}") if args.fresh_work else top / "work"
            moments = [rng.uniform(0, seconds) for _ in range(args.each)]
            result = trainer.attempt(top / f"killed{number}", work, moments)
            result["differ"] = differing(result, truth)
            results.append(result)
            if not args.json:
                print(f"{number + 1:>4}  {'; '.join(result['killed'])}: {verdict(result['differ'])}", flush=True)
    equal = sum(not result["differ"] for result in results)
    summary = {"kills": args.kills, "equal": equal, "stages": sorted(truth), "seconds": seconds, "results": results}
    summary["undisturbed_differ"] = again
    if args.json:
        print(json.dumps(summary))
    else:
        print(f"{equal} of {args.kills} killed runs ended with the same {len(truth)} weights files, byte for byte")
    return equal != args.kills


if __name__ == "__main__":
    raise SystemExit(main())

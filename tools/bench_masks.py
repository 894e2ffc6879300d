"""Score the detectors of ``vidboot mask`` on a folder that make_overlays.py wrote: per kind, worst clip, speed.

    python tools/bench_masks.py OVERLAYS --work WORK --json

Recall counts burnt pixels of letters that the mask hides as training would load it (dilated). Clean area is what it
hides farther than 4 px from the box of any overlay (for marks: farther than 4 px and the dilation from its pixels).
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from overlay_art import BARS, MARKS

from vidboot import masks, trust, visibility
from vidboot.corruption.ocr import find_model
from vidboot.data.frame_times import frame_times
from vidboot.data.progress import on_stderr
from vidboot.mask import KINDS, mask
from vidboot.scan import audit

CLEAN_MARGIN = 4
COVERED = 0.95


@dataclass
class Score:
    """What one clip says."""

    name: str
    kind: str
    recall: float
    events: int
    covered: int
    clean: float
    """Share of the clean area that is hidden."""
    bars_error: float | None = None
    """Largest difference of a bar's width, px."""


def score_clip(truth_path: Path, work: Path, sha256: str, pts_seconds: np.ndarray, undilated: bool) -> Score:
    """Score one clip against its truth."""
    truth = json.loads(truth_path.read_text())
    arrays = np.load(truth_path.with_suffix(".npz"))
    T, H, W = (truth[key] for key in ("frames", "height", "width"))
    path = masks.mask_path(work / "masks", sha256)
    found = masks.load(path) if path.exists() else masks.Mask(sha256, W, H)
    dilation = 0 if undilated else None
    hidden = visibility.visible(found, pts_seconds[:T], (0, 0, found.width, found.height), H, W, dilation=dilation) == 0
    T = len(hidden)
    near = np.zeros((T, H, W), bool)
    burnt = hit = covered = 0
    for k, event in enumerate(truth["events"]):
        first, last = event["first"], min(T - 1, event["last"])
        glyph = np.unpackbits(arrays[f"glyph{k}"], axis=-1, count=W).astype(bool)[: last - first + 1]
        overlay = np.unpackbits(arrays[f"all{k}"], axis=-1, count=W).astype(bool)[: last - first + 1]
        part = hidden[first : last + 1]
        own = int(np.broadcast_to(glyph, part.shape).sum())
        own_hit = int((part & glyph).sum())
        burnt, hit = burnt + own, hit + own_hit
        covered += own_hit >= COVERED * own
        by = trust.default_dilation(W, H)
        grown = np.stack([_near(o, event["what"] in (*MARKS, *BARS), by) for o in overlay])
        near[first : last + 1] |= grown
    clean = ~near
    error = _bars_error(found, truth) if truth["kind"] in BARS else None
    share = (hidden & clean).sum() / max(1, clean.sum())
    name = truth_path.name.removesuffix(".truth.json")
    return Score(name, truth["kind"], hit / burnt if burnt else 1.0, len(truth["events"]), covered, float(share), error)


def _near(overlay: np.ndarray, exact: bool, dilation: int) -> np.ndarray:
    """Pixels that count neither as missed nor as clean."""
    if exact:
        side = 2 * (CLEAN_MARGIN + dilation) + 1
        return cv2.dilate(overlay.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    near = np.zeros_like(overlay)
    rows, columns = np.flatnonzero(overlay.any(1)), np.flatnonzero(overlay.any(0))
    if len(rows):
        top, left = max(0, rows[0] - CLEAN_MARGIN), max(0, columns[0] - CLEAN_MARGIN)
        near[top : rows[-1] + CLEAN_MARGIN + 1, left : columns[-1] + CLEAN_MARGIN + 1] = True
    return near


def _bars_error(found: masks.Mask, truth: Mapping[str, Any]) -> float:
    """Largest error of the four widths, px; a bar that is not found counts with its width."""
    want = truth["events"][0]["sides"] if truth["events"] else [0] * 4
    have = [0.0] * 4
    for bar in found.events:
        if bar.kind == "bar" and bar.box and masks.hides(bar):
            x0, y0, x1, y1 = bar.box
            across = x1 - x0 == found.width
            sides = (
                x1 if x0 == 0 and not across else 0,
                y1 if y0 == 0 and across else 0,
                found.width - x0 if x1 == found.width and not across else 0,
                found.height - y0 if y1 == found.height and across else 0,
            )
            have = [max(a, b) for a, b in zip(have, sides, strict=True)]
    return max(abs(a - b) for a, b in zip(want, have, strict=True))


def table(scores: Sequence[Score]) -> dict[str, dict[str, Any]]:
    """Means and worst clips by kind, and over all text, all marks."""
    groups: dict[str, list[Score]] = defaultdict(list)
    for one in scores:
        groups[one.kind].append(one)
        if one.kind not in (*BARS, "clean"):
            groups["all marks" if one.kind in MARKS else "all text"].append(one)
    return {kind: _row(group) for kind, group in sorted(groups.items())}


def _row(group: Sequence[Score]) -> dict[str, Any]:
    worst = min(group, key=lambda one: one.recall)
    dirtiest = max(group, key=lambda one: one.clean)
    row: dict[str, Any] = {
        "clips": len(group),
        "recall": round(float(np.mean([one.recall for one in group])), 4),
        "worst_recall": [round(worst.recall, 4), worst.name],
        "events": sum(one.events for one in group),
        "covered": round(sum(one.covered for one in group) / max(1, sum(one.events for one in group)), 4),
        "clean_masked": round(float(np.mean([one.clean for one in group])), 5),
        "worst_clean": [round(dirtiest.clean, 5), dirtiest.name],
    }
    errors = [one.bars_error for one in group if one.bars_error is not None]
    if errors:
        row |= {"bars_within_4_px": round(float(np.mean([e <= 4 for e in errors])), 4), "worst_bar_px": max(errors)}
    return row


def main() -> None:
    """Run the detectors and print the scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "overlays", type=Path, help="a folder that make_overlays.py wrote, or any folder of clean clips"
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--text-model", type=Path)
    parser.add_argument("--tophat", action="store_true", help="use the text detector without a model")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--undilated", action="store_true", help="score the masks as stored")
    parser.add_argument("--each", action="store_true", help="print every clip")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    videos = _videos_only(options.overlays, options.work)
    with on_stderr("scan") as progress:
        started = _cpu_seconds()
        files, shots = audit(videos, options.work, progress=progress, workers=options.workers)
        audit_cpu = _cpu_seconds() - started
    with on_stderr("mask") as progress:
        started, wall = _cpu_seconds(), time.monotonic()
        how = {"worker_count": options.workers, "progress": progress, "kinds": options.kinds.split(",")}
        model = None if options.tophat else options.text_model or find_model()
        done = mask(videos, options.work, text_model=model, **how)
        mask_cpu, wall = _cpu_seconds() - started, time.monotonic() - wall
    times = frame_times(files, shots)
    scores, clean = [], []
    for file in files:
        if file.status != "usable":
            continue
        truth = options.overlays / f"{Path(file.path).stem}.truth.json"
        if truth.exists():
            scores.append(score_clip(truth, options.work, file.sha256, times[file.sha256], options.undilated))
        elif masks.mask_path(options.work / "masks", file.sha256).exists():
            clean.append((file.path, _hidden_share(options.work, file.sha256, times[file.sha256])))
    seconds = sum(file.seconds for file in files)
    result = {
        "text_detector": done["text_detector"],
        "failed": done["failed"],
        "kinds": table(scores),
        "video_seconds": round(seconds, 2),
        "cpu_seconds_per_video_second": {"audit": round(audit_cpu / seconds, 4), "mask": round(mask_cpu / seconds, 4)},
        "times_real_time_two_cores": round(2 * seconds / max(mask_cpu, 1e-9), 2),
        "wall_seconds": round(wall, 1),
    }
    if clean:
        result["clean"] = {"mean": float(np.mean([c for _, c in clean])), "worst": max((c, n) for n, c in clean)}
    if options.each:
        for one in sorted(scores, key=lambda one: (one.kind, one.recall)):
            print(one, file=sys.stderr)
        for name, share in clean:
            print(f"{share:.4f} {name}", file=sys.stderr)
    print(json.dumps(result) if options.json else _text(result))


def _videos_only(folder: Path, work: Path) -> Path:
    """A folder of links to the videos of ``folder``, without the truth beside them."""
    links = work.with_name(work.name + ".videos")
    if links.exists():
        shutil.rmtree(links)
    links.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.is_file() and ".truth." not in path.name and path.suffix != ".tsv":
            (links / path.name).symlink_to(path.resolve())
    return links


def _hidden_share(work: Path, sha256: str, pts_seconds: np.ndarray) -> float:
    """Share of a clean clip that the mask hides."""
    found = masks.load(masks.mask_path(work / "masks", sha256))
    height, width = max(1, found.height // 4), max(1, found.width // 4)
    shown = visibility.visible(found, pts_seconds, (0, 0, found.width, found.height), height, width)
    return 1 - float(shown.mean())


def _cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _text(result: Mapping[str, Any]) -> str:
    lines = [f"{'kind':<10} clips recall worst  events covered clean  worst"]
    for kind, row in result["kinds"].items():
        line = f"{kind:<10} {row['clips']:>5} {row['recall']:.4f} {row['worst_recall'][0]:.3f} {row['events']:>6} "
        line += f"{row['covered']:.4f}  {row['clean_masked']:.4f} {row['worst_clean'][0]:.4f}"
        line += f"  within 4 px {row['bars_within_4_px']}" if "bars_within_4_px" in row else ""
        lines.append(f"{line}  {row['worst_recall'][1]} | {row['worst_clean'][1]}")
    rest = {key: value for key, value in result.items() if key != "kinds"}
    return "\n".join([*lines, json.dumps(rest)])


if __name__ == "__main__":
    main()

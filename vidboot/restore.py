"""Fill what the masks of a clip hide, with what the model makes of the rest of the clip.

Only stretches of frames with something hidden are sampled, one after the other: memory does not grow with the length.
Their fills wait on disk until the clip is written, so that a restoration that was broken off goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidboot import masks
from vidboot.boxes import IntBox
from vidboot.build import Model
from vidboot.config import VideoConfig
from vidboot.data.encode import VideoWriter, check_mp4
from vidboot.data.progress import Progress, silent
from vidboot.data.sound import add_sound
from vidboot.data.survey import Survey, pictures, survey
from vidboot.disk import Disk, Unfinished
from vidboot.fill import Stretch, inner_edge, paste, shrink, spans, tiles
from vidboot.inpaint import STEPS, Filler, schedule
from vidboot.masks import Mask
from vidboot.policy import Policy
from vidboot.run import Run
from vidboot.trust import default_dilation
from vidboot.visibility import visible

OWN = ("blank", "bar")
"""Kinds of events that are the film's own."""
CHUNK = 8
"""Frames of the clip held at once."""
TICKS = 90_000
"""Of the output's clock, per second, where frames are not evenly spaced."""


@dataclass(frozen=True)
class _Hole:
    """One part of the frame through one stretch of frames, in which something is hidden."""

    span: Stretch
    tile: IntBox
    frames: range
    """Of the stretch, evenly spaced: every so many that their rate is nearest to the model's, as which it passes."""


def restore(
    run_path: Path,
    video: Path,
    out: Path,
    *,
    masks_folder: Path,
    lossless: bool = False,
    seed: int = 0,
    steps: int = STEPS,
    samples: int = 1,
    policy: Policy = Policy.full,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write a clip whose masked regions are filled; all its other pixels are encoded as they are.

    Broken off, the same call goes on; fills that were done are kept.

    A clip of another size than the model's is brought to the model's size, filled there, and only the fill is enlarged;
    its soft edge lies within the mask. A clip of a higher frame rate is filled in as many interleaved parts.

    Args:
        run_path: a trained run.
        video: the clip.
        out: the mp4 file to write, with the clip's sound where mp4 can hold it and it fits the pictures' clock; its
            folder also holds the fills meanwhile, and the state of a stretch of them, some 110 bytes a pixel of the
            model's size.
        masks_folder: with the clip's mask, SHA256.json.
        lossless: store the very pixels (H.264 in RGB, which not every player shows).
        seed: the same seed gives the same fill.
        steps: noise levels.
        samples: drawn and averaged.
        policy: which of the run's nets fill.
        progress: told after each sweep over a stretch of frames.

    Returns:
        What ``vidboot restore --json`` prints.

    Raises:
        ValueError: the clip or its mask cannot be read, the clip has more than 8 bits a component and is to be
            ``lossless``, the run is not trained, ``out`` cannot be written, or another process makes it.
    """
    if samples < 1:
        raise ValueError(f"{samples = } must be at least 1")
    sigmas = schedule(steps).sigmas()
    check_mp4(out)
    if not video.is_file():
        raise ValueError(f"{video} cannot be read as a video: it is not a file")
    if out.exists() and out.samefile(video):
        raise ValueError(f"{out} is the clip itself, which is never written to")
    run = Run(run_path)
    model = Model(run)
    filler = Filler(model, model.made_by(policy), sigmas, seed, samples)
    model.stream(filler.policy, filler.length(2))  # a run that is not trained is known before the clip is read
    clip = survey(video)
    if lossless and clip.bits > 8:
        raise ValueError(f"{video} has {clip.bits} bits a component, of which lossless keeps 8: store it in 8 first")
    mask = _mask_of(clip, masks_folder)
    config = filler.model.config.video
    boxes = tiles(clip.width, clip.height, config.width, config.height)
    hidden = visible(mask, clip.pts_seconds, (0, 0, clip.width, clip.height), 1, 1)[:, 0, 0] == 0
    holes = list(_holes(clip, mask, hidden, boxes, config))
    identity = {"weights": [*map(list, run.trained().items())], "clip": clip.sha256, "mask": mask.digest()}
    identity |= {"sigmas": sigmas.tolist(), "seed": seed, "samples": samples, "policy": filler.policy}
    with Unfinished.beside(out, identity, does="restores") as unfinished:
        swept = filler.sweeps * unfinished.done

        def on_sweep() -> None:
            nonlocal swept
            swept += 1
            progress(swept, filler.sweeps * len(holes), "sweeps over what is hidden")

        restorer = _Restorer(filler, clip, mask, unfinished, on_sweep)
        _write(out, clip, restorer.frames(holes), lossless=lossless)
        sound = clip.own_clock and add_sound(out, video, start_seconds=float(clip.pts_seconds[0]))
    return {
        "video": str(out),
        "frames": len(clip.pts_seconds),
        "filled_frames": int(hidden.sum()),
        "to_review": sum(masks.waits(event) for event in mask.events),
        "stretches": len({hole.span for hole in holes}),
        "seed": seed,
        "steps": steps,
        "samples": samples,
        "policy": filler.policy,
        "lossless": lossless,
        "filled_at": f"{config.width}x{config.height}",
        "enlarged_by": round((boxes[0][2] - boxes[0][0]) / config.width, 3),
        "sound": sound,
        "own_clock": clip.own_clock,
    }


def _holes(
    clip: Survey, mask: Mask, hidden: np.ndarray, boxes: Sequence[IntBox], video: VideoConfig
) -> Iterator[_Hole]:
    """Yield what is to be filled, stretch by stretch, in interleaved parts where the clip's rate is above the model's.

    Args:
        hidden: whether anything is hidden in a frame, [T].
        boxes: tiles of the frame.
        video: what the model makes.
    """
    stride = max(1, round(clip.fps / video.fps))
    for span in spans(hidden, clip.cuts, around=video.frames * stride):
        phases = min(stride, span.stop - span.first)
        for box in boxes:
            if not visible(mask, clip.pts_seconds[slice(*span)], box, 1, 1).all():
                for first in range(span.first, span.first + phases):
                    yield _Hole(span, box, range(first, span.stop, phases))


def _write(out: Path, clip: Survey, parts: Iterator[tuple[int, np.ndarray]], *, lossless: bool) -> None:
    """Write frames as they come, each part with the number of its first, at the clip's own times."""
    ticks = None if clip.evenly_timed else TICKS
    pix_fmt = "rgb24" if lossless else "yuv420p"
    last_seconds = clip.last_seconds if ticks or clip.last_seconds * clip.fps > 1.5 else None
    size = clip.width, clip.height
    with VideoWriter(out, *size, clip.fps, pix_fmt=pix_fmt, ticks=ticks, last_seconds=last_seconds) as writer:
        for first, frames in parts:
            at = clip.pts_seconds[first : first + len(frames)] - clip.pts_seconds[0]
            writer.write(frames, at if ticks else None)


def sentence(result: dict[str, Any]) -> str:
    """Return the result as a person reads it."""
    end = "with its sound" if result["sound"] else "without sound"
    if not result["own_clock"]:
        end += ", which would be out of time, as the clip's clock leaps or stands still"
    if waiting := result["to_review"]:
        end += f"; found, but waiting for review and not filled: {waiting}"
    if not result["filled_frames"]:
        return f"nothing is hidden in any of {result['frames']} frames: {result['video']} shows the same, {end}"
    enlarged = result["enlarged_by"]
    how = f", filled at {result['filled_at']} and the fill enlarged {enlarged:g} times" if enlarged > 1 else ""
    return f"filled {result['filled_frames']} of {result['frames']} frames{how}: {result['video']}, {end}"


def _mask_of(clip: Survey, folder: Path) -> Mask:
    path = masks.mask_path(folder, clip.sha256)
    if not path.is_file():
        told = f"{folder} has no mask of {clip.path} ({path.name})"
        raise ValueError(f"{told}: vidboot mask makes one of what vidboot scan calls usable")
    mask = masks.load(path, sha256=clip.sha256)
    # A black frame is the film's own, and so are its bars, unless a person says that they hide something.
    mask = replace(mask, events=tuple(e for e in mask.events if e.kind not in OWN or e.status != "auto"))
    if (mask.width, mask.height) != (clip.width, clip.height):
        raise ValueError(f"{path} is for {mask.width}x{mask.height}, the clip is {clip.width}x{clip.height}")
    return mask


class _Restorer:
    """Two passes over the clip side by side: one reads what is known of a stretch, the other pastes its fills."""

    def __init__(
        self, filler: Filler, clip: Survey, mask: Mask, unfinished: Unfinished, on_sweep: Callable[[], None]
    ) -> None:
        self.filler, self.clip, self.mask = filler, clip, mask
        self.unfinished, self.on_sweep = unfinished, on_sweep

    @torch.no_grad()
    def frames(self, holes: Sequence[_Hole]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the restored clip, a few frames at a time, each part with the number of its first frame."""
        ahead, behind = enumerate(pictures(self.clip)), pictures(self.clip)
        missing = set(holes[self.unfinished.done :])
        at = 0
        for span, within in groupby(holes, key=lambda hole: hole.span):
            yield from self._pasted(behind, Stretch(at, span.first), {})
            fills = self._fills(ahead, span, list(within), missing)
            yield from self._pasted(behind, span, fills)
            for fill in fills.values():
                fill.close()
            at = span.stop
        yield from self._pasted(behind, Stretch(at, len(self.clip.pts_seconds)), {})

    def _disk(self, name: str, frames: int, channels: int, *, keep: bool = False) -> Disk:
        model = self.filler.model
        shape = channels, model.config.video.height, model.config.video.width
        return Disk(self.unfinished.folder / name, frames, shape, model.device, keep=keep)

    def _fills(
        self, ahead: Iterator[tuple[int, np.ndarray]], span: Stretch, holes: Sequence[_Hole], missing: Collection[_Hole]
    ) -> dict[IntBox, Disk]:
        """Open the fills of the tiles of a stretch, and sample what is missing."""
        fills = {
            tile: self._disk(f"fill-{span.first}-{number}", span.stop - span.first, 3, keep=self.unfinished.begun)
            for number, tile in enumerate(dict.fromkeys(hole.tile for hole in holes))
        }
        given = {
            hole: self._disk(f"given-{number}", self.filler.length(len(hole.frames)), 4)
            for number, hole in enumerate(holes)
            if hole in missing
        }
        self._read(ahead, span, given)
        for hole, known in given.items():
            self._sample(known, hole, fills[hole.tile])
            known.close()
            self.unfinished.went(self.unfinished.done + 1)
        return fills

    def _read(self, ahead: Iterator[tuple[int, np.ndarray]], span: Stretch, given: Mapping[_Hole, Disk]) -> None:
        video = self.filler.model.config.video
        for number, picture in ahead:
            for hole, known in given.items():
                if number in hole.frames:
                    at, size = self.clip.pts_seconds[number : number + 1], (video.height, video.width)
                    shown = torch.from_numpy(visible(self.mask, at, hole.tile, *size))[:, None].float()
                    x = shrink(picture[None], hole.tile, *size)
                    both = torch.cat([torch.where(shown.bool(), x, 0), shown], 1)
                    known.write(hole.frames.index(number), both[None])
            if number + 1 == span.stop:
                return

    def _sample(self, given: Disk, hole: _Hole, out: Disk) -> None:
        total, y, ahead = (self._disk(name, given.frames, 3) for name in ("total", "y", "ahead"))
        scratch = y, ahead, self._disk("scratch", given.frames, 4)
        self.filler.fill(given, total, scratch, self.on_sweep)
        for i, frame in enumerate(hole.frames):
            out.write(frame - hole.span.first, total.read(i, i + 1))
        for store in (total, *scratch):
            store.close()

    def _pasted(
        self, behind: Iterator[np.ndarray], span: Stretch, fills: Mapping[IntBox, Disk]
    ) -> Iterator[tuple[int, np.ndarray]]:
        video = self.filler.model.config.video
        size = self.clip.width, self.clip.height
        # Where nothing is enlarged the fill needs no soft edge.
        edge = 0 if size == (video.width, video.height) else default_dilation(*size)
        shares: dict[bytes, np.ndarray] = {}
        for first in range(span.first, span.stop, CHUNK):
            stop = min(first + CHUNK, span.stop)
            frames = np.stack([next(behind) for _ in range(first, stop)])
            if fills:
                shown = visible(self.mask, self.clip.pts_seconds[first:stop], (0, 0, *size), size[1], size[0])
                for i, hidden in enumerate(shown == 0):
                    if hidden.any():
                        key = np.packbits(hidden).tobytes()
                        shares = {key: shares[key] if key in shares else inner_edge(hidden, edge)}
                        at = first + i - span.first
                        now = {box: fill.read(at, at + 1)[0, 0].cpu() for box, fill in fills.items()}
                        frames[i] = paste(frames[i], shares[key], now)
            yield first, frames

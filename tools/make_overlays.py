"""Burn subtitles, captions, marks and bars into clean videos, with the truth of every pixel beside each file.

    python tools/make_overlays.py VIDEOS OUT --split dev --fonts /usr/share/fonts

Every clip NAME.mp4 has NAME.truth.npz (masks without loss) and NAME.truth.json (events, source, font, codec). A
source belongs to the development or to the final split by its name alone, and so does a font where a script has two.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from overlay_art import KINDS, Burnt, burn
from overlay_fonts import Fonts, find_fonts

from vidboot.data.decode import Video
from vidboot.data.geometry import center_crop_box

SPLITS = ("dev", "final")
# (encoder, options, suffix): the same picture at several qualities.
CODECS = (
    ("libx264", {"crf": "23", "preset": "veryfast"}, ".mp4"),
    ("libx264", {"crf": "18", "preset": "veryfast"}, ".mp4"),
    ("libx264", {"crf": "30", "preset": "veryfast"}, ".mp4"),
    ("libx265", {"crf": "28", "preset": "ultrafast", "x265-params": "log-level=none:pools=1"}, ".mp4"),
    ("mpeg4", {"qscale": "5"}, ".avi"),
    ("libvpx-vp9", {"crf": "36", "b:v": "0", "deadline": "realtime", "cpu-used": "8"}, ".webm"),
)


def split_of(name: str) -> str:
    """Return "dev" or "final" for a source of this name: fixed for ever, whatever else is in the folder."""
    return SPLITS[hashlib.sha256(Path(name).stem.encode()).digest()[0] % 2]


@dataclass
class Clip:
    """Frames of one source, uint8 RGB [T, H, W, 3]."""

    source: str
    frames: np.ndarray
    fps: float


def read_clip(
    path: Path, *, start: float, seconds: float, short_side: int, size: tuple[int, int] | None
) -> Clip | None:
    """Read ``seconds`` from ``start`` (a share of the file), shrunk; None if it is too short or too small."""
    with Video(path) as video:
        total = video.stream.frames or sum(1 for _ in video.frames())
    with Video(path) as video:
        fps = video.average_fps or 25.0
        count = min(total, round(seconds * fps))
        first = int((total - count) * start)
        frames: list[np.ndarray] = []
        for decoded in video.frames():
            if decoded.index >= first:
                frames.append(_shown(video, decoded.picture, short_side, size))
            if decoded.index == first + count - 1:
                break
    if len({frame.shape for frame in frames}) != 1 or len(frames) < 24 or not 5 <= fps <= 61:
        return None
    return Clip(path.name, np.stack(frames), fps)


def _shown(video: Video, picture: av.VideoFrame, short_side: int, size: tuple[int, int] | None) -> np.ndarray:
    geometry = video.geometry(picture)
    width, height = geometry.size
    scale = min(1.0, short_side / min(width, height))
    target = size or (round(width * scale / 2) * 2, round(height * scale / 2) * 2)
    x0, y0, x1, y1 = center_crop_box(width, height, target[1], target[0])
    upright = geometry.orientation.upright(picture.to_ndarray(format="rgb24"))
    upright = np.ascontiguousarray(upright).astype(np.uint8, copy=False)
    shown = av.VideoFrame.from_ndarray(upright, format="rgb24").reformat(width, height)
    crop = np.ascontiguousarray(shown.to_ndarray()[y0:y1, x0:x1]).astype(np.uint8, copy=False)
    whole = av.VideoFrame.from_ndarray(crop, format="rgb24")
    return whole.reformat(*target, format="rgb24", interpolation="AREA").to_ndarray()


def encode(path: Path, frames: np.ndarray, fps: float, encoder: str, options: dict[str, str]) -> None:
    """Write frames with one encoder, one thread."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=Fraction(fps).limit_denominator(1001), options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write(out: Path, name: str, clip: Clip, burnt: Burnt, kind: str, codec: int) -> Path:
    """Write one burnt clip and its truth."""
    encoder, options, suffix = CODECS[codec]
    path = out / f"{name}{suffix}"
    encode(path, burnt.frames, clip.fps, encoder, options)
    arrays = {}
    events = []
    for k, event in enumerate(burnt.events):
        # One layer for what stands still, else one per frame; packed bits, without loss.
        arrays[f"glyph{k}"] = np.packbits(event.glyph, axis=-1)
        arrays[f"all{k}"] = np.packbits(event.overlay, axis=-1)
        events.append({"what": event.what, "first": event.first, "last": event.last, "text": event.text, **event.note})
    np.savez_compressed(out / f"{name}.truth.npz", **arrays)
    T, H, W, _ = burnt.frames.shape
    truth = {"kind": kind, "source": clip.source, "split": split_of(clip.source), "fps": clip.fps}
    truth |= {"frames": T, "width": W, "height": H, "codec": encoder, "options": options, "events": events}
    (out / f"{name}.truth.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False))
    return path


def plan(names: Sequence[str], kinds: Sequence[str], per_source: int, seed: int) -> Iterator[tuple[str, str, int]]:
    """Yield (source, kind, number): every source takes the next kinds of the list in turn."""
    number = seed
    for name in names:
        for _ in range(per_source):
            yield name, kinds[number % len(kinds)], number
            number += 1


def make(options: argparse.Namespace, say: Callable[[str], None]) -> list[Path]:
    """Write every clip that ``options`` asks for."""
    fonts = Fonts(find_fonts(options.fonts), options.split, say)
    options.out.mkdir(parents=True, exist_ok=True)
    left_out = set(options.exclude.split(",")) if options.exclude else set()
    names = [p.name for p in sorted(options.videos.iterdir()) if p.is_file() and p.stem not in left_out]
    names = [n for n in names if options.split == "all" or split_of(n) == options.split]
    made: list[Path] = []
    last: tuple[str, Clip | None] = ("", None)
    for name, kind, number in plan(names, options.kinds, options.per_source, options.seed):
        if last[0] != name:
            try:
                how = {"start": options.start, "seconds": options.seconds, "short_side": options.short_side}
                last = name, read_clip(options.videos / name, size=options.size, **how)
            except (OSError, LookupError, UnicodeDecodeError, ValueError) as error:
                say(f"left out {name}: {error}")
                last = name, None
        clip = last[1]
        if clip is None:
            continue
        rng = np.random.default_rng((options.mark_seed if options.mark_seed >= 0 else number, 7))
        burnt = burn(clip.frames, clip.fps, kind, fonts, rng, options.alpha)
        if burnt is None:
            say(f"left out {kind} on {name}: no font for it, or the picture is too small")
            continue
        codec = number % len(CODECS) if options.codec < 0 else options.codec
        made.append(write(options.out, f"{Path(name).stem}_{number:03}_{kind}", clip, burnt, kind, codec))
        say(f"{len(made)} {made[-1].name}")
    return made


def main() -> None:
    """Parse the arguments and write the clips."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("videos", type=Path, help="folder of clean videos, not searched deeper")
    parser.add_argument("out", type=Path, help="where clips and truth go")
    parser.add_argument("--split", choices=(*SPLITS, "all"), default="dev")
    parser.add_argument("--kinds", type=_kinds, default=list(KINDS), help=f"of {','.join(KINDS)},clean; default all")
    parser.add_argument("--exclude", default="", help="names of sources with overlays of their own, by commas")
    parser.add_argument("--per-source", type=int, default=4, help="clips made of each source")
    parser.add_argument("--start", type=float, default=0.3, help="where in the source a clip starts, 0 to 1")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--short-side", type=int, default=360)
    parser.add_argument("--size", type=_size, default=None, help="crop and shrink everything to WIDTHxHEIGHT")
    parser.add_argument("--fonts", type=Path, nargs="*", default=[], help="more folders of fonts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mark-seed", type=int, default=-1, help="draw the same mark on every clip")
    parser.add_argument("--alpha", type=float, default=0.0, help="opacity of marks; default drawn")
    parser.add_argument("--codec", type=int, default=-1, help=f"one of 0..{len(CODECS) - 1} for all; default in turn")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    made = make(options, lambda line: print(line, file=sys.stderr))
    print(json.dumps({"clips": [p.name for p in made]}) if options.json else f"{len(made)} clips in {options.out}")


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    if unknown := sorted({*kinds} - {*KINDS, "clean"}):
        raise argparse.ArgumentTypeError(f"no kind is called {', '.join(unknown)}")
    return kinds


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


if __name__ == "__main__":
    main()

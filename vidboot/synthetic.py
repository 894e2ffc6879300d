"""Procedural videos whose truth is known: one sprite that keeps its species, speed and background for ever.

A scene is drawn from (seed, index) alone and rendered at any size and length, so a small rendering is a low-res
view of the sharp one. Frames are uint8 RGB [T, H, W, 3]; positions are (x, y) in pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from vidboot import masks
from vidboot.boxes import Box

SPECIES = ("red disc", "green square", "blue diamond", "yellow ring")
COLOURS = np.array([[1, 0.2, 0.2], [0.2, 1, 0.3], [0.3, 0.5, 1], [1, 1, 0.2]], np.float32)
# Radius and speed are stated for a frame of this side and scale with the frame.
REFERENCE_SIDE = 32


@dataclass(frozen=True)
class Scene:
    """What happens in one video, in units of the frame's shorter side.

    Args:
        species: index into `SPECIES`; shape and colour go together.
        radius: of the sprite.
        start: where the sprite is at frame 0, (x, y) in [0, 1] of the room it has.
        velocity: (x, y) per frame, before the first bounce.
        background: RGB in [0, 1] at the top and at the bottom, [2][3].
    """

    species: int
    radius: float
    start: tuple[float, float]
    velocity: tuple[float, float]
    background: tuple[tuple[float, ...], tuple[float, ...]]

    def centres(self, frames: int, height: int, width: int, *, first: int = 0) -> np.ndarray:
        """Return the sprite's centre (x, y) in pixels for ``frames`` frames from ``first``, [T, 2]."""
        side = min(height, width)
        low = self.radius * side
        room = np.array([width, height]) - 2 * low
        at = np.array(self.start) * room + np.arange(first, first + frames)[:, None] * np.array(self.velocity) * side
        return low + room - np.abs(at % (2 * room) - room)  # a triangle wave bounces


class Truth(NamedTuple):
    """What a rendered video shows."""

    scene: Scene
    """Species, speed and background."""
    centres: np.ndarray
    """Sprite centre (x, y) in pixels, [T, 2]."""


def draw_scene(seed: int, index: int) -> Scene:
    """Draw scene number ``index`` of ``seed``; the same for ever, whatever else is drawn. Species take turns."""
    rng = np.random.default_rng((seed, index))
    speed = rng.uniform(0.8, 1.9) / REFERENCE_SIDE
    angle = rng.uniform(0, 2 * np.pi)
    top, bottom = rng.uniform(0, 0.4, (2, 3))
    return Scene(
        species=index % len(SPECIES),
        radius=float(rng.uniform(5.4, 7) / REFERENCE_SIDE),
        start=(float(rng.uniform()), float(rng.uniform())),
        velocity=(float(speed * np.cos(angle)), float(speed * np.sin(angle))),
        background=(tuple(map(float, top)), tuple(map(float, bottom))),
    )


def render(scene: Scene, *, frames: int, height: int = 32, width: int = 32, first: int = 0) -> np.ndarray:
    """Render ``frames`` frames of ``scene`` from frame ``first``, uint8 [T, H, W, 3].

    Raises:
        ValueError: no frame, or a frame without pixels.
    """
    if min(frames, height, width) < 1:
        raise ValueError(f"a video has at least one frame and one pixel, got {frames}x{height}x{width}")
    centres = scene.centres(frames, height, width, first=first)
    x = (np.arange(width) + 0.5 - centres[:, :1]).astype(np.float32)[:, None, :]  # [T, 1, W]
    y = (np.arange(height) + 0.5 - centres[:, 1:]).astype(np.float32)[:, :, None]  # [T, H, 1]
    cover = np.clip(0.5 - _signed_distance(scene.species, x, y, scene.radius * min(height, width)), 0, 1)
    top, bottom = np.array(scene.background, np.float32) * 255
    down = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    backdrop = (top + (bottom - top) * down)[:, None]  # [H, 1, 3]
    ink = COLOURS[scene.species] * 255 - backdrop
    return (backdrop + cover[..., None] * ink + 0.5).astype(np.uint8)


def _signed_distance(species: int, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Distance in pixels from the sprite's edge, negative inside."""
    match SPECIES[species]:
        case "red disc":
            return np.sqrt(x * x + y * y) - radius
        case "green square":
            return np.maximum(np.abs(x), np.abs(y)) - 0.85 * radius
        case "blue diamond":
            return (np.abs(x) + np.abs(y) - radius) * np.float32(0.5**0.5)
        case _:
            return np.abs(np.sqrt(x * x + y * y) - 0.7 * radius) - 0.3 * radius


def video(
    seed: int, index: int, *, frames: int, height: int = 32, width: int = 32, first: int = 0
) -> tuple[np.ndarray, Truth]:
    """Return video number ``index`` of ``seed``, uint8 [T, H, W, 3], and its truth."""
    scene = draw_scene(seed, index)
    shown = render(scene, frames=frames, height=height, width=width, first=first)
    return shown, Truth(scene, scene.centres(frames, height, width, first=first))


# Rows of three pixels, top to bottom, one octal digit each.
FONT = {
    "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553",
    "H": "55755", "I": "72227", "K": "55655", "L": "44447", "M": "57755", "N": "65555", "O": "25552",
    "P": "65644", "R": "65655", "S": "34216", "T": "72222", "U": "55557", "V": "55552", "W": "55775",
    "X": "55255", "Y": "55222", "Z": "71247", " ": "00000",
}  # fmt: skip
GLYPH_HEIGHT, GLYPH_WIDTH = 5, 3


def burn_subtitle(frames: np.ndarray, text_seed: int, first: int, last: int) -> tuple[np.ndarray, Box]:
    """Burn one line of white text with a dark outline into frames ``first`` .. ``last`` - 1, near the bottom.

    Args:
        frames: uint8 [T, H, W, 3], left as it is.
        text_seed: draws the letters.
        first: first frame that shows the text.
        last: first frame after it that does not.

    Returns:
        The frames with text, and the box (x0, y0, x1, y1) of text and outline, the same in each frame.

    Raises:
        ValueError: the frames are not there, or too small for a letter.
    """
    T, H, W, _ = frames.shape
    if not 0 <= first < last <= T:
        raise ValueError(f"frames {first}..{last} are not within the video's {T}")
    scale = max(1, min(H, W) // 64)
    letters = (W // scale - 2) // (GLYPH_WIDTH + 1)
    if letters < 1 or (GLYPH_HEIGHT + 2) * scale > H:
        raise ValueError(f"a frame of {H}x{W} is too small for a subtitle")
    text = np.pad(_text(text_seed, letters), 1).repeat(scale, 0).repeat(scale, 1)
    outline = _grow(text, scale)
    height, width = text.shape
    x0, y0 = (W - width) // 2, H - height - H // 32
    burnt = frames.copy()
    under = burnt[first:last, y0 : y0 + height, x0 : x0 + width]
    under[:, outline] = 16
    under[:, text] = 245
    rows, columns = np.nonzero(outline)
    x1, y1 = x0 + int(columns.max()) + 1, y0 + int(rows.max()) + 1
    return burnt, (x0 + int(columns.min()), y0 + int(rows.min()), x1, y1)


def _text(seed: int, letters: int) -> np.ndarray:
    """Random letters and a few spaces as bool [5, 4 * letters - 1]."""
    word = np.random.default_rng(seed).choice(sorted(set(FONT) - {" "}), letters)
    word[3::7] = " "
    rows = np.array([[int(digit) for digit in FONT[letter]] for letter in word])  # [letters, 5]
    pixels = (rows[..., None] >> np.array([2, 1, 0, 3])) & 1  # bit 3 is never set: the gap between letters
    return pixels.transpose(1, 0, 2).reshape(GLYPH_HEIGHT, -1)[:, :-1].astype(bool)


def _grow(shape: np.ndarray, by: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(shape, by), (2 * by + 1, 2 * by + 1))
    return np.any(windows, axis=(2, 3), keepdims=True)[..., 0, 0]


Encode = Callable[[Path, np.ndarray, int], None]  # path, frames, fps
Role = Literal["clip", "low_res", "full", "subtitled", "truncated", "held_out"]


@dataclass(frozen=True)
class FolderSizes:
    """How many files of each kind `write_folder` makes, and how large."""

    clips: int = 1000
    """Sharp and short."""
    low_res: int = 800
    """Small and long."""
    full: int = 8
    """Sharp, long and clean."""
    subtitled: int = 24
    """Sharp and long, with burnt-in subtitles and a mask file each."""
    truncated: int = 1
    """Sharp and short, an interrupted recording: no reader opens them."""
    held_out: int = 64
    """Sharp, long and clean, in a folder of their own."""
    side: int = 32
    """Width and height of sharp videos, px."""
    low_res_side: int = 16
    """Width and height of small videos, px."""
    short_frames: int = 16
    """Length of clips."""
    long_frames: int = 256
    """Length of everything else."""
    fps: int = 8
    """Frames per second of every file."""

    @property
    def counts(self) -> dict[Role, int]:
        """How many files have each role, in the order in which they are written."""
        return {"clip": self.clips, "low_res": self.low_res, "full": self.full, "subtitled": self.subtitled,
                "truncated": self.truncated, "held_out": self.held_out}  # fmt: skip


class WrittenFile(NamedTuple):
    """One file of the folder, and its truth."""

    path: Path
    role: Role
    scene: Scene
    subtitles: tuple[masks.Event, ...] = ()
    """Also written as a mask file."""


def write_folder(
    path: Path,
    sizes: FolderSizes,
    *,
    seed: int = 0,
    held_out_path: Path,
    work: Path,
    encode: Encode,
    workers: int = 2,
    done: Callable[[WrittenFile], None] = lambda written: None,
) -> list[WrittenFile]:
    """Write a folder of mp4 files, most of them partial: no two show the same scene.

    Args:
        path: folder of training videos, made if it is not there.
        sizes: how many and how large.
        seed: draws every scene and subtitle.
        held_out_path: folder for the held-out videos.
        work: working folder; masks go to ``work/masks``.
        encode: writes one file; called from ``workers`` threads.
        workers: files encoded at a time.
        done: called after each file, in order.

    Returns:
        One record per file, in the order of `FolderSizes`.
    """
    path.mkdir(parents=True, exist_ok=True)
    held_out_path.mkdir(parents=True, exist_ok=True)

    def write(job: tuple[int, Role, int]) -> WrittenFile:
        index, role, number = job
        file = (held_out_path if role == "held_out" else path) / f"{role}_{number:05}.mp4"
        return _write_file(file, role, sizes, seed=seed, index=index, work=work, encode=encode)

    # Another count of one role leaves the scenes of the others as they are.
    jobs = [(1_000_000 * k + n, role, n) for k, (role, count) in enumerate(sizes.counts.items()) for n in range(count)]
    written = []
    with ThreadPoolExecutor(workers) as pool:  # encoding releases the interpreter lock
        for one in pool.map(write, jobs):
            done(one)
            written.append(one)
    return written


def _write_file(
    path: Path, role: Role, sizes: FolderSizes, *, seed: int, index: int, work: Path, encode: Encode
) -> WrittenFile:
    side = sizes.low_res_side if role == "low_res" else sizes.side
    length = sizes.short_frames if role in ("clip", "truncated") else sizes.long_frames
    frames, truth = video(seed, index, frames=length, height=side, width=side)
    rng = np.random.default_rng((seed, index, 1))
    frames, events = subtitled(frames, sizes.fps, rng) if role == "subtitled" else (frames, ())
    encode(path, frames, sizes.fps)
    content = path.read_bytes()
    if role == "truncated":
        # An interrupted recording: half of the frames, and not the index that readers need.
        path.write_bytes(content[: content.index(b"moov") - 4] + content[content.index(b"mdat") - 4 : -1000])
    if role == "subtitled":
        sha256 = hashlib.sha256(content).hexdigest()
        masks.save(masks.mask_path(work / "masks", sha256), masks.Mask(sha256, side, side, events))
    return WrittenFile(path, role, truth.scene, events)


def subtitled(frames: np.ndarray, fps: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[masks.Event, ...]]:
    """Burn lines of 2 to 5 seconds with pauses of 1 to 3 seconds from end to end."""
    events = []
    first = int(rng.integers(0, 2 * fps))
    while first < len(frames):
        last = min(len(frames), first + int(rng.integers(2 * fps, 5 * fps + 1)))
        frames, box = burn_subtitle(frames, int(rng.integers(2**31)), first, last)
        on, off = first / fps, (last - 1) / fps
        events.append(masks.Event(id=f"s{len(events)}", kind="subtitle", first_seconds=on, last_seconds=off, box=box))
        first = last + int(rng.integers(fps, 3 * fps + 1))
    return frames, tuple(events)

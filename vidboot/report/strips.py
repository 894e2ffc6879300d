"""Pictures of events: for each a strip of stills, before it, at its first frame, halfway, at its last, and after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av.error
import imageio.v3 as iio
import numpy as np

from vidboot import masks
from vidboot.boxes import Box
from vidboot.data import workers
from vidboot.data.decode import Resizer, Video
from vidboot.data.frame_times import frame_times
from vidboot.data.progress import Progress, silent
from vidboot.data.records import FileRecord, read_files, read_shots, root_of
from vidboot.decisions import FOUND, extent
from vidboot.masks import Event, Mask
from vidboot.report.media import data_url, image_url
from vidboot.trust import TIME_TOLERANCE_SECONDS

LABELS = ("before", "on", "middle", "off", "after")
STILL_SIDE = 480
"""Longest side of a still, px."""
EXACT_SIDE = 96
"""Stills up to this side are stored without loss: of so few pixels each counts."""
AWAY_FRAMES = 2
"""How far before and after an event its strip looks: fades are over, and compression's halo is gone."""
LEAST_LIMIT_SECONDS = 60.0
LIMIT_SECONDS_PER_FRAME = 0.2
REGION_RGBA, EDGE_RGBA = (255, 143, 74, 70), (255, 143, 74, 255)


@dataclass(frozen=True)
class Still:
    """One picture of a strip; ``url`` is empty where the video has no such frame."""

    label: str
    seconds: float | None
    url: str


@dataclass(frozen=True)
class Card:
    """One event, as a person is asked about it."""

    video: str
    sha256: str
    width: int
    height: int
    event: Event
    """As it stands now."""
    seen: Box
    """Where it was found."""
    area: float
    """Share of the frame that it hides now, its layer counted exactly."""
    stills: Sequence[Still]
    outline: str = ""
    """Picture of the layer, to lie over a still; empty for a box."""


def cards(
    videos: Path, work: Path, *, progress: Progress = silent, worker_count: int = 2
) -> tuple[list[Card], dict[str, str]]:
    """Return a card for each event of a working folder's masks, and the videos that could not be read, with the cause.

    Raises:
        ValueError: a mask file is broken.
    """
    root = root_of(videos)
    records = {file.sha256: file for file in reversed(read_files(work)) if file.status == "usable"}
    pts_seconds = frame_times(records.values(), read_shots(work))
    tasks, mask_of = [], {}
    for sha256, file in sorted(records.items(), key=lambda item: item[1].path):
        path = masks.mask_path(work / "masks", sha256)
        if path.is_file():
            mask_of[sha256] = masks.load(path, sha256=sha256)
            if mask_of[sha256].events:
                limit_seconds = LEAST_LIMIT_SECONDS + LIMIT_SECONDS_PER_FRAME * file.frames
                told = (str(root), file, path, pts_seconds[sha256])
                tasks.append(workers.Task("vidboot.report.strips:stills_of", told, limit_seconds))
    made: list[Card] = []
    unread: dict[str, str] = {}
    for done, outcome in enumerate(workers.run(tasks, worker_count), start=1):
        file = outcome.task.arguments[1]
        if isinstance(outcome.result, dict):
            mask = mask_of[file.sha256]
            made += [_card(file, mask, event, outcome.result[event.id]) for event in _asked(mask)]
        else:
            unread[file.path] = outcome.result or outcome.message
        progress(done, len(tasks), file.path)
    return made, unread


def _asked(mask: Mask) -> list[Event]:
    """The events to ask about: not what a person's own box already stands in for."""
    return [event for event in mask.events if not event.id.endswith(FOUND)]


def _card(file: FileRecord, mask: Mask, event: Event, stills: Sequence[Still]) -> Card:
    found = next((other for other in mask.events if other.id == event.id + FOUND), event)
    if event.layer is not None:
        area, outline = float(mask.layers[event.layer].mean()), _outline(mask.layers[event.layer])
    else:
        x0, y0, x1, y1 = extent(mask, event)
        area, outline = (x1 - x0) * (y1 - y0) / (mask.width * mask.height), ""
    seen = extent(mask, found)
    return Card(file.path, file.sha256, mask.width, mask.height, event, seen, area, stills, outline)


def stills_of(
    root: str, file: FileRecord, mask_path: Path, pts_seconds: np.ndarray
) -> Iterator[dict[str, list[Still]] | str]:
    """Yield the stills of each event of one video, by its id, or why there are none; a task for a worker."""
    mask = masks.load(mask_path)
    wanted = {event.id: chosen_frames(event, pts_seconds) for event in _asked(mask)}
    indices = {i for chosen in wanted.values() for i in chosen if i is not None}
    try:
        urls = _pictures(Path(root, file.path), mask, indices)
    except (av.error.FFmpegError, OSError, LookupError, UnicodeDecodeError) as error:
        yield f"{type(error).__name__}: {error}"
        return
    yield {
        name: [
            Still(label, None if i is None else float(pts_seconds[i]), "" if i is None else urls.get(i, ""))
            for label, i in zip(LABELS, chosen, strict=True)
        ]
        for name, chosen in wanted.items()
    }


def chosen_frames(event: Event, pts_seconds: np.ndarray) -> list[int | None]:
    """Return the frames of an event's strip, one per label; None where the video has not begun or is over.

    Args:
        event: what is shown.
        pts_seconds: of every frame, increasing, [T].
    """
    first = int(np.searchsorted(pts_seconds, event.first_seconds - TIME_TOLERANCE_SECONDS))
    last = int(np.searchsorted(pts_seconds, event.last_seconds + TIME_TOLERANCE_SECONDS, side="right")) - 1
    first = min(first, len(pts_seconds) - 1)
    last = max(last, first)
    before = max(first - AWAY_FRAMES, 0) if first > 0 else None
    after = min(last + AWAY_FRAMES, len(pts_seconds) - 1) if last < len(pts_seconds) - 1 else None
    return [before, first, (first + last) // 2, last, after]


def _pictures(path: Path, mask: Mask, wanted: set[int]) -> dict[int, str]:
    """Decode the wanted frames and shrink them; one of another size than the mask's has no picture."""
    urls: dict[int, str] = {}
    shrink: Resizer | None = None
    decoded = None
    with Video(path) as video:
        for decoded in video.frames():
            if decoded.index > max(wanted):
                break
            geometry = video.geometry(decoded.picture)
            if decoded.index not in wanted or geometry.size != (mask.width, mask.height):
                continue
            if shrink is None:
                scale = min(1.0, STILL_SIDE / max(geometry.size)) / geometry.stretch
                shrink = Resizer(*(max(1, round(side * scale)) for side in (mask.height, mask.width)))
            urls[decoded.index] = _still_url(shrink(decoded.picture, geometry))
    if decoded is None:
        raise LookupError("no frame can be decoded")
    return urls


def _still_url(pixels: np.ndarray) -> str:
    if max(pixels.shape[:2]) <= EXACT_SIDE:
        return image_url(pixels)
    return data_url("image/jpeg", iio.imwrite("<bytes>", pixels, extension=".jpg", quality=82))


def _outline(layer: np.ndarray) -> str:
    """Draw a layer as a tint with an edge, shrunk so that no thin stroke is lost."""
    by = max(1, -(-max(layer.shape) // (2 * STILL_SIDE)))
    height, width = (side // by * by for side in layer.shape)
    hidden = layer[:height, :width].reshape(height // by, by, width // by, by).any(axis=(1, 3))
    inner = np.pad(hidden, 1)
    edge = hidden & ~(inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:])
    pixels = np.zeros((*hidden.shape, 4), np.uint8)
    pixels[hidden], pixels[edge] = REGION_RGBA, EDGE_RGBA
    return data_url("image/png", iio.imwrite("<bytes>", pixels, extension=".png"))

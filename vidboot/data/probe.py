"""What a file is, found by decoding all of it: the frames it really has, their times, damage, cuts and blank spans."""

import hashlib
import math
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from vidboot.data import decord_check, shots, times, workers
from vidboot.data.decode import Decoded, Thumbnailer, Video
from vidboot.data.geometry import Geometry
from vidboot.data.records import FileRecord, Reason, Scanned, Shot, Span

MOST_PIXELS = 8192 * 8704
MOST_LOOKED_AT = 1920 * 1088  # pixels of a frame that may be blank
ENDS_EARLY = 0.95
"""Share of the seconds that a header promises from which on what is missing may be rounding."""
# Frames that were decoded earn time for more: of a picture that stands still there may be many in a small file.
EARNS_EVERY, SECONDS_PER_FRAME = 64, 0.5
ENCRYPTED_TAGS = ("encv", "drmi", "drmt")

# Enough of each format's first bytes to call a file that does not open a damaged video rather than something else.
MAGIC: tuple[tuple[int, bytes], ...] = (
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (0, b"\x1a\x45\xdf\xa3"),
    (8, b"AVI "),
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (0, b"GIF8"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"\x30\x26\xb2\x75"),
)


class Refusal(Exception):
    """A file that teaches nothing, with the reason and one sentence for a person."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def scanned(self, record: FileRecord) -> Scanned:
        """Return the record of the refused file."""
        return Scanned(replace(record, status="refused", reason=self.reason, message=str(self)))


class _Frames:
    """What is kept of the decoded frames of one file."""

    def __init__(self) -> None:
        self.seconds: list[float] = []  # NaN where the file gives none
        self.damaged: list[bool] = []
        self.geometries: dict[int, Geometry] = {}  # each from this frame on
        self.blank: list[bool] = []
        self.thumbnails = bytearray()
        self.samples = decord_check.Samples()
        self.picture: VideoFrame | None = None
        self._thumbnail = Thumbnailer(shots.THUMBNAIL)

    def keep(self, decoded: Decoded, video: Video) -> None:
        picture, last = decoded.picture, self.picture
        if last is None or (picture.width, picture.height) != (last.width, last.height):
            if picture.width * picture.height > MOST_PIXELS:
                raise Refusal(Reason.TOO_LARGE, f"pictures of {picture.width}x{picture.height} pixels")
            self.geometries[decoded.index] = video.geometry(picture)
        self.seconds.append(math.nan if decoded.pts_seconds is None else decoded.pts_seconds)
        self.damaged.append(decoded.damaged)
        thumbnail = self._thumbnail(picture)
        self.thumbnails += thumbnail.tobytes()
        self.blank.append(shots.is_flat(thumbnail) and shots.is_plain(_colours(picture)))
        if decord_check.worth_checking(video.stream.codec_context.name, picture, decoded.index + 1):
            self.samples.offer(decoded.index, picture)
        self.picture = picture


def _colours(picture: VideoFrame) -> np.ndarray:
    """The picture as stored, uint8 RGB [h, w, 3], smaller if it is very large."""
    scale = min(1.0, (MOST_LOOKED_AT / (picture.width * picture.height)) ** 0.5)
    width, height = (max(1, int(side * scale)) for side in (picture.width, picture.height))
    return picture.reformat(width, height, "rgb24", interpolation=Interpolation.AREA).to_ndarray()


def probe(folder: str, relative: str, known: dict[str, str]) -> Iterator[Scanned | str | workers.Earned]:
    """Yield what a file is; then once more with its reader, if decord may be trusted with it.

    Args:
        folder: the folder of videos.
        relative: path of the file in it.
        known: SHA-256 of files that were scanned before and have this file's size, to their paths.

    Yields:
        ``Scanned``, or, for content that is known already, the path it was known by.
    """
    path = Path(folder, relative)
    try:
        size, mtime_ns = check_readable(path)
        sha256 = _sha256(path)
    except Refusal as refusal:
        yield refusal.scanned(FileRecord(path=relative, status="refused"))
        return
    if sha256 in known:
        yield known[sha256]
        return
    blank = FileRecord(path=relative, status="refused", sha256=sha256, size=size, mtime_ns=mtime_ns)
    try:
        yield from _decode(path, blank)
    except Refusal as refusal:
        yield refusal.scanned(blank)


def check_readable(path: Path) -> tuple[int, int]:
    """Return a file's size and time of change (ns).

    Raises:
        Refusal: it is unreadable, empty, or no regular file.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            folder = stat.S_ISDIR(status.st_mode)
            raise Refusal(Reason.UNREADABLE, "a folder that cannot be listed" if folder else "not a regular file")
        with path.open("rb"):
            pass
    except OSError as error:
        broken_link = isinstance(error, FileNotFoundError) and path.is_symlink()
        raise Refusal(Reason.UNREADABLE, "a link to nothing" if broken_link else _cause(error)) from error
    if status.st_size == 0:
        raise Refusal(Reason.EMPTY, "the file is empty")
    return status.st_size, status.st_mtime_ns


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise Refusal(Reason.UNREADABLE, _cause(error)) from error


def _decode(path: Path, record: FileRecord) -> Iterator[Scanned | workers.Earned]:
    with _open(path) as video:
        codec = video.stream.codec_context.name
        record = replace(record, codec=codec, stream=video.stream.index)
        frames = _Frames()
        for decoded in video.frames():
            frames.keep(decoded, video)
            if decoded.index % EARNS_EVERY == EARNS_EVERY - 1:
                yield workers.Earned(EARNS_EVERY * SECONDS_PER_FRAME)
        average_fps, promised = video.average_fps, _promised_seconds(video)
        encrypted = str(video.stream.codec_context.codec_tag) in ENCRYPTED_TAGS
        broken = video.broken_packets
    if frames.picture is None:
        yield Scanned(_without_frames(record, encrypted=encrypted, broken=broken))
        return
    scanned = _describe(record, frames, average_fps)
    if scanned.file.status == "usable" and (message := _ends_early(scanned.file.seconds, promised)):
        scanned = replace(scanned, file=replace(scanned.file, message=message))
    yield scanned
    checkable = scanned.file.status == "usable" and not any(frames.damaged)
    if not checkable or not decord_check.worth_checking(codec, frames.picture, scanned.file.frames):
        return
    if decord_check.agrees(path, scanned.file.frames, frames.samples, frames.picture):
        yield replace(scanned, file=replace(scanned.file, reader="decord"))


def _open(path: Path) -> Video:
    try:
        return Video(path)
    except MemoryError:
        raise
    except LookupError as error:
        raise Refusal(Reason.NO_VIDEO_STREAM, "a media file without a video track") from error
    except (av.error.FFmpegError, OSError, UnicodeDecodeError) as error:
        if _looks_like_video(path):
            raise Refusal(Reason.DAMAGED, f"cannot be opened: {_cause(error)}") from error
        raise Refusal(Reason.NOT_VIDEO, "the content is no video format we know") from error


def _promised_seconds(video: Video) -> float | None:
    """How long the header says that the pictures last; None if it does not."""
    stream = video.stream
    return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None


def _ends_early(seconds: float, promised: float | None) -> str:
    """Say that a file, as of a download that broke off, holds less than it promises; empty if it does not."""
    if promised is None or seconds > ENDS_EARLY * promised or promised - seconds < 0.5:
        return ""
    return f"ends early: {seconds:.1f} of {promised:.1f} s"


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _looks_like_video(path: Path) -> bool:
    with path.open("rb") as content:
        head = content.read(32)
    return any(head[at:].startswith(magic) for at, magic in MAGIC)


def _without_frames(record: FileRecord, *, encrypted: bool, broken: int) -> FileRecord:
    if encrypted:
        return replace(record, reason=Reason.ENCRYPTED, message="encrypted, no frame can be decoded")
    if broken:
        return replace(record, reason=Reason.DAMAGED, message=f"none of {broken} packets can be decoded")
    return replace(record, reason=Reason.NO_FRAMES, message="a video track without a frame")


def _describe(record: FileRecord, frames: _Frames, average_fps: float | None) -> Scanned:
    pts_seconds = times.repair(np.array(frames.seconds), average_fps).round(6)
    thumbnails = np.frombuffer(frames.thumbnails, np.uint8).reshape(-1, shots.THUMBNAIL, shots.THUMBNAIL)
    damaged = np.array(frames.damaged)
    starts = _starts(thumbnails, pts_seconds, damaged, frames.geometries)
    blank = shots.find_blanks(np.array(frames.blank), pts_seconds)
    width, height = max((geometry.size for geometry in frames.geometries.values()), key=math.prod)
    lasting = times.frame_seconds(pts_seconds)
    lasting[shots.find_gaps(pts_seconds) - 1] = np.median(lasting)  # what is missing is no video
    record = replace(
        record,
        frames=len(pts_seconds),
        seconds=round(float(lasting.sum()), 6),
        width=width,
        height=height,
        fps=round(times.frame_rate(pts_seconds), 6),
        damaged=tuple(shots.spans_where(damaged)),
        blank=tuple(blank),
        cuts=tuple(pts_seconds[starts].tolist()),
    )
    if record.frames == 1:
        return Scanned(replace(record, reason=Reason.STILL_IMAGE, message="a single picture"))
    spans = enumerate(shots.split(record.frames, starts, blank))
    own = (_shot(record, number, span, pts_seconds, lasting, frames.geometries) for number, span in spans)
    return Scanned(replace(record, status="usable"), tuple(own))


def _starts(thumbnails: np.ndarray, pts_seconds: np.ndarray, damaged: np.ndarray, resized: Iterable[int]) -> list[int]:
    cuts = shots.find_cuts(thumbnails, pts_seconds)
    # Damage looks like a cut, where it begins and where it ends.
    sound = cuts[~(damaged[cuts] | damaged[cuts - 1])]
    return sorted({*sound.tolist(), *shots.find_gaps(pts_seconds).tolist(), *resized} - {0})


def _shot(
    record: FileRecord,
    number: int,
    span: Span,
    pts_seconds: np.ndarray,
    lasting: np.ndarray,
    geometries: dict[int, Geometry],
) -> Shot:
    first, last = span
    geometry = geometries[max(start for start in geometries if start <= first)]
    own = pts_seconds[first : last + 1]
    return Shot(
        path=record.path,
        sha256=record.sha256,
        shot=number,
        first=first,
        last=last,
        width=geometry.size[0],
        height=geometry.size[1],
        stretch=round(geometry.stretch, 6),
        fps=round(times.frame_rate(own), 6),
        seconds=round(float(lasting[first : last + 1].sum()), 6),
        pts_seconds=tuple(own.tolist()),
        damaged=tuple((max(a, first), min(b, last)) for a, b in record.damaged if a <= last and b >= first),
    )

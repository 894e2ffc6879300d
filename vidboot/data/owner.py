"""Which working folder belongs to which videos, and what may not be written among these."""

import os
from pathlib import Path

OWNER = ".owner"
"""File of a working folder that names the folder, or the file, whose it is."""


def work_folder(videos: Path, work: Path | None) -> Path:
    """Return the working folder of a folder of videos, or of one file."""
    return work or place_of(videos) / f"{videos.resolve().name}.vidboot"


def place_of(videos: Path) -> Path:
    """Return where things go unless told otherwise: here, or beside the videos where here is among them."""
    folder, here = videos.resolve(), Path.cwd()
    return folder.parent if videos.is_dir() and here.is_relative_to(folder) else here


def work_folder_of_file(video: Path, work: Path | None) -> Path:
    """Return the working folder of one video: its own, or, where it has none, that of the folder it lies in."""
    own = work_folder(video, work)
    return own if work or own.is_dir() else work_folder(video.resolve().parent, None)


def owner(work: Path) -> Path | None:
    """Return the folder or file whose working folder it is, if it says so."""
    note = work / OWNER
    name = note.read_bytes() if note.is_file() else b""
    return Path(os.fsdecode(name)) if name else None


def claim(work: Path, videos: Path) -> None:
    """Note whose working folder it is: what is known of one folder's videos must not make way for another's.

    Raises:
        ValueError: it is that of other videos, which are still there.
    """
    other = owner(work)
    if other == videos:
        return
    if other and other.exists():
        raise ValueError(f"{work} is the working folder of {other}: give {videos} one of its own with --work")
    (work / OWNER).write_bytes(os.fsencode(videos))


def check_apart(videos: Path, written: Path | None) -> None:
    """Raise ValueError where what is written would lie in the folder of videos, or be the one video."""
    if written and videos.exists() and written.resolve().is_relative_to(videos.resolve()):
        where = f"lies inside {videos}, where nothing may be written" if videos.is_dir() else "is the video itself"
        raise ValueError(f"{written} {where}: choose another place")


def check_not_a_video_of(work: Path, out: Path) -> None:
    """Raise ValueError where what is made would lie among the videos of a working folder, and train the next run."""
    if videos := owner(work):
        check_apart(videos, out)

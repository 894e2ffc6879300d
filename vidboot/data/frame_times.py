"""Times of all frames of a video, as the audit wrote them down: nothing is decoded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from vidboot.data.records import FileRecord, Shot
from vidboot.data.times import fill


def frame_times(files: Iterable[FileRecord], shots: Iterable[Shot]) -> dict[str, np.ndarray]:
    """Return the seconds of every frame of every usable file by its SHA-256, each [T].

    Frames between shots (blank ones) lie evenly in their gap.
    """
    shots_of = defaultdict(list)
    for shot in shots:
        shots_of[shot.path].append(shot)
    times = {}
    for file in files:
        if file.status != "usable":
            continue
        known = [np.arange(shot.first, shot.last + 1) for shot in shots_of[file.path]]
        seconds = [np.array(shot.pts_seconds) for shot in shots_of[file.path]]
        step = 1 / file.fps if file.fps > 0 else 1 / 25
        at, own = (np.concatenate(a) if a else np.zeros(0) for a in (known, seconds))
        times[file.sha256] = fill(at, own, file.frames, step) if len(at) else np.arange(file.frames) * step
    return times

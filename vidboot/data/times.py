"""When each frame is shown, in seconds: timestamps as decoders give them, repaired, and resampled to a frame rate."""

import numpy as np

DEFAULT_FPS = 25.0
LONGEST_GAP_SECONDS = 60.0
LATEST_START_SECONDS = 7 * 86400.0
SHORTEST_STEP_SECONDS = 1e-4
ROUNDING_SECONDS = 2e-3
"""Of a time that a container counts in milliseconds, and of another beside it."""
IN_TIME_SECONDS = 0.05
"""Pictures and sound that are no further apart than this seem to be together."""
MOST_REORDERED_FRAMES = 16


def repair(raw_seconds: np.ndarray, average_fps: float | None) -> np.ndarray:
    """Return strictly increasing times that follow the file's own timestamps wherever those make sense.

    Times stamped in decoding order are sorted; a clock that restarts or leaps runs on by one usual step; times that
    are missing or do not advance lie between their neighbours; a clock that mostly stands still is replaced.

    Args:
        raw_seconds: [T] float64, frames in the order of display, NaN where the file gives no time.
        average_fps: the container's claim, used only where the timestamps say nothing.
    """
    T = len(raw_seconds)
    known = np.flatnonzero(np.isfinite(raw_seconds))
    seconds = _in_display_order(raw_seconds[known])
    step = _usual_step(seconds, known, average_fps)
    seconds = _without_leaps(seconds, step)
    advancing = _advances(seconds)
    if len(known) == 0 or advancing.mean() < 0.75:
        return np.arange(T) / _believable(average_fps)
    return fill(known[advancing], seconds[advancing], T, step)


def same_clock(raw_seconds: np.ndarray, seconds: np.ndarray) -> bool:
    """Whether ``repair`` left every time where the file has it, so that what else the file times still fits.

    Args:
        raw_seconds: [T], what was repaired; NaN where the file gives no time.
        seconds: [T], repaired.
    """
    known = np.isfinite(raw_seconds)
    moved = seconds[known] - np.sort(raw_seconds[known])
    return bool((np.abs(moved - moved[:1]) <= IN_TIME_SECONDS).all())


def _in_display_order(seconds: np.ndarray) -> np.ndarray:
    # AVI stores no display times: decoders hand out those of the packets, permuted by the reordering of B-frames.
    order = np.argsort(seconds, kind="stable")
    permuted_locally = len(order) and np.abs(order - np.arange(len(order))).max() <= MOST_REORDERED_FRAMES
    return seconds[order] if permuted_locally else seconds


def _usual_step(seconds: np.ndarray, known: np.ndarray, average_fps: float | None) -> float:
    steps = np.diff(seconds) / np.diff(known)
    steps = steps[(steps > SHORTEST_STEP_SECONDS) & (steps <= LONGEST_GAP_SECONDS)]
    return float(np.median(steps)) if len(steps) else 1 / _believable(average_fps)


def _believable(average_fps: float | None) -> float:
    return average_fps if average_fps and 0.01 <= average_fps <= 480 else DEFAULT_FPS


def _without_leaps(seconds: np.ndarray, step: float) -> np.ndarray:
    steps = np.diff(seconds)
    leap = (steps < -max(10 * step, 0.3)) | (steps > max(10 * step, LONGEST_GAP_SECONDS))
    # Where nothing leaps the times stay what they are, bit by bit.
    seconds = seconds + np.concatenate([[0.0], np.cumsum(np.where(leap, step - steps, 0.0))])[: len(seconds)]
    return seconds - seconds[0] if len(seconds) and abs(seconds[0]) > LATEST_START_SECONDS else seconds


def _advances(seconds: np.ndarray) -> np.ndarray:
    latest = np.maximum.accumulate(seconds)
    return np.concatenate([[True], seconds[1:] > latest[:-1] + SHORTEST_STEP_SECONDS])[: len(seconds)]


def fill(known: np.ndarray, seconds: np.ndarray, T: int, step: float) -> np.ndarray:
    """Return the times of all frames, [T]: between known ones they lie evenly, beyond them ``step`` apart.

    Args:
        known: frames whose time is known, increasing, at least one.
        seconds: their times.
        T: frames.
        step: seconds.
    """
    filled = np.interp(np.arange(T), known, seconds)
    filled[: known[0]] = seconds[0] + (np.arange(known[0]) - known[0]) * step
    filled[known[-1] + 1 :] = seconds[-1] + np.arange(1, T - known[-1]) * step
    return filled


def frame_seconds(pts_seconds: np.ndarray) -> np.ndarray:
    """Return how long each frame is shown, [T]; the last one as long as the usual frame."""
    if len(pts_seconds) < 2:
        return np.full(len(pts_seconds), 1 / DEFAULT_FPS)
    steps = np.diff(pts_seconds)
    return np.append(steps, np.median(steps))


def frame_rate(pts_seconds: np.ndarray) -> float:
    """Return frames per second over the whole span; 0 for fewer than two frames."""
    span = pts_seconds[-1] - pts_seconds[0] if len(pts_seconds) > 1 else 0.0
    return float((len(pts_seconds) - 1) / span) if span > 0 else 0.0


def nearest_frames(pts_seconds: np.ndarray, fps: float) -> np.ndarray:
    """Return which frames to show at ``fps``: for each time k / fps after the first frame, the nearest one, [t] int64.

    Args:
        pts_seconds: [T], increasing.
        fps: of the result; a higher rate than the source's repeats frames.
    """
    since_first = np.asarray(pts_seconds, dtype=np.float64) - pts_seconds[0]
    # The last frame is near until half a frame after its time.
    end = since_first[-1] + frame_seconds(since_first)[-1] / 2 if len(since_first) > 1 else 0.0
    wanted = np.arange(int(end * fps + 1e-6) + 1) / fps
    after = np.searchsorted(since_first, wanted).clip(1, max(len(since_first) - 1, 1))
    before = after - 1
    after = after.clip(max=len(since_first) - 1)
    return np.where(wanted - since_first[before] <= since_first[after] - wanted, before, after)

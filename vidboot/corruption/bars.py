"""Black bars around the picture, found to the pixel on the source's own rows and columns.

A bar is dark, of one level and still; text may lie in it. Dark scenes make bars out of nothing, so only bright frames
count, and one bar alone counts only if the video has a cut that it survives.
"""

from collections.abc import Sequence

import numpy as np

from vidboot.corruption.thresholds import BarThresholds


def find_bars(
    frames: Sequence[np.ndarray], *, shots: int, thresholds: BarThresholds
) -> tuple[int, int, int, int] | None:
    """Return the widths of the bars on the left, top, right and bottom, in pixels.

    Args:
        frames: brightness of frames spread over the video, each uint8 [H, W].
        shots: number of shots they come from.
        thresholds: see there.

    Returns:
        (left, top, right, bottom), 0 where there is none; None if too few frames are bright enough to tell.
    """
    bright = [frame for frame in frames if np.percentile(frame[::4, ::4], 98) >= thresholds.darkest_bright_frame]
    if len(bright) < thresholds.least_bright_frames:
        return None
    top, bottom = _pair(bright, shots, thresholds)
    left, right = _pair([frame.T for frame in bright], shots, thresholds)
    return left, top, right, bottom


def _pair(frames: Sequence[np.ndarray], shots: int, thresholds: BarThresholds) -> tuple[int, int]:
    """Rows of bar at the top and at the bottom."""
    first, second = _width(frames, thresholds), _width([frame[::-1] for frame in frames], thresholds)
    first, second = (width if width >= thresholds.least_pixels else 0 for width in (first, second))
    most = max(thresholds.least_pixels, thresholds.asymmetry * max(first, second))
    symmetric = min(first, second) > 0 and abs(first - second) <= most
    return (first, second) if symmetric or shots >= 2 else (0, 0)


def _width(frames: Sequence[np.ndarray], thresholds: BarThresholds) -> int:
    """Rows of bar at the top."""
    rows = frames[0].shape[0]
    level = float(np.median([np.median(frame[:2]) for frame in frames]))
    if level > thresholds.darkest_level:
        return 0
    at_level = np.array(
        [(np.abs(frame[: rows // 2].astype(np.int16) - level) <= thresholds.tolerance).mean(1) for frame in frames]
    )
    share = at_level.mean(axis=0)
    pure = share >= thresholds.pure_share
    if not pure[0]:
        return 0
    allowed = share >= thresholds.text_share
    reach = int(np.argmin(allowed)) if not allowed.all() else len(allowed)
    # The bar ends with its last pure row before the picture; rows with text lie between pure ones.
    width = int(np.flatnonzero(pure[:reach])[-1]) + 1
    if width == len(share):
        return 0
    beyond = at_level[:, width : width + 4].min(axis=0)
    return width if beyond.min() <= thresholds.content_share else 0

"""Does a generated video remember, move, and stay sharp? Small offline measures, without a learned feature net.

Videos are [B, T, C, H, W] in [-1, 1]; a feature is one vector per frame, [B, T, F]. Memory is read together with
motion, spread and detail: a grey still image remembers everything. Report each number beside the same of real videos.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from vidboot.boxes import IntBox
from vidboot.noise import seeded
from vidboot.views import LowRes

COLOUR_LEVELS = 3
LARGE_SHARE = 0.05


def colour_features(videos: Tensor, *, levels: int = COLOUR_LEVELS, large: float = LARGE_SHARE) -> Tensor:
    """Which colours each frame shows, wherever they are: a soft joint RGB histogram, cut off at ``large``.

    Each channel is shared linearly between the two nearest of ``levels`` evenly spaced values, so the histogram is
    continuous in the pixels. The cut-off lets a small object count as much as the background: without it, videos
    whose sprite changes before an unchanging background score .97 for memory, with it .24.

    Args:
        videos: [B, T, 3, H, W].
        levels: bins per channel.
        large: share of the frame from which more of a colour counts no further.

    Returns:
        [B, T, levels³] in [0, 1]; 1 = the colour takes at least ``large`` of the frame.
    """
    histograms = torch.stack([_colour_histogram(video, levels) for video in videos])
    return (histograms / large).clamp(max=1)


def _colour_histogram(video: Tensor, levels: int) -> Tensor:
    pixels = (video.float().clamp(-1, 1) + 1).flatten(2) * ((levels - 1) / 2)  # [T, 3, H*W]
    at = torch.arange(levels, device=video.device)[:, None]
    share = (1 - (pixels[:, :, None] - at).abs()).clamp(min=0)  # [T, 3, levels, H*W]
    red_green = (share[:, 0, :, None] * share[:, 1, None]).flatten(1, 2)  # [T, levels², H*W]
    # Not a batched product: many tiny ones are slow where threads compete for cores.
    joint = [(red_green * blue[:, None]).mean(-1) for blue in share[:, 2].unbind(1)]
    return torch.stack(joint, dim=-1).flatten(1)


def motion_features(videos: Tensor) -> Tensor:
    """Root mean squared difference between neighbouring frames, [B, T - 1, 1]: how fast things move."""
    return videos.diff(dim=1).square().mean(dim=(2, 3, 4)).sqrt()[..., None]


def lag_correlation(features: Tensor, lag: int) -> float:
    """Correlation between a video's features ``lag`` frames apart, over videos and start times.

    Features are centred by their mean over the whole set, so what all videos share does not count: 1 when each video
    keeps what sets it apart, 0 when a frame tells nothing about the later one.

    Args:
        features: [B, T, F], at least two videos.
        lag: frames, 0 <= lag < T.

    Returns:
        In [-1, 1]; nan if all features are the same.

    Raises:
        ValueError: ``lag`` is out of range, or there are fewer than two videos.
    """
    B, T, _ = features.shape
    if not 0 <= lag < T:
        raise ValueError(f"{lag = } is not within 0..{T - 1}")
    if B < 2:
        raise ValueError("the correlation needs at least two videos")
    centred = features.double() - features.double().mean(dim=(0, 1))
    now, later = centred[:, : T - lag], centred[:, lag:]
    return float((now * later).sum() / (now.square().sum() * later.square().sum()).sqrt())


def lag_curve(features: Tensor, lags: Sequence[int]) -> list[float]:
    """`lag_correlation` at each of ``lags``."""
    return [lag_correlation(features, lag) for lag in lags]


def motion_lag_correlation(videos: Tensor, lag: int) -> float:
    """`lag_correlation` of `motion_features`: does a fast video stay fast?

    What all videos have at one time is taken away first: jumps at the same joins in each are not memory.
    """
    features = motion_features(videos)
    return lag_correlation(features - features.mean(dim=0), lag)


def over(value: float, real: float) -> float:
    """Return a measure over that of real video; nan where the real stands still and has none."""
    return value / real if real else math.nan


def motion_energy(videos: Tensor) -> float:
    """Mean squared difference between neighbouring frames; 0 for a still image."""
    return float(videos.diff(dim=1).square().mean())


def flicker(videos: Tensor) -> float:
    """Mean squared second difference in time; 0 for steady change, 6 s² for independent noise of deviation s."""
    return float(videos.diff(n=2, dim=1).square().mean())


def spread(videos: Tensor) -> float:
    """Variance between videos of their mean frame, over pixels; 0 when all videos are one."""
    return float(videos.mean(dim=1).var(dim=0).mean())


def high_band_energy(videos: Tensor, factor: int) -> float:
    """Mean squared detail above the low-res view: x minus its mean over ``factor`` x ``factor`` pixels."""
    view = LowRes(factor)
    return float((videos - view.lift(view.restrict(videos))).square().mean())


def health(factor: int) -> dict[str, Callable[[Tensor], float]]:
    """Return the measures that keep memory honest, by name; ``factor`` is that of the low-res view."""
    high_band = partial(high_band_energy, factor=factor)
    return {"motion_energy": motion_energy, "spread": spread, "high_band_energy": high_band}


HEALTH = tuple(health(factor=4))
"""Their names."""


def seam_ratio(videos: Tensor, joins: Sequence[int]) -> float:
    """Frame-difference energy where windows join over that elsewhere; 1 when seams cannot be seen.

    Args:
        videos: [B, T, C, H, W].
        joins: first frame after each join, 1 <= join < T.

    Raises:
        ValueError: a join is out of range, or each frame or none is one.
    """
    energy = videos.diff(dim=1).square().mean(dim=(0, 2, 3, 4))  # [T - 1]
    at_join = torch.zeros(len(energy), dtype=torch.bool)
    for join in joins:
        if not 1 <= join <= len(energy):
            raise ValueError(f"{join = } is not within 1..{len(energy)}")
        at_join[join - 1] = True
    if at_join.all() or not at_join.any():
        raise ValueError("the ratio needs frames at joins and elsewhere")
    return float(energy[at_join].mean() / energy[~at_join].mean())


def colour_drift_slope(videos: Tensor, fps: float) -> float:
    """Mean absolute slope per second of each video's mean colour, by least squares over its whole length."""
    colour = videos.mean(dim=(3, 4)).double()  # [B, T, C]
    seconds = torch.arange(videos.shape[1], device=videos.device, dtype=torch.float64) / fps
    centred = (seconds - seconds.mean())[:, None]
    return float(((colour * centred).sum(dim=1) / centred.square().sum()).abs().mean())


def nearest_distance(videos: Tensor, clips: Tensor) -> Tensor:
    """Distance from each window of ``videos`` to the training clip most like it: near 0 = memorised.

    Read it beside the same number of held-out real videos.

    Args:
        videos: [B, T, C, H, W], T at least the clips' length; a rest shorter than a clip is not compared.
        clips: training clips, [N, w, C, H, W].

    Returns:
        Root mean squared difference per value, [B, T // w].
    """
    windows = videos.unfold(1, clips.shape[1], clips.shape[1]).movedim(-1, 2)  # [B, T // w, w, C, H, W]
    flat = windows.flatten(2).flatten(0, 1)  # [B * (T // w), D]
    nearest = torch.cdist(flat, clips.flatten(1)).amin(1)
    return (nearest / flat.shape[1] ** 0.5).view(windows.shape[:2])


class Template(NamedTuple):
    """A mark, by the signed gradients of its grey values, and where they lie."""

    row: int
    column: int
    gradient: Tensor
    """Differences down and across within the mark's box, [2, h - 1, w - 1]."""


def mark_template(videos: Tensor, box: IntBox) -> Template:
    """Find what frames have in common within a box: the median of their signed gradients (Dekel et al. 2017, step 1).

    Args:
        videos: frames that show the mark before different scenes, [B, T, C, H, W].
        box: x0, y0, x1, y1, pixels; at least 2 on a side.
    """
    x0, y0, x1, y1 = box
    gradient = _gradient(videos[..., y0:y1, x0:x1]).flatten(0, 1)  # [B * T, 2, h - 1, w - 1]
    return Template(y0, x0, gradient.median(0).values)


def leak_score(videos: Tensor, templates: Sequence[Template]) -> float:
    """Does a mark show in videos? Correlation of their frames with its template, of the mark that shows most.

    The correlation of a scene without the mark is 0 in the mean, whatever the scene; it grows with the opacity of a
    mark that is burnt in, and is 1 where nothing but the mark shows. Read it beside that of a clean-trained run.

    Args:
        videos: [B, T, C, H, W].
        templates: of the marks; at least one.

    Returns:
        The largest, over templates, of the mean over frames of the cosine between gradients, in [-1, 1].

    Raises:
        ValueError: there is no template.
    """
    if not templates:
        raise ValueError("a leak is measured against at least one template")
    return max(float(_likeness(videos, template).mean()) for template in templates)


def _likeness(videos: Tensor, template: Template) -> Tensor:
    """Cosine between each frame's gradients and the template's, 0 where either has none: [B, T]."""
    row, column, wanted = template
    h, w = wanted.shape[1:]
    found = _gradient(videos[..., row : row + h + 1, column : column + w + 1])
    return torch.cosine_similarity(found.flatten(2), wanted.to(found).flatten()[None, None], dim=2)


def _gradient(videos: Tensor) -> Tensor:
    """Differences of grey values down and across, [B, T, 2, H - 1, W - 1]."""
    grey = videos.float().mean(2)
    return torch.stack([grey[..., 1:, :-1] - grey[..., :-1, :-1], grey[..., :-1, 1:] - grey[..., :-1, :-1]], 2)


class Interval(NamedTuple):
    """Where a statistic lies when the videos are drawn again."""

    low: float
    high: float


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: Tensor,
    paired: bool = True,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of ``statistic(*samples)`` over videos drawn with replacement.

    Of few videos percentiles lie too close: they are moved out as far as Student's t is wider than the normal law
    (Hesterberg 2015, arXiv 1411.5279, expanded percentiles).

    Args:
        statistic: of the samples.
        samples: one row per video.
        paired: draw the same rows of each, which are of one length; else each by itself.
        resamples: draws.
        level: share of draws within the interval.
        seed: of the draws.

    Raises:
        ValueError: no sample, an empty one, or lengths that differ.
    """
    lengths = [len(sample) for sample in samples]
    if not min(lengths, default=0) or (paired and len(set(lengths)) > 1):
        raise ValueError(f"samples have lengths above 0, and one length where they are paired, got {lengths}")
    generator = seeded(seed)
    draws = [torch.randint(n, (resamples, n), generator=generator) for n in lengths[: 1 if paired else None]]
    draws = draws * len(samples) if paired else draws
    values = torch.tensor([
        statistic(*(x[rows.to(x.device)] for x, rows in zip(samples, draw, strict=True)))
        for draw in zip(*draws, strict=True)
    ])  # fmt: skip
    # A draw of n times the same video has no correlation.
    tail = _tail((1 - level) / 2, min(lengths))
    low, high = values.nanquantile(torch.tensor([tail, 1 - tail], dtype=values.dtype)).tolist()
    return Interval(low, high)


def _tail(share: float, n: int) -> float:
    """Share to leave out at each end of what is drawn of n videos, for ``share`` to be left out of the truth."""
    if n < 2:
        return share
    z, v = NormalDist().inv_cdf(1 - share), n - 1
    # Student's t by its expansion in 1 / v (Fisher and Cornish 1960); at 4 degrees of freedom .1 % off.
    t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    return NormalDist().cdf(-t * math.sqrt(n / v))

"""Gates: how far a correction is trusted at each noise level, g(sigma), measured and not learned.

Of D + g R the squared error is least where g = <R, x - D> / |R|². So a few videos, noised to each of a few levels, tell
g; nothing is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from vidboot.composition import Stream, back_projection, whole
from vidboot.denoiser import Denoise
from vidboot.errors import WorkFailed
from vidboot.losses import Batch
from vidboot.noise import expand, seeded
from vidboot.views import BandView

LEAST_KNOT, MOST_KNOT, KNOTS = 0.02, 20.0, 14
"""Noise levels between which g(sigma) is set, and at how many."""

Corrected = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""(y, sigma [B]) -> D and a correction R of it, both like y."""


def knots() -> Tensor:
    """Return ln sigma at which a gate is set, rising: [KNOTS]."""
    return torch.linspace(torch.tensor(LEAST_KNOT).log(), torch.tensor(MOST_KNOT).log(), KNOTS)


def gate_at(sigma: Tensor, knots: Tensor, gate: Tensor) -> Tensor:
    """Return g(sigma), linear in ln sigma between the knots, 0 above them: [B].

    Args:
        sigma: noise levels, [B].
        knots: ln sigma at which g is set, rising, [K].
        gate: g there, [K].
    """
    at = sigma.log().to(knots).contiguous()
    right = torch.searchsorted(knots, at).clamp(1, len(knots) - 1)
    low, high = knots[right - 1], knots[right]
    part = ((at - low) / (high - low)).clamp(0, 1)
    return torch.lerp(gate[right - 1], gate[right], part) * (at <= knots[-1])


def corrected_by(D_views: Denoise, residual: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Corrected:
    """Pair a denoiser with its correction R(y, D_views, sigma)."""

    def corrected(y: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        D_y = D_views(y, sigma)
        return D_y, residual(y, D_y, sigma)

    return corrected


@torch.no_grad()
def gate_sums(corrected: Corrected, video: Tensor, *, seed: int, trusted: Tensor | None = None) -> Tensor:
    """Sum <R, x - D> and |R|² over videos at each noise level of ``knots``.

    Args:
        corrected: what is corrected, and by what.
        video: x, [B, T, C, H, W]; a correction that could learn it by heart must not have seen it.
        seed: of the noise.
        trusted: 1 where x is known, [B, T, 1, H, W]; None: everywhere.

    Returns:
        [2, KNOTS], what ``smooth_gate`` takes; a sum over more videos is the sum of theirs.

    Raises:
        WorkFailed: D or R is not finite.
    """
    sums = torch.zeros(2, KNOTS)
    for level, sigma in enumerate(knots().exp().tolist()):
        generator = seeded(seed + level)
        y = video + sigma * torch.randn(video.shape, generator=generator).to(video)
        D, R = corrected(y, torch.full((len(video),), sigma, device=video.device))
        if trusted is not None:
            R = torch.where(trusted.bool(), R, 0)
        sums[:, level] = torch.stack([(R * (video - D)).sum(), (R * R).sum()]).cpu()
    if not sums.isfinite().all():
        raise WorkFailed("the trained nets answer with NaN or infinity, so no gate can be measured")
    return sums


def smooth_gate(numerator: Tensor, denominator: Tensor, *, passes: int = 2) -> Tensor:
    """Turn sums into g(sigma): clip(<R, x - D> / |R|², 0, 1), smoothed over the knots.

    Args:
        numerator, denominator: sums at each knot, [K].
        passes: of the smoothing. 0 for what few videos tell well: |R|² grows from knot to knot, and of two neighbours
            the larger has its say.

    Returns:
        [K], within [0, 1]; 0 where R is 0.
    """
    for _ in range(passes):
        numerator, denominator = (
            torch.stack([x, x.roll(1), x.roll(-1)]).mean(0).index_copy(0, torch.tensor([0, len(x) - 1]), x[[0, -1]])
            for x in (numerator, denominator)
        )
    return torch.where(denominator > 0, numerator / denominator.clamp(min=1e-30), 0).clamp(0, 1)


class ViewGate(nn.Module):
    """D = D_v + g(sigma) (D_inner - D_v) / (1 + (sigma / reach)²), where D_v is the back-projection; g starts at 0.

    Back-projection is exact only where the band's projection commutes with the covariance, and with exact scores; where
    it loses (low sigma), the inner denoiser is trusted with the band, too.

    On real videos it often has the smaller error at mid sigma as well, for there y already agrees with itself. While a
    video is being made it does not yet, and clips that are followed there each settle for a video of their own: the
    loss cannot see that, nor do short clips show what a band knows that sees far. So ``reach`` leaves high noise to it.

    Args:
        reach: noise level at which the inner denoiser is trusted half as far as it was measured.
    """

    knots: Tensor
    gate: Tensor

    def __init__(self, *, reach: float) -> None:
        super().__init__()
        self.reach = reach
        self.register_buffer("knots", knots())
        self.register_buffer("gate", torch.zeros(KNOTS))

    def forward(self, view: BandView, y: Tensor, D_inner: Tensor, D_band: Tensor, sigma: Tensor) -> Tensor:
        """Join as ``back_projection`` does, then follow the inner denoiser as far as it is trusted."""
        D_v = back_projection(view, y, D_inner, D_band, sigma)
        g = gate_at(sigma, self.knots, self.gate) / (1 + (sigma.to(self.gate) / self.reach) ** 2)
        return torch.addcmul(D_v, expand(g, D_v), D_inner - D_v)

    def measure(self, ends: Stream, batches: Iterable[Batch], *, seed: int) -> None:
        """Set g by what is best on clips.

        Args:
            ends: the composition whose gate this is, with ``both_ends`` for it.
            batches: clips whose holes are bridged; what is not ``visible`` does not count. The nets may have learned
                them, if both did.
            seed: of the noise.
        """
        both, sums = whole(ends), torch.zeros(2, KNOTS)

        def corrected(y: Tensor, sigma: Tensor) -> tuple[Tensor, ...]:
            return both(y, sigma).chunk(2, 2)

        for i, batch in enumerate(batches):
            sums += gate_sums(corrected, batch.video, seed=seed * 1_000_003 + i * 1009, trusted=batch.visible)
        self.gate.copy_(smooth_gate(*sums, passes=0))


def both_ends(view: BandView, y: Tensor, D_inner: Tensor, D_band: Tensor, sigma: Tensor) -> Tensor:
    """A join that tells both ends of a view gate, D_v and D_inner - D_v, one after the other: [B, T, 2 C, H, W]."""
    D_v = back_projection(view, y, D_inner, D_band, sigma)
    return torch.cat([D_v, D_inner - D_v], 2)

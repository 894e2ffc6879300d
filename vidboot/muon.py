"""Muon: momentum whose matrices are orthogonalised before they become updates.

After Jordan et al., "Muon: an optimizer for hidden layers"; orthogonalised by four polynomials found as in the Polar
Express (arXiv 2505.16932), which do what a fixed one needs five steps for. All matrices of one shape go through one
batched product: beside attention over short sequences a step of Muon takes nearly as long as forward and backward.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Each maps singular values x to a x + b x^3 + c x^5, the best such step that is left after those before it (the paper's
# greedy minimax); together they take those from .003 to 1 to .76 to 1.21.
POLYNOMIALS = (
    (8.251042, -23.662592, 17.386798),
    (4.019267, -2.954319, 0.556380),
    (3.519025, -2.636490, 0.526836),
    (2.506070, -1.847825, 0.438324),
)
SAFETY = 1.01  # singular values are overestimated by this, as bfloat16 is coarse
TINY = 1e-7  # what a norm is never below
RMS = 0.2  # of an update at rate 1: AdamW's, so that both take like rates


class Muon(torch.optim.Optimizer):
    """Updates matrices by their orthogonalised momentum (Nesterov's), with decoupled weight decay.

    Args:
        params: matrices [out, in].
        lr: rate; an entry of an update at rate 1 is .2 in the root mean square.
        momentum: share of the past in the mean of gradients.
        weight_decay: share of a weight that a step at rate 1 takes away.
        precision: in which matrices are orthogonalised; bfloat16 is exact enough, but not fast everywhere.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the parameters that have gradients."""
        for group in self.param_groups:
            momentum, lr = group["momentum"], group["lr"]
            alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append((p, p.grad))
            for shape, members in alike.items():
                # One matrix at a time, while it is in the cache: a pass over memory takes as long as a small product.
                update = torch.empty_like(members[0][1])
                units = update.new_empty((len(members), *shape), dtype=self.precision)
                for (p, grad), unit in zip(members, units, strict=True):
                    if "momentum_buffer" not in self.state[p]:
                        self.state[p]["momentum_buffer"] = torch.zeros_like(p)
                    mean = self.state[p]["momentum_buffer"].lerp_(grad, 1 - momentum)
                    torch.lerp(grad, mean, momentum, out=update)
                    torch.mul(update, 1 / (SAFETY * update.norm() + TINY), out=unit)
                for (p, _), update in zip(members, orthogonalised(units), strict=True):
                    p.mul_(1 - lr * group["weight_decay"]).add_(update, alpha=-lr * RMS * max(shape) ** 0.5)


def orthogonalised(x: Tensor) -> Tensor:
    """Return matrices with the same singular vectors, and singular values near 1 (.76 to 1.21).

    Args:
        x: of norm 1 / `SAFETY`, [n, rows, columns]; singular values below .003 stay smaller.
    """
    wide = x.shape[-2] <= x.shape[-1]
    for first, second in zip(POLYNOMIALS[::2], POLYNOMIALS[1::2], strict=True):
        # p(g) x has the Gram matrix p g p: two polynomials in terms of the small g cost less than one after the other.
        # Not so all four: what rounding in bfloat16 leaves of small singular values would explode.
        gram = x @ x.mT if wide else x.mT @ x
        p = _polynomial(gram, first)
        p = _polynomial(p @ (p @ gram), second) @ p
        x = p @ x if wide else x @ p
    return x


def _polynomial(gram: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    """Return a + b gram + c gram², of matrices that were made smaller by `SAFETY`."""
    a, b, c = (value / SAFETY**power for value, power in zip(coefficients, (1, 3, 5), strict=True))
    p = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    p.diagonal(dim1=-2, dim2=-1).add_(a)
    return p

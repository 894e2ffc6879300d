"""Muon orthogonalises, and its steps are as long as its rate says."""

import pytest
import torch
from torch import nn

from vidboot.muon import RMS, SAFETY, Muon, orthogonalised


@pytest.mark.parametrize(("rows", "columns"), [(64, 128), (128, 64), (16, 16), (3, 40)])
def test_orthogonalised_matrices_keep_their_singular_vectors_and_singular_values_come_near_one(
    rows: int, columns: int
) -> None:
    x = torch.randn(5, rows, columns, generator=torch.Generator().manual_seed(0))
    x /= x.norm(dim=(-2, -1), keepdim=True)
    u, share, vt = torch.linalg.svd(x.double(), full_matrices=False)
    values = u.mT @ orthogonalised(x / SAFETY).double() @ vt.mT
    diagonal = values.diagonal(dim1=-2, dim2=-1)
    assert diagonal[share > 0.0031].min() > 0.76
    assert diagonal.max() < 1.21
    assert (values - torch.diag_embed(diagonal)).abs().max() < 1e-3


def test_bfloat16_is_exact_enough() -> None:
    x = torch.randn(4, 64, 128, generator=torch.Generator().manual_seed(1))
    x /= SAFETY * x.norm(dim=(-2, -1), keepdim=True)
    values = torch.linalg.svdvals(orthogonalised(x.bfloat16()).double())
    assert values.min() > 0.7
    assert values.max() < 1.25


@pytest.mark.parametrize("shape", [(96, 32), (32, 128), (32, 32)])
def test_an_update_has_the_size_of_its_rate_whatever_the_gradient_and_the_shape(shape: tuple[int, int]) -> None:
    for size in (1e-6, 1.0, 1e6):
        p = nn.Parameter(torch.zeros(shape))
        p.grad = size * torch.randn(shape, generator=torch.Generator().manual_seed(2))
        Muon([p], lr=0.1).step()
        assert p.detach().square().mean().sqrt() == pytest.approx(0.1 * RMS, rel=0.15)


def test_matrices_of_one_shape_and_of_others_are_updated_each_by_itself() -> None:
    together = [nn.Parameter(torch.zeros(shape)) for shape in ((8, 4), (4, 8), (8, 4))]
    for k, p in enumerate(together):
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(k))
    Muon(together, lr=1.0).step()
    for p in together:
        alone = nn.Parameter(torch.zeros_like(p))
        alone.grad = p.grad
        Muon([alone], lr=1.0).step()
        torch.testing.assert_close(p.detach(), alone.detach())


def test_a_first_step_without_momentum_goes_against_the_gradient_and_weights_decay() -> None:
    p = nn.Parameter(torch.full((4, 4), 3.0))
    p.grad = torch.zeros(4, 4)
    Muon([p], lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(p.detach(), torch.full((4, 4), 3.0 * 0.95))
    q = nn.Parameter(torch.zeros(4, 4))
    q.grad = torch.randn(4, 4, generator=torch.Generator().manual_seed(4))
    Muon([q], lr=0.5).step()
    assert (q.detach() * q.grad).sum() < 0


def test_a_small_regression_is_solved() -> None:
    generator = torch.Generator().manual_seed(5)
    x, truth = torch.randn(256, 16, generator=generator), torch.randn(16, 8, generator=generator)
    p = nn.Parameter(torch.zeros(16, 8))
    optimizer = Muon([p])
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        loss = (x @ p - x @ truth).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 1e-2

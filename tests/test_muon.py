"""Muon orthogonalises in blocks, steps as long as AdamW, and finds what a step of steepest descent would."""

import pytest
import torch
from torch import nn

from vidboot.muon import RMS, Muon, blocks_of, orthogonalised


@pytest.mark.parametrize(("rows", "columns"), [(64, 128), (16, 16), (3, 40)])
def test_orthogonalised_matrices_keep_their_singular_vectors_and_singular_values_come_near_one(
    rows: int, columns: int
) -> None:
    x = torch.randn(5, rows, columns, generator=torch.Generator().manual_seed(0))
    u, s, vt = torch.linalg.svd(x.double(), full_matrices=False)
    values = u.mT @ orthogonalised(x).double() @ vt.mT
    diagonal = values.diagonal(dim1=-2, dim2=-1)
    share = s / s.norm(dim=-1, keepdim=True)
    assert diagonal[share > 0.0031].min() > 0.76
    assert diagonal.max() < 1.21
    assert (values - torch.diag_embed(diagonal)).abs().max() < 1e-3


def test_bfloat16_is_exact_enough() -> None:
    x = torch.randn(4, 64, 128, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(x.bfloat16()).double())
    assert values.min() > 0.7
    assert values.max() < 1.25


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [((12, 4), (6, 2, 4)), ((4, 12), (6, 2, 4)), ((4, 4), (2, 2, 4)), ((7, 4), (1, 4, 7)), ((4, 7), (1, 4, 7))],
)
def test_blocks_are_views_of_every_entry_once(shape: tuple[int, int], blocks: tuple[int, int, int]) -> None:
    matrix = torch.zeros(shape)
    view = blocks_of(matrix)
    assert view.shape == blocks
    view += 1
    assert (matrix == 1).all()


@pytest.mark.parametrize("shape", [(96, 32), (32, 128), (32, 32)])
def test_an_update_has_the_size_of_its_rate_whatever_the_gradient_and_the_shape(shape: tuple[int, int]) -> None:
    for size in (1e-6, 1.0, 1e6):
        p = nn.Parameter(torch.zeros(shape))
        p.grad = size * torch.randn(shape, generator=torch.Generator().manual_seed(2))
        Muon([p], lr=0.1).step()
        assert p.detach().square().mean().sqrt() == pytest.approx(0.1 * RMS, rel=0.15)


def test_a_block_is_not_changed_by_what_lies_in_others() -> None:
    p, q = (nn.Parameter(torch.zeros(8, 4)) for _ in range(2))
    p.grad = torch.randn(8, 4, generator=torch.Generator().manual_seed(3))
    q.grad = torch.cat([p.grad[:2], 7 * torch.ones(6, 4)])
    for one in (p, q):
        Muon([one], lr=1.0).step()
    torch.testing.assert_close(p[:2], q[:2])
    assert not torch.allclose(p[2:], q[2:])


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

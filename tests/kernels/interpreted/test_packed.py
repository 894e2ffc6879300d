"""Packed attention along short sequences against the formula in float64."""

import pytest
import torch
from cases import Case, assert_agrees, ids

from vidboot_kernels import packed_triton

F16 = torch.float16
CASES = [
    Case(L=1, masked=True),
    Case(L=8, E=64, G=5, causal=True),
    Case(L=8, E=64, G=5, masked=True, window=2, dtype=F16),
    Case(L=16, E=64, B=2, masked=True),
    Case(L=16, E=64, rotary=False, dtype=torch.bfloat16),
    Case(L=17, E=72, masked=True, causal=True),
    Case(L=21, E=128, masked=True, window=5),
    Case(L=21, E=40, B=2, window=3, causal=True),
    Case(L=32, E=80, heads=3, masked=True, dtype=F16),
    Case(L=33, E=8, masked=True, time=False),
    Case(L=64, E=32, masked=True, window=7, causal=True),
    Case(L=65, E=64, heads=1, masked=True, time=False),
    Case(L=128, E=32, heads=1, G=2, masked=True, window=20),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_packed_attention_and_its_gradients_are_those_of_the_formula(case: Case) -> None:
    assert_agrees(packed_triton.attention, case)

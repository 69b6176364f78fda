"""What is written over keys that are not attended, and the softmax in place."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from trueband.optimized.attention.chunked.blanks import Blank, Stencil, as_one, fill
from trueband.optimized.attention.chunked.plan import QUERIES, Band, plan_rows
from trueband.optimized.attention.operators import projected_op

DTYPES = (torch.float32, torch.float64)
STRANGE = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e-45, -3e38)


@pytest.mark.parametrize("value", [float("-inf"), 0.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_stencil_writes_what_a_mask_does_bit_for_bit(dtype: torch.dtype, value: float) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(3, 20, 30, dtype=dtype, generator=generator)
    table.flatten()[::7][: 7 * len(STRANGE)] = torch.tensor(STRANGE * 7, dtype=dtype)
    mask = torch.rand(20, 12, generator=generator) < 0.5
    expected = table.clone()
    expected[..., 5:17].masked_fill_(mask, value)
    fill(table, [Blank(slice(5, 17), mask, Stencil(mask))], value)
    integer = torch.int32 if dtype == torch.float32 else torch.int64
    assert torch.equal(table.view(integer), expected.view(integer))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [0, 1, 5, QUERIES - 1, QUERIES, QUERIES + 1, 3 * QUERIES])
@pytest.mark.parametrize("tokens", [1, QUERIES - 1, QUERIES, QUERIES + 1, 4 * QUERIES + 3])
def test_blanks_are_what_lies_outside_the_band(tokens: int, window: int, causal: bool) -> None:
    (row,) = plan_rows(None, None, (1, tokens))
    seen = torch.zeros(tokens, tokens, dtype=torch.bool)
    ((_, blocks),) = Band(window, causal, torch.device("cpu")).layout(row, 1)
    for block in blocks:
        part = torch.ones(1, block.queries.stop - block.queries.start, block.keys.stop - block.keys.start)
        assert all(blank.mask.any() for blank in block.blanks)  # what would write nothing is left out
        fill(part, block.blanks, 0.0)
        seen[block.queries, block.keys] = part[0].bool()
    offset = torch.arange(tokens)[:, None] - torch.arange(tokens)
    assert torch.equal(seen, (offset.abs() <= window) & ((offset >= 0) | (not causal)))


def test_blocks_that_are_whole_share_their_stencils() -> None:
    (row,) = plan_rows(None, None, (1, 9 * QUERIES + 3))
    ((_, blocks),) = Band(3 * QUERIES, False, torch.device("cpu")).layout(row, 1)
    whole = [block for block in blocks if block.keys.stop - block.keys.start == 7 * QUERIES]
    assert len(whole) == 3
    for block in whole:
        assert [blank.stencil is not None for blank in block.blanks] == [True, True]
        assert [a.stencil is b.stencil for a, b in zip(block.blanks, whole[0].blanks, strict=True)] == [True, True]
    # At the end a triangle is cut: a stencil of the whole would not fit.
    assert [blank.stencil is None for blank in blocks[-1].blanks] == [True]


def test_blanks_as_one_mask() -> None:
    before, after = torch.tensor([[False, True]] * 3), torch.tensor([[True, False, False]])
    mask = as_one([Blank(slice(0, 2), before), Blank(slice(1, 4), after)], 3, 5, torch.device("cpu"))
    assert mask.tolist() == [[False, True, False, False, False]] * 3
    mask = as_one([Blank(slice(0, 2), before), Blank(slice(2, 5), after)], 3, 5, torch.device("cpu"))
    assert mask.tolist() == [[False, True, True, False, False]] * 3


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", [1, 7, 1088, 5000])
def test_the_softmax_may_overwrite_its_scores(dtype: torch.dtype, columns: int) -> None:
    """The blocks rely on it; torch does not say so."""
    scores = torch.randn(2, 64, columns, dtype=dtype, generator=torch.Generator().manual_seed(columns))
    scores[..., 1::3] = float("-inf")
    expected = scores.softmax(dim=-1)
    assert torch.equal(torch.softmax(scores, dim=-1, out=scores), expected)


@pytest.mark.parametrize("count", [1, 3, 4, 16])
def test_few_global_tokens_absorb_the_projections(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than a head is wide: then nothing of all tokens is projected."""
    states, weight, bias = torch.randn(1, 20, 16), torch.randn(16, 16), torch.randn(16)
    is_global = torch.zeros(1, 20, dtype=torch.bool)
    is_global[:, :count] = True
    projected: list[int] = []

    def counted(x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        projected.append(len(x))
        return linear(x, *rest)

    monkeypatch.setattr(projected_op, "linear", counted)
    projected_op.forward(states, *(weight, bias) * 3, None, None, is_global, None, 4, 0.5, 0.0)
    assert projected == ([] if count < 4 else [count, 20, 20])

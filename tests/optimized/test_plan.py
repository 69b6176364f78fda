"""How the work is cut into pieces, and what is handed on without a copy."""

from __future__ import annotations

import pytest
import torch

from trueband.optimized.attention.chunked_plan import QUERIES, SCORES, Band, band_scores, plan_heads, plan_rows
from trueband.optimized.attention.chunked_tensors import plain


@pytest.mark.parametrize("most", [1, 2, 3, 7])
@pytest.mark.parametrize("dilations", [[1] * 7, [2, 1, 1, 1, 1, 1, 2, 2, 3], [1, 2, 3]], ids=str)
def test_every_head_is_planned_once_in_order(dilations: list[int], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: most)
    found = list(plan_heads(dilations, SCORES))
    heads = [(head, dilation) for some, dilation in found for head in range(some.start, some.stop)]
    assert heads == list(enumerate(dilations))
    assert all(0 < some.stop - some.start <= most for some, _ in found)


@pytest.mark.parametrize("tokens", [1, QUERIES - 1, 9 * QUERIES])
@pytest.mark.parametrize("window", [0, 1, QUERIES, 4 * QUERIES])
@pytest.mark.parametrize("globals_", [0, 3])
def test_the_largest_block_of_scores_has_so_many(tokens: int, window: int, globals_: int) -> None:
    mask = torch.zeros(1, tokens, dtype=torch.bool)
    mask[:, :globals_] = True
    (row,) = plan_rows(None, mask, mask.shape)
    ((_, blocks),) = Band(window, False, torch.device("cpu")).layout(row, 1)
    sizes = [
        (block.queries.stop - block.queries.start) * (block.keys.stop - block.keys.start + row.global_count)
        for block in blocks
    ]
    assert band_scores(row, window) == max(sizes)


def test_only_layouts_that_products_do_not_take_are_copied() -> None:
    whole = torch.arange(3.0 * 5 * 4).view(3, 5, 4)
    many = torch.arange(18.0 * 5 * 4).view(18, 5, 4)[::2]
    for taken in (whole, whole.view(5, 3, 4).transpose(0, 1), whole[:, ::2], whole[..., 1:3], many):
        assert plain(taken) is taken
    for other in (whole.mT, whole[..., ::2], whole[..., :1].expand(3, 5, 4), whole[:, :1].expand(3, 5, 4)):
        copied = plain(other)
        assert copied.is_contiguous()
        assert torch.equal(copied, other)

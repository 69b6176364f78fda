"""How the work is cut into pieces."""

from __future__ import annotations

import pytest
import torch

from trueband.optimized.attention.chunked.plan import (
    QUERIES,
    SCORES,
    Band,
    band_scores,
    most_scores,
    plan_heads,
    plan_rows,
)


@pytest.mark.parametrize("most", [1, 2, 3, 7])
@pytest.mark.parametrize("dilations", [[1] * 7, [2, 1, 1, 1, 1, 1, 2, 2, 3], [1, 2, 3]], ids=str)
def test_every_head_is_planned_once_in_order(dilations: list[int], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: most)
    found = list(plan_heads(dilations, SCORES))
    heads = [(head, dilation) for some, dilation in found for head in range(some.start, some.stop)]
    assert heads == list(enumerate(dilations))
    assert all(0 < some.stop - some.start <= most for some, _ in found)


def test_as_many_heads_at_a_time_as_the_caches_of_all_threads_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert most_scores() == 3 * SCORES
    for scores, pieces in ((SCORES // 2, [4, 4, 5]), (SCORES // 4, [6, 7]), (2 * SCORES, [2, 3, 2, 3, 3])):
        assert [some.stop - some.start for some, _ in plan_heads([1] * 13, scores)] == pieces


@pytest.mark.parametrize(("threads", "pieces"), [(1, [6, 6]), (2, [12])])
def test_heads_of_a_base_model_at_a_time(threads: int, pieces: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    (row,) = plan_rows(None, None, (1, 4096))
    assert [some.stop - some.start for some, _ in plan_heads([1] * 12, band_scores(row, 512))] == pieces


@pytest.mark.parametrize("tokens", [1, QUERIES - 1, 9 * QUERIES])
@pytest.mark.parametrize("window", [0, 1, 40, QUERIES, 4 * QUERIES])
@pytest.mark.parametrize("globals_", [0, 3])
def test_the_largest_block_of_scores_has_so_many(tokens: int, window: int, globals_: int) -> None:
    mask = torch.zeros(1, tokens, dtype=torch.bool)
    mask[:, :globals_] = True
    (row,) = plan_rows(None, mask, mask.shape)
    ((_, blocks),) = Band(window, False, torch.device("cpu")).layout(row, 1)
    sizes = [
        (block.queries.stop - block.queries.start) * (block.keys.stop - block.keys.start + min(globals_, tokens))
        for block in blocks
    ]
    assert band_scores(row, window) == max(sizes)


@pytest.mark.parametrize("window", [3, 40, 200])
def test_what_is_not_attended_lies_among_the_keys_of_its_block(window: int) -> None:
    real = torch.ones(1, 5 * QUERIES + 7, dtype=torch.bool)
    real[0, 3 * QUERIES : 3 * QUERIES + 9] = False
    (row,) = plan_rows(real, None, real.shape)
    ((_, blocks),) = Band(window, False, torch.device("cpu")).layout(row, 1)
    for block in blocks:
        keys = block.keys.stop - block.keys.start
        hidden = torch.zeros(keys, dtype=torch.bool)
        for blank in block.blanks:
            assert 0 <= blank.columns.start < blank.columns.stop <= keys
            assert blank.mask.shape[1] == blank.columns.stop - blank.columns.start
            if blank.mask.shape[0] == 1:
                hidden[blank.columns] |= blank.mask[0]
        assert torch.equal(hidden, ~real[0, block.keys])

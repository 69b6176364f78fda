"""Keys stored channel by channel are the keys, whatever the blocks ask for, and few of them at a time."""

from __future__ import annotations

import pytest
import torch

from trueband.optimized import band_attention
from trueband.optimized.attention.chunked import band as chunked_band
from trueband.optimized.attention.chunked.plan import QUERIES, Band, Row
from trueband.optimized.attention.chunked.space import LINE, Workspace
from trueband.optimized.attention.chunked.tensors import COPIED, ByChannel

PER_LINE = LINE // 4


@pytest.mark.parametrize("window", [0, 3, 64, 200])
@pytest.mark.parametrize("tokens", [1, 63, 64, 200, 1000])
def test_keys_of_every_block(tokens: int, window: int) -> None:
    part, space = torch.randn(2, tokens, 3), Workspace(torch.float32, torch.device("cpu"))
    most = QUERIES + 2 * window
    keys = ByChannel(part, most, space)
    row = Row(0, slice(0, tokens), None, None, None, None)
    copies = set()
    for block in Band(window, False, part.device).blocks(row, slice(0, tokens)):
        got = keys[block.keys]
        assert torch.equal(got, part[:, block.keys])
        assert got.stride(-2) == 1
        assert got.data_ptr() % LINE == block.keys.start * 4 % LINE  # as in a tensor of all keys
        assert got.stride(-1) * 4 % LINE == 0
        assert keys.stop - keys.start < COPIED * most + PER_LINE
        copies.add(keys.start)
    assert len(copies) <= -(-tokens // QUERIES) / COPIED + 1  # not one for each block
    assert space.buffers["keys by channel"].numel() < 2 * 3 * (min(tokens, COPIED * most + PER_LINE) + PER_LINE)


@pytest.mark.parametrize("window", [0, 3, 40])
def test_no_block_asks_for_more_than_was_said(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, int]] = []

    class Watched(ByChannel):
        def __init__(self, part: torch.Tensor, most: int, space: Workspace) -> None:
            super().__init__(part, most, space)
            self.most = most

        def __getitem__(self, keys: slice) -> torch.Tensor:
            said.append((self.most, keys.stop - keys.start))
            return super().__getitem__(keys)

    monkeypatch.setattr(chunked_band, "ByChannel", Watched)
    query = torch.randn(1, 2, 5 * QUERIES, 4)
    band_attention(query, query, query, window=window, impl="chunked")
    assert {most for most, _ in said} == {max(asked for _, asked in said)}


def test_expanded_keys_are_stored_so_too() -> None:
    part, space = torch.randn(2, 1, 3).expand(2, 50, 3), Workspace(torch.float32, torch.device("cpu"))
    got = ByChannel(part, 10, space)[slice(20, 30)]
    assert got.stride(-2) == 1
    assert torch.equal(got, part[:, 20:30])


def test_keys_that_are_stored_so_are_not_copied() -> None:
    part, space = torch.randn(2, 3, 48).mT, Workspace(torch.float32, torch.device("cpu"))
    got = ByChannel(part, 10, space)[slice(20, 30)]
    assert got.data_ptr() == part[:, 20:].data_ptr()
    assert torch.equal(got, part[:, 20:30])
    assert not space.buffers


@pytest.mark.parametrize("part", [torch.randn(2, 3, 50).mT, torch.randn(2, 3, 49)[..., 1:].mT], ids=["rows", "start"])
def test_keys_that_are_stored_so_but_on_no_line_are_copied(part: torch.Tensor) -> None:
    space = Workspace(torch.float32, torch.device("cpu"))
    got = ByChannel(part, 10, space)[slice(20, 30)]
    assert got.data_ptr() % LINE == 20 * 4 % LINE
    assert torch.equal(got, part[:, 20:30])
    assert space.buffers

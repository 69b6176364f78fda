"""The order of computation: rows of the batch, then a few heads at a time, then blocks of queries.

The forward pass, the backward pass and the differentiable form walk the same plan, so they draw the same dropout.
A row of the batch is planned by itself: no other row can change how it is computed. Masked tokens before the first
real token and after the last are left out, so the cost follows the real tokens.

Letters: m tokens of a row that are looked at, x global tokens of the row, w one-sided window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.blanks import Blank, Blanks, Stencil

QUERIES = 64  # queries in a block of the band
SCORES = 2**19  # elements of a block of scores for each thread: about as many heads at a time as stay in its cache


def most_scores() -> int:
    """Elements of a block of scores of all heads together."""
    return SCORES * torch.get_num_threads()


@dataclass(frozen=True)
class Row:
    """One row of the batch, from its first real token to its last.

    Attributes:
        index: which row of the batch.
        tokens: the slice that is looked at; positions below count from its start.
        masked: (m,) bool, True for masked tokens; None when there are none.
        not_local: (m,) bool, True for masked and for global tokens; None when there are none.
        not_local_host: the same where looking at it costs no synchronization.
        global_positions: (x,) int64, or None when there are none.
    """

    index: int
    tokens: slice
    masked: Tensor | None
    not_local: Tensor | None
    not_local_host: Tensor | None
    global_positions: Tensor | None

    @property
    def length(self) -> int:
        return int(self.tokens.stop - self.tokens.start)

    @property
    def global_count(self) -> int:
        return 0 if self.global_positions is None else len(self.global_positions)


@dataclass(frozen=True)
class Block:
    """Queries against the keys their windows reach, as positions within a strip.

    Attributes:
        queries, keys: slices.
        blanks: which of the keys are not attended.
        skipped: (r,) bool, queries of masked and of global tokens; None when the block has none.
    """

    queries: slice
    keys: slice
    blanks: Blanks
    skipped: Tensor | None = None


def plan_rows(attention_mask: Tensor | None, global_attention_mask: Tensor | None, shape: Sequence[int]) -> list[Row]:
    """Rows of the batch that hold a real token. `shape`: (batch, tokens)."""
    batch, tokens = shape
    if attention_mask is None and global_attention_mask is None:
        return [Row(b, slice(0, tokens), None, None, None, None) for b in range(batch)]
    mask = attention_mask if attention_mask is not None else global_attention_mask
    assert mask is not None
    real = torch.ones(batch, tokens, dtype=torch.bool) if attention_mask is None else attention_mask.cpu()
    is_global = torch.zeros_like(real) if global_attention_mask is None else global_attention_mask.cpu() & real
    rows = (plan_row(b, real[b], is_global[b], mask.device) for b in range(batch))
    return [row for row in rows if row is not None]


def plan_row(index: int, real: Tensor, is_global: Tensor, device: torch.device) -> Row | None:
    """Plan one row. `real`, `is_global`: (n,) bool in host memory."""
    where = real.nonzero().flatten()
    if len(where) == 0:
        return None
    tokens = slice(int(where[0]), int(where[-1]) + 1)
    masked, is_global = ~real[tokens], is_global[tokens]
    not_local = masked | is_global
    has_masked, has_global = bool(masked.any()), bool(is_global.any())
    return Row(
        index,
        tokens,
        masked.to(device) if has_masked else None,
        not_local.to(device) if has_masked or has_global else None,
        not_local if has_masked or has_global else None,
        is_global.nonzero().flatten().to(device) if has_global else None,
    )


def plan_heads(dilations: Sequence[int], scores_per_head: int) -> Iterator[tuple[slice, int]]:
    """Slices of neighboring heads that share a dilation: for each thread as many as its cache holds."""
    most = max(1, SCORES // scores_per_head) * torch.get_num_threads()
    first = 0
    for dilation, run in groupby(dilations):
        count = len(list(run))
        pieces = -(-count // most)
        for piece in range(pieces):
            yield slice(first + count * piece // pieces, first + count * (piece + 1) // pieces), dilation
        first += count


def band_scores(row: Row, window: int) -> int:
    """Elements of a block of scores of one head."""
    return min(QUERIES, row.length) * (min(QUERIES + 2 * window, row.length) + row.global_count)


def strips(row: Row, dilation: int) -> Iterator[slice]:
    """Tokens r, r + dilation, r + 2 dilation, ...: on each strip a dilated window is a plain one."""
    for residue in range(min(dilation, row.length)):
        yield slice(residue, row.length, dilation)


Layout = list[tuple[slice, list[Block]]]


class Band:
    """Blocks of a band of one-sided window `window` over a strip."""

    def __init__(self, window: int, causal: bool, device: torch.device) -> None:
        square = torch.ones(QUERIES, QUERIES, dtype=torch.bool, device=device)
        self.window = window
        self.reach = 0 if causal else window  # to the right
        self.before = Stencil(square.tril(-1))  # column < row
        self.after = Stencil(square.triu(1))  # column > row

    def layout(self, row: Row, dilation: int) -> Layout:
        """Lay out all blocks of a row of the batch as (strip, blocks) pairs."""
        return [(strip, list(self.blocks(row, strip))) for strip in strips(row, dilation)]

    def blocks(self, row: Row, strip: slice) -> Iterator[Block]:
        tokens = len(range(row.length)[strip])
        for start in range(0, tokens, QUERIES):
            stop = min(start + QUERIES, tokens)
            first, last = max(0, start - self.window), min(tokens, stop + self.reach)
            blanks, skipped = self.edges(start, stop, first, last), None
            if row.not_local is not None and row.not_local_host is not None:
                there, here = row.not_local[strip], row.not_local_host[strip]
                if bool(here[first:last].any()):
                    blanks.append(Blank(slice(0, last - first), there[None, first:last]))
                if bool(here[start:stop].any()):
                    skipped = there[start:stop]
            yield Block(slice(start, stop), slice(first, last), blanks, skipped)

    def edges(self, start: int, stop: int, first: int, last: int) -> list[Blank]:
        """The two triangles outside the band, for queries start..stop against keys first..last."""
        rows, blanks = stop - start, []
        columns = stop - self.window - first
        if columns > 1:  # row r of the block does not see key first + c when c + skipped < r
            skipped = first - (start - self.window)
            blanks.append(part_of(self.before, slice(0, columns), rows, skipped))
        begin = start + self.reach
        if last > begin + 1:
            blanks.append(part_of(self.after, slice(begin - first, last - first), rows, 0))
        return blanks


def part_of(square: Stencil, columns: slice, rows: int, skipped: int) -> Blank:
    """A blank of the first rows of a square, from the column `skipped` on."""
    mask = square.mask[:rows, skipped : skipped + columns.stop - columns.start]
    return Blank(columns, mask, square if mask.shape == square.mask.shape else None)

"""Blocks of queries, and the tiles of keys that each of them walks, from left to right.

A table of scores has the rows of all query heads that read one head of keys, one head after the other. So tiles are as
wide as leaves a table of one head of keys in the cache; a step of a decoder has one tile of many keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked import plan
from trueband.optimized.attention.chunked.blanks import Blank, Stencil
from trueband.optimized.attention.chunked.plan import QUERIES, part_of
from trueband.optimized.attention.chunked.span.rows import SpanRow, Strip

LEAST = 256  # keys in a tile, where there are so many
STEP = 16  # keys of a tile are a multiple of it


class Tile(NamedTuple):
    """Keys of a block.

    Attributes:
        front: they are global tokens; if not, keys of the strip.
        keys: a slice of the one or of the other.
        blanks: which of them are not attended.
        ahead: how many keys the first query stands behind the first of them.
    """

    front: bool
    keys: slice
    blanks: list[Blank]
    ahead: int


class Block(NamedTuple):
    """Some queries of a strip.

    Attributes:
        queries: a slice of those of the strip.
        skipped: (r,) bool, those of masked and of global tokens; None when the block has none.
        tiles: what they attend; none of a tile's keys is in another.
    """

    queries: slice
    skipped: Tensor | None
    tiles: list[Tile]


class Run(NamedTuple):
    """Query heads of one dilation that read the heads of keys of a piece, so many each."""

    heads: slice
    dilation: int


class Piece(NamedTuple):
    """Heads of keys that are computed together, and the query heads that read them.

    More than one run only with a single head of keys.
    """

    key_heads: slice
    runs: list[Run]

    def group(self, run: Run) -> int:
        """The query heads of a run for each head of keys."""
        return int(run.heads.stop - run.heads.start) // int(self.key_heads.stop - self.key_heads.start)


def pieces(dilations: Sequence[int], group: int, scores: int) -> Iterator[Piece]:
    """All heads in order. `scores`: elements of a table of one head of keys."""
    most = max(1, plan.SCORES // scores) * torch.get_num_threads()
    own = [tuple(dilations[first : first + group]) for first in range(0, len(dilations), group)]
    first = 0
    for each, alike in groupby(own):
        count = len(list(alike))
        uniform = len(set(each)) == 1
        parts = -(-count // most) if uniform else count
        for part in range(parts):
            start, stop = first + count * part // parts, first + count * (part + 1) // parts
            if uniform:
                yield Piece(slice(start, stop), [Run(slice(start * group, stop * group), each[0])])
            else:
                yield Piece(slice(start, stop), list(runs_of(each, start * group)))
        first += count


def runs_of(dilations: Sequence[int], first: int) -> Iterator[Run]:
    for dilation, alike in groupby(dilations):
        count = len(list(alike))
        yield Run(slice(first, first + count), dilation)
        first += count


def tile_width(rows: int) -> int:
    """Keys of a tile, for a table of so many rows."""
    return max(LEAST, plan.SCORES // rows // STEP * STEP)


def cut(keys: slice, most: int) -> Iterator[slice]:
    """Slices of at most so many, about equal."""
    length = keys.stop - keys.start
    count = max(1, -(-length // most))
    size = -(-length // (count * STEP)) * STEP
    for start in range(keys.start, keys.stop, max(size, 1)):
        yield slice(start, min(start + size, keys.stop))


class Span:
    """Lays out blocks within `left` steps to the left and `right` to the right; None: no limit."""

    def __init__(self, left: int | None, right: int | None, device: torch.device) -> None:
        square = torch.ones(QUERIES, QUERIES, dtype=torch.bool, device=device)
        self.left, self.right = left, right
        self.before = Stencil(square.tril(-1))  # column < row
        self.after = Stencil(square.triu(1))  # column > row

    def scores(self, row: SpanRow, group: int) -> int:
        """Elements of the largest table of one head of keys."""
        rows = min(QUERIES, row.count) * group
        span = row.length
        if self.left is not None and self.right is not None:
            span = min(span, min(QUERIES, row.count) + self.left + self.right)
        return max(1, rows * min(span, tile_width(rows)))

    def blocks(self, row: SpanRow, strip: Strip, group: int) -> Iterator[Block]:
        """The blocks of a strip, one by one: all of their blanks together may be as many as queries times keys."""
        for start in range(0, strip.query_count, QUERIES):
            queries = slice(start, min(start + QUERIES, strip.query_count))
            skipped = flagged(row.skipped, row.skipped_host, strip.queries, queries)
            most = tile_width((queries.stop - start) * group)
            front = [Tile(True, keys, [], 0) for keys in cut(slice(0, row.global_count), most)]
            yield Block(queries, skipped, [*front, *self.tiles(row, strip, queries, most)])

    def tiles(self, row: SpanRow, strip: Strip, queries: slice, most: int) -> Iterator[Tile]:
        """The keys of the strip that these queries attend."""
        first_at, stop_at = queries.start + strip.shift, queries.stop + strip.shift
        first = 0 if self.left is None else min(max(first_at - self.left, 0), strip.key_count)
        last = strip.key_count if self.right is None else min(max(stop_at + self.right, 0), strip.key_count)
        if first >= last:
            return
        edges = self.edges(first_at, stop_at, first, last)
        for keys in cut(slice(first, last), most):
            blanks = [part for edge in edges if (part := within(edge, first, keys)) is not None]
            hidden = flagged(row.not_local, row.not_local_host, strip.keys, keys)
            if hidden is not None:
                blanks.append(Blank(slice(0, len(hidden)), hidden[None]))
            if row.segments is not None:
                own, apart = segment_blanks(row, strip, queries, keys)
                if apart:
                    continue
                blanks += own
            yield Tile(False, keys, blanks, first_at - keys.start)

    def edges(self, first_at: int, stop_at: int, first: int, last: int) -> list[Blank]:
        """The two triangles outside the span, for queries at the keys first_at..stop_at against keys first..last."""
        rows, blanks = stop_at - first_at, []
        if self.left is not None:
            columns = min(stop_at - self.left, last) - first
            if columns > 0:  # row r does not see key first + c when c + skipped < r
                blanks.append(part_of(self.before, slice(0, columns), rows, first - (first_at - self.left)))
        if self.right is not None:
            begin = first_at + self.right
            seen = max(begin, first)
            if last > seen:
                blanks.append(part_of(self.after, slice(seen - first, last - first), rows, seen - begin))
        return [blank for blank in blanks if rows > 1 and blank.columns.stop - blank.columns.start > 0]


def flagged(flags: Tensor | None, host: Tensor | None, strip: slice, some: slice) -> Tensor | None:
    """Some flags of a strip, from those of the row, if there is one that is True; `host`: the same in host memory."""
    if flags is None or host is None or not bool(host[strip][some].any()):
        return None
    return flags[strip][some]


def within(blank: Blank, first: int, keys: slice) -> Blank | None:
    """What of a blank, whose columns count from the key `first`, lies in a tile."""
    start, stop = max(blank.columns.start + first, keys.start), min(blank.columns.stop + first, keys.stop)
    if start >= stop:
        return None
    mask = blank.mask[:, start - first - blank.columns.start : stop - first - blank.columns.start]
    whole = mask.shape == blank.mask.shape
    return Blank(slice(start - keys.start, stop - keys.start), mask, blank.stencil if whole else None)


def segment_blanks(row: SpanRow, strip: Strip, queries: slice, keys: slice) -> tuple[list[Blank], bool]:
    """The keys of other segments, and whether all are so."""
    numbers = row.segments
    assert numbers is not None
    query, key = (host[own] for host, own in zip(numbers[2:], (strip.queries, strip.keys), strict=True))
    query, key = query[queries], key[keys]
    (low, high), (least, most) = query.aminmax(), key.aminmax()
    if high < least or most < low:
        return [], True
    if low == high == least == most:
        return [], False
    there = numbers.query[strip.queries][queries][:, None] != numbers.key[strip.keys][keys]
    return [Blank(slice(0, there.shape[1]), there)], False

"""Rows of the batch: the queries that are computed, and the keys that any of them reaches.

A row is planned by itself, and only the part of a mask is read that its queries reach: a step of a decoder looks at its
window, however long the cache is. Only global tokens make it look at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.plan import Row
from trueband.optimized.attention.chunked.span.arguments import SpanArguments

FARTHEST = 2**62  # positions and distances are int64


class Segments(NamedTuple):
    """Numbers of the segments of the queries (m,) and of the keys (n,) that are looked at, int64.

    `query_host` and `key_host` are the same where looking at them costs no synchronization.
    """

    query: Tensor
    key: Tensor
    query_host: Tensor
    key_host: Tensor


@dataclass(frozen=True)
class SpanRow(Row):
    """One row of the batch. What `Row` says of tokens is of the keys.

    Attributes:
        queries: the slice of the queries that are computed.
        shift: the first of them stands at the token `tokens.start + shift`.
        skipped: (m,) bool, queries of masked and of global tokens; None when there are none.
        skipped_host: the same where looking at it costs no synchronization.
        segments: None where there is one.
    """

    queries: slice
    shift: int
    skipped: Tensor | None
    skipped_host: Tensor | None
    segments: Segments | None

    @property
    def count(self) -> int:
        """How many queries are computed."""
        return int(self.queries.stop - self.queries.start)


class Flags(NamedTuple):
    """The masks (b, n) in host memory, or None."""

    real: Tensor | None
    is_global: Tensor | None


def plan_rows(call: SpanArguments) -> list[SpanRow]:
    """Rows of the batch with a query that is not masked. ValueError where arguments are not defined together."""
    starts, flags = check_together(call)
    rows = (plan_row(call, index, start, flags) for index, start in enumerate(starts))
    return [row for row in rows if row is not None]


def check_together(call: SpanArguments) -> tuple[list[int], Flags]:
    """Starts and flags of a call. ValueError where arguments are not defined together."""
    starts, flags = call.starts(), read_flags(call)
    check_starts(call, starts)
    if flags.is_global is not None and bool(flags.is_global.any()):
        check_with_globals(call, starts)
        return starts, flags
    return starts, Flags(flags.real, None)


def read_flags(call: SpanArguments) -> Flags:
    """A flag on a masked token is dropped."""
    real = None if call.attention_mask is None else call.attention_mask.cpu()
    if call.global_attention_mask is None:
        return Flags(real, None)
    is_global = call.global_attention_mask.cpu()
    return Flags(real, is_global if real is None else is_global & real)


def check_starts(call: SpanArguments, starts: list[int]) -> None:
    """What depends on the contents of `offset`."""
    queries, tokens = call.query.shape[2], call.key.shape[2]
    if any(abs(start) > FARTHEST for start in starts):
        raise ValueError(f"offset: expected at most 2^62 in size, got {starts}")
    if call.segments is not None and any(start < 0 or start + queries > tokens for start in starts):
        raise ValueError(
            f"offset: expected queries at tokens 0..{tokens - 1} with segments (not defined beyond them), "
            f"got {min(starts)}..{max(starts) + queries - 1}"
        )


def check_with_globals(call: SpanArguments, starts: list[int]) -> None:
    """What is not defined where a real token is global."""
    where = "with global tokens in global_attention_mask (not defined)"
    if call.causal:
        raise ValueError(f"causal: expected False {where}, got True")
    queries, tokens = call.query.shape[2], call.key.shape[2]
    if queries != tokens:
        raise ValueError(f"query: expected as many tokens as key, {tokens}, {where}, got {queries}")
    if any(starts):
        raise ValueError(f"offset: expected 0 {where}, got {starts}")
    for name in ("segments", "sinks", "slopes"):
        if getattr(call, name) is not None:
            raise ValueError(f"{name}: expected None {where}, got a tensor")


def plan_row(call: SpanArguments, index: int, start: int, flags: Flags) -> SpanRow | None:
    """Plan one row, whose first query stands at the token `start`; None if all of its queries are masked."""
    count, tokens, device = call.query.shape[2], call.key.shape[2], call.query.device
    real = None if flags.real is None else flags.real[index]
    own = queries_real(real, start, count, tokens)
    queries = slice(0, count) if own is None else extent(own)
    if queries.start == queries.stop:
        return None
    first = start + queries.start
    keys = slice(0, tokens) if flags.is_global is not None else reached(call, first, start + queries.stop)
    if real is not None:
        found = extent(real[keys])
        keys = slice(keys.start + found.start, keys.start + found.stop)
    masked = None if real is None else ~real[keys]
    is_global = None if flags.is_global is None else flags.is_global[index, keys]
    masked, is_global = (flag if flag is not None and bool(flag.any()) else None for flag in (masked, is_global))
    not_local = either(masked, is_global)
    skipped = None if own is None else ~own[queries]
    if is_global is not None:
        skipped = not_local  # queries are the tokens
    if skipped is not None and not bool(skipped.any()):
        skipped = None
    return SpanRow(
        index=index,
        tokens=keys,
        masked=on(device, masked),
        not_local=on(device, not_local),
        not_local_host=not_local,
        global_positions=None if is_global is None else is_global.nonzero().flatten().to(device),
        queries=queries,
        shift=first - keys.start,
        skipped=on(device, skipped),
        skipped_host=skipped,
        segments=read_segments(call.segments, index, slice(first, start + queries.stop), keys),
    )


def queries_real(real: Tensor | None, start: int, count: int, tokens: int) -> Tensor | None:
    """(m,) bool: False for queries at masked tokens. Those beyond the keys are real. None: all are."""
    first, stop = max(start, 0), min(start + count, tokens)
    if real is None or first >= stop:
        return None
    own = torch.ones(count, dtype=torch.bool)
    own[first - start : stop - start] = real[first:stop]
    return own


def extent(flags: Tensor) -> slice:
    """From the first True to the last; an empty slice where there is none."""
    where = flags.nonzero().flatten()
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)


def reached(call: SpanArguments, first: int, stop: int) -> slice:
    """The keys that a query at one of the tokens first..stop reaches; an empty slice within the keys if none."""
    tokens, (left, right), step = call.key.shape[2], call.reach, max(call.dilations)
    low = 0 if left is None else min(max(first - left * step, 0), tokens)
    high = tokens if right is None else min(max(stop + right * step, 0), tokens)
    return slice(low, max(low, high))


def read_segments(segments: Tensor | None, index: int, queries: slice, keys: slice) -> Segments | None:
    if segments is None:
        return None
    query, key = segments[index, queries].to(torch.int64), segments[index, keys].to(torch.int64)
    return Segments(query, key, query.cpu(), key.cpu())


def either(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return one | other


def on(device: torch.device, flags: Tensor | None) -> Tensor | None:
    return None if flags is None else flags.to(device)


class Strip(NamedTuple):
    """Queries and keys a dilation apart: on it a dilated window is a plain one.

    Attributes:
        queries, keys: slices of those of the row; `stop` is their number in the row.
        query_count, key_count: how many queries and keys.
        shift: its first query stands at its key of this number, which may be none of them.
    """

    queries: slice
    keys: slice
    query_count: int
    key_count: int
    shift: int


def strips(row: SpanRow, dilation: int) -> Iterator[Strip]:
    """Each query lies on one strip."""
    for first in range(min(dilation, row.count)):
        at = row.shift + first
        residue = at % dilation
        # A step beyond the end is as good as any longer one.
        queries = slice(first, row.count, min(dilation, row.count))
        keys = slice(min(residue, row.length), row.length, min(dilation, max(row.length, 1)))
        count, length = len(range(row.count)[queries]), len(range(row.length)[keys])
        yield Strip(queries, keys, count, length, (at - residue) // dilation)

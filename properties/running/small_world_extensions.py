"""The small world of the second edition: up to 5 keys and 5 queries, every offset near them, windows of two limits,
grouped heads, every mask, and every way to cut the sequence into segments; decoded exactly as the rest of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

from trueband.properties.cases.case import Case
from trueband.properties.cases.extensions import possible
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.windows import Window, limited

MOST_TOKENS = 5
ONE_SIDED = (0, 1, 2)
TWO_SIDED: tuple[Window, ...] = ((1, 0), (0, 1), (2, 0), (2, 1), (0, 3))
OPEN: tuple[Window, ...] = ((None, 0), (1, None), (None, None))
BEFORE, BEHIND = 2, 1  # tokens that queries stand before the keys, or behind them


def extension_worlds(features: Collection[str], dtype: str, limits: Limits, most_rows: int) -> Iterator[Case]:
    """The cases that the features allow: batches of patterns.

    Args:
        most_rows: of a batch.
    """
    kinds = possible(features)
    windows = [window for window in _windows(kinds) if all(map(limits.of("window").takes, limited(window)))]
    for tokens in range(1, MOST_TOKENS + 1):
        if "padding" not in features and not limits.of("tokens").takes(tokens):
            continue
        masks = _masks(tokens, features, limits)
        for window, causal in itertools.product(windows, _causal(features)):
            bare = Case(tokens=tokens, window=window, causal=causal, dtype=dtype)
            bare = _grouped(bare, kinds)
            if not isinstance(window, int):
                yield from _batches(bare, [(mask, 0, None) for mask in masks], most_rows, limits)
            if "segments" in kinds and window in (ONE_SIDED[-1], TWO_SIDED[3]):
                cuts = [_segments(tokens, bits) for bits in range(1 << (tokens - 1))]
                patterns = [(mask, 0, cut) for mask in masks for cut in cuts]
                yield from _batches(bare, patterns, most_rows, limits)
            if "offset" in kinds:
                yield from _moved(bare, masks, features, most_rows, limits)


def _moved(
    bare: Case, masks: list[tuple[int, ...]], features: Collection[str], most_rows: int, limits: Limits
) -> Iterator[Case]:
    """The same with queries that stand elsewhere."""
    tokens = bare.tokens
    for queries in range(1, MOST_TOKENS + 1):
        case = bare.replace(queries=queries)
        offsets = list(range(-BEFORE, tokens + BEHIND + 1))
        if "offset" not in features:
            if queries <= tokens:
                last = case.replace(offset=tokens - queries)
                yield from _batches(last, [(mask, tokens - queries, None) for mask in masks], most_rows, limits)
        elif "offset_per_row" in features:
            patterns = [(mask, offset, None) for mask in masks for offset in offsets]
            yield from _batches(case, patterns, most_rows, limits, per_row=True)
        else:
            for offset in offsets:
                yield from _batches(case, [(mask, offset, None) for mask in masks], most_rows, limits)


Pattern = tuple[tuple[int, ...], int, tuple[int, ...] | None]  # masked positions, the offset, and segments


def _batches(
    bare: Case, patterns: Sequence[Pattern], most_rows: int, limits: Limits, per_row: bool = False
) -> Iterator[Case]:
    """The patterns as rows of few batches."""
    padded = any(mask for mask, _, _ in patterns)
    for first in range(0, len(patterns), most_rows):
        rows = patterns[first : first + most_rows]
        segments = tuple(segments for _, _, segments in rows if segments is not None)
        yield limits.fitted(
            bare.replace(
                batch=len(rows),
                masked=tuple(mask for mask, _, _ in rows) if padded else None,
                offset=tuple(offset for _, offset, _ in rows) if per_row else rows[0][1],
                segments=segments or None,
            )
        )


def _windows(kinds: Collection[str]) -> list[Window]:
    """Of one limit where only other things are new."""
    windows: list[Window] = [*ONE_SIDED] if {"offset", "segments"} & set(kinds) else []
    windows += TWO_SIDED if "asymmetric" in kinds else ()
    return [*windows, *(OPEN if "unlimited_side" in kinds else ())]


def _causal(features: Collection[str]) -> tuple[bool, ...]:
    if "causal_only" in features:
        return (True,)
    return (False, True) if "causal" in features else (False,)


def _masks(tokens: int, features: Collection[str], limits: Limits) -> list[tuple[int, ...]]:
    """The masked positions of every mask that is taken."""
    if "padding" not in features:
        return [()]
    if limits.padding == "right":
        return [tuple(range(first, tokens)) for first in range(tokens, -1, -1)]
    return [tuple(i for i in range(tokens) if bits >> i & 1) for bits in range(1 << tokens)]


def _grouped(case: Case, kinds: Collection[str]) -> Case:
    """With two query heads for one of keys, where there are groups."""
    return case.replace(heads=2, key_heads=1) if "gqa" in kinds else case


def _segments(tokens: int, cuts: int) -> tuple[int, ...]:
    """The segment of each token, with a new one where a bit of `cuts` says so."""
    return tuple(itertools.accumulate([0, *(cuts >> place & 1 for place in range(tokens - 1))]))

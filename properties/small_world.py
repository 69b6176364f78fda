"""The small world: lengths up to 6, windows up to 3, every pattern of padded and global tokens, decoded exactly.

The patterns of a length and window are the rows of one batch, or of a few where they are many, so that a few calls
cover them all. Causal attention is walked too, and a dilation of 2 for lengths up to 4.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

from trueband.properties.case import Case
from trueband.properties.checks.visibility import check_mask_decoding
from trueband.properties.probe import Candidate, Probe

MOST_TOKENS, MOST_TOKENS_DILATED, MOST_WINDOW = 6, 4, 3
MOST_ROWS = 512  # of a batch: a kernel that is slow, such as an interpreted one, has to answer a call in time


def worlds(features: Collection[str], dtype: str, least_window: int = 0) -> Iterator[Case]:
    """The cases of each length, window and kind of attention that the features allow: batches of patterns."""
    windows = range(least_window, max(MOST_WINDOW, least_window) + 1)
    for tokens, window in itertools.product(range(1, MOST_TOKENS + 1), windows):
        subsets = [tuple(i for i in range(tokens) if bits >> i & 1) for bits in range(1 << tokens)]
        masked = subsets if "padding" in features else [()]
        flagged = subsets if "globals" in features else [()]
        patterns = list(itertools.product(masked, flagged))
        for first in range(0, len(patterns), MOST_ROWS):
            yield _world(tokens, window, patterns[first : first + MOST_ROWS], features, dtype)
        if "causal" in features:
            yield _world(tokens, window, [(m, ()) for m in masked], features, dtype, causal=True)
        if "dilation" in features and tokens <= MOST_TOKENS_DILATED:
            yield _world(tokens, window, patterns, features, dtype, dilation=2)


def _world(
    tokens: int, window: int, patterns: list[tuple[tuple[int, ...], tuple[int, ...]]], features: Collection[str],
    dtype: str, causal: bool = False, dilation: int = 1,
) -> Case:  # fmt: skip
    has_globals = "globals" in features and not causal
    return Case(
        tokens=tokens,
        window=window,
        batch=len(patterns),
        masked=tuple(m for m, _ in patterns) if "padding" in features else None,
        global_=tuple(g for _, g in patterns) if has_globals else None,
        separate_globals=has_globals and "separate_globals" in features,
        causal=causal,
        dilation=dilation,
        dtype=dtype,
    )


def smallest_failure(candidate: Candidate, world: Case) -> Case | None:
    """The simplest pattern of a world that the candidate gets wrong, as a case of its own; None if all are right."""
    for verdict in check_mask_decoding(Probe(candidate, world)):
        if not verdict.passed:
            break
    else:
        return None
    order = sorted(range(world.batch), key=lambda row: _complexity(world, row))
    for row in order:
        alone = row_of(world, row)
        if any(not verdict.passed for verdict in check_mask_decoding(Probe(candidate, alone))):
            return alone
    return world  # wrong only as part of the batch


def row_of(world: Case, row: int) -> Case:
    """One row of the batch of a case, alone."""
    return world.replace(
        batch=1,
        masked=None if world.masked is None else (world.masked[row],),
        global_=None if world.global_ is None else (world.global_[row],),
    )


def _complexity(world: Case, row: int) -> int:
    masked = 0 if world.masked is None else len(world.masked[row])
    return masked + (0 if world.global_ is None else len(world.global_[row]))

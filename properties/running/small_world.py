"""The small world: lengths up to 6, windows up to 3, every pattern of padded and global tokens, decoded exactly.

The patterns of a length and window are the rows of one batch, or of a few where they are many, so that a few calls
cover them all. Causal attention is walked too, and a dilation of 2 for lengths up to 4. What the second edition of the
contract adds is in `small_world_extensions`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import Any

from trueband.properties.candidate.probe import Candidate, Probe
from trueband.properties.cases.case import Case
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.strategies import NO_LIMITS
from trueband.properties.checks.visibility import check_mask_decoding
from trueband.properties.running.small_world_extensions import extension_worlds

Pattern = tuple[tuple[int, ...], tuple[int, ...]]  # masked and flagged positions
MOST_TOKENS, MOST_TOKENS_DILATED, MOST_WINDOW = 6, 4, 3
MOST_ROWS = 512  # of a batch: a kernel that is slow, such as an interpreted one, has to answer a call in time


def worlds(features: Collection[str], dtype: str, limits: Limits = NO_LIMITS) -> Iterator[Case]:
    """The cases of each length, window and kind of attention that the features allow: batches of patterns."""
    windows = sorted({limits.fit("window", window) for window in range(MOST_WINDOW + 1)})
    for tokens, window in itertools.product(range(1, MOST_TOKENS + 1), windows):
        if "padding" not in features and not limits.of("tokens").takes(tokens):
            continue
        subsets = [tuple(i for i in range(tokens) if bits >> i & 1) for bits in range(1 << tokens)]
        masked = subsets if "padding" in features else [()]
        if limits.padding == "right":
            masked = [each for each in masked if each == tuple(range(tokens - len(each), tokens))]
        flagged = subsets if "globals" in features else [()]
        kinds: list[tuple[list[Pattern], dict[str, Any]]] = [(list(itertools.product(masked, flagged)), {})]
        if "causal" in features:
            kinds.append(([(each, ()) for each in masked], {"causal": True}))
        if "causal_only" in features:
            del kinds[0]
        if "dilation" in features and tokens <= MOST_TOKENS_DILATED and limits.of("dilation").takes(2):
            kinds.append((kinds[0][0], {**kinds[0][1], "dilation": 2}))
        most = min(limits.of("batch").most or MOST_ROWS, MOST_ROWS)
        for patterns, options in kinds:
            for first in range(0, len(patterns), most):
                yield limits.fitted(_world(tokens, window, patterns[first : first + most], features, dtype, **options))
    yield from extension_worlds(features, dtype, limits, min(limits.of("batch").most or MOST_ROWS, MOST_ROWS))


def _world(
    tokens: int,
    window: int,
    patterns: list[Pattern],
    features: Collection[str],
    dtype: str,
    causal: bool = False,
    dilation: int = 1,
) -> Case:
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
        segments=None if world.segments is None else (world.segments[row],),
        offset=world.offset[row] if isinstance(world.offset, tuple) else world.offset,
    )


def _complexity(world: Case, row: int) -> int:
    masked = 0 if world.masked is None else len(world.masked[row])
    return masked + (0 if world.global_ is None else len(world.global_[row]))

"""Cases of models at size: what no small case has, such as many tokens, several chunks and windows, wide heads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trueband.properties.models.case import ModelCase
from trueband.properties.models.check import ModelCheck, ModelProbe
from trueband.properties.running.search import SHRINK_SECONDS, SHRUNK, Found, try_case
from trueband.reference.config import POSITION_EMBEDDING_TYPES

HEADS, HEAD_DIMS = (1, 2, 3, 4, 6, 8, 12), (4, 8, 16, 32, 64)
WIDEST = 128  # hidden state
LEAST_TOKENS = 24
ONE_AT_SIZE_OF = 9  # cases of a check is at size


def large_case(architecture: str, dtype: str, most_tokens: int, random: np.random.Generator) -> ModelCase:
    """A random case of up to so many tokens."""
    tokens = int(random.integers(LEAST_TOKENS, most_tokens + 1))
    heads = int(random.choice(HEADS))
    head_dim = int(random.choice([size for size in HEAD_DIMS if size * heads <= WIDEST]))
    batch, layers = (int(random.integers(1, 3)) for _ in range(2))
    banded, plain = architecture != "xlm-roberta", dict[str, Any]()
    if architecture == "led":
        plain |= {"target_tokens": int(random.integers(6, 21)), "target_masked": ((),) * batch}
    if banded:
        plain["windows"] = tuple(int(random.integers(1, max(tokens // 4, 3))) for _ in range(layers))
        plain["global_"] = tuple(_positions(tokens, int(random.integers(4)), random) for _ in range(batch))
    else:
        relative = tokens * tokens * heads * head_dim < 2**18  # their table of pairs grows with all of it
        plain["positions"] = POSITION_EMBEDDING_TYPES[int(random.integers(3)) if relative else 0]
        plain["causal"] = bool(random.integers(2))
        plain["chunk"] = int(random.integers(2)) * int(random.integers(1, tokens))
    masked = tuple(tuple(range(tokens - int(random.integers(tokens // 2)), tokens)) for _ in range(batch))
    return ModelCase(
        architecture=architecture,
        tokens=tokens,
        batch=batch,
        layers=layers,
        heads=heads,
        head_dim=head_dim,
        masked=masked,
        seed=int(random.integers(2**16)),
        dtype=dtype,
        **{"global_": ((),) * batch} | plain,
    )


def search_large(
    check: ModelCheck,
    candidate: Any,
    architecture: str,
    dtype: str,
    count: int,
    seed: int,
    fit: Callable[[ModelCase], ModelCase],
    on_case: Callable[[], None] = lambda: None,
    shrink: bool = True,
) -> Found:
    """Try a check on some cases at size until one fails; then halve its sizes as long as it does."""
    random, found = np.random.default_rng([seed, 19]), Found()
    for _ in range(count):
        case = fit(large_case(architecture, dtype, check.at_size, random))
        tried = try_case(check, candidate, case, ModelProbe)
        found.tell(case, tried)
        on_case()
        if tried.failure is None:
            continue
        found.failure, found.failed_at = tried.failure, time.process_time()
        if shrink and tried.failure.status in SHRUNK:
            _shrink(check, candidate, fit, found, on_case)
        break
    return found


def _shrink(
    check: ModelCheck, candidate: Any, fit: Callable[[ModelCase], ModelCase], found: Found, on_case: Callable[[], None]
) -> None:
    until, done = time.process_time() + SHRINK_SECONDS, False
    while not done and found.failure is not None:
        done = True
        for smaller in map(fit, _smaller(found.failure.case)):
            if time.process_time() > until:
                return
            if smaller == found.failure.case:
                continue
            tried = try_case(check, candidate, smaller, ModelProbe)
            found.tell(smaller, tried)
            on_case()
            if tried.failure is not None and tried.failure.status in SHRUNK:
                found.failure, done = tried.failure, False
                break


def _smaller(case: ModelCase) -> Iterator[ModelCase]:
    """Cases with less of one thing."""
    if case.batch > 1:
        rows = {name: getattr(case, name)[:1] for name in ("masked", "global_", "target_masked")}
        yield case.replace(batch=1, **rows)
    if case.layers > 1:
        yield case.replace(layers=1, windows=case.windows[:1])
    for tokens in (case.tokens // 2, case.tokens * 3 // 4, case.tokens - 1):
        if tokens > 1:
            cut = {name: _cut(getattr(case, name), tokens) for name in ("masked", "global_")}
            yield case.replace(tokens=tokens, **cut)
    if any(case.masked):
        yield case.replace(masked=((),) * case.batch)
    if any(case.global_):
        yield case.replace(global_=((),) * case.batch)
    if case.heads > 1:
        yield case.replace(heads=case.heads // 2)
    if case.head_dim > HEAD_DIMS[0]:
        yield case.replace(head_dim=case.head_dim // 2)


def _cut(rows: tuple[tuple[int, ...], ...], tokens: int) -> tuple[tuple[int, ...], ...]:
    """Positions that are left, not all of a row."""
    kept = (tuple(position for position in row if position < tokens) for row in rows)
    return tuple(row if len(row) < tokens else row[1:] for row in kept)


def _positions(tokens: int, count: int, random: np.random.Generator) -> tuple[int, ...]:
    return tuple(sorted(int(each) for each in random.choice(tokens, count, replace=False)))

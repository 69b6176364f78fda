"""Hypothesis strategies for cases. Smallest first and nothing filtered, so that cases shrink well."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache

from hypothesis import strategies as st

from trueband.properties.case import Case, Positions
from trueband.properties.families import FAMILIES

HEAD_DIMS = (1, 2, 3, 4, 8, 16, 64)
SCALES = (None, 1.0, 0.5, 0.3)


@dataclass(frozen=True)
class Structure:
    """What cases a check asks for.

    Attributes:
        require: features that every case has, of "padding", "globals", "causal", "dilation", "head_mask".
        without: features that no case has, of the same and "separate_globals", "scale".
        tokens: least and most tokens; `long` allows longer ones now and then, past the block sizes of kernels.
        batch: least and most rows of the batch.
        heads: least and most heads.
        dense: the window covers the sequence.
        families: of numbers.
        head_dims: sizes of a head.
    """

    require: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    tokens: tuple[int, int] = (1, 40)
    long: bool = True
    batch: tuple[int, int] = (1, 3)
    heads: tuple[int, int] = (1, 3)
    dense: bool = False
    families: tuple[str, ...] = tuple(FAMILIES)
    head_dims: tuple[int, ...] = HEAD_DIMS

    def at_most(self, tokens: int) -> Structure:
        """The same with at most so many tokens (as many as it needs, if that is more)."""
        least, most = self.tokens
        return replace(self, tokens=(least, max(least, min(most, tokens))), long=False)


ANY = Structure()


def cases(
    dtype: str, features: Collection[str], structure: Structure = ANY, least_window: int = 0
) -> st.SearchStrategy[Case]:
    """Cases of a structure that a target with these features, and windows from the least on, can serve."""
    return _cases(dtype, frozenset(features), structure, least_window)


@st.composite
def _cases(draw: st.DrawFn, dtype: str, features: frozenset[str], structure: Structure, least_window: int) -> Case:
    def has(feature: str) -> bool:
        if feature in structure.require:
            return True
        return feature in features and feature not in structure.without and draw(st.booleans())

    least, most = structure.tokens
    lengths = st.integers(least, min(most, least + 7)) | st.integers(least, most)
    is_long = structure.long and draw(st.integers(0, 11)) == 11
    tokens = draw(st.integers(120, 330) if is_long else lengths)
    window = max(draw(st.integers(tokens - 1, tokens + 3) if structure.dense else _windows(tokens)), least_window)
    batch = draw(st.integers(*structure.batch))
    heads = draw(st.integers(*structure.heads))
    head_dim = draw(st.sampled_from(structure.head_dims[:-1] if tokens > 100 else structure.head_dims))

    masked = global_ = None
    separate = False
    if has("padding"):
        masked = draw(_rows(batch, _masked(tokens), non_empty="padding" in structure.require))
    causal = "causal" in structure.require
    if not causal and has("globals"):
        global_ = draw(_rows(batch, _flagged(tokens), non_empty="globals" in structure.require))
        separate = (
            "separate_globals" in features and "separate_globals" not in structure.without and draw(st.booleans())
        )
    else:
        causal = has("causal")
    dilation: int | tuple[int, ...] = 1
    if has("dilation"):
        dilation = draw(st.integers(1, 3))
        if "dilation_per_head" in features and draw(st.booleans()):
            dilation = tuple(draw(st.integers(1, 3)) for _ in range(heads))
    return Case(
        tokens=tokens,
        window=window,
        head_dim=head_dim,
        batch=batch,
        heads=heads,
        masked=masked,
        global_=global_,
        separate_globals=separate,
        dilation=dilation,
        causal=causal,
        head_mask=has("head_mask"),
        scale=draw(st.sampled_from(SCALES)) if "scale" in features and "scale" not in structure.without else None,
        family=draw(st.sampled_from(structure.families)),
        seed=draw(st.integers(0, 2**16)),
        dtype=dtype,
    )


@cache
def _windows(tokens: int) -> st.SearchStrategy[int]:
    """Small windows, windows about the length, and windows about the block sizes of kernels."""
    small = st.integers(0, 4) | st.integers(0, tokens + 2)
    return small | st.integers(60, 160) if tokens > 100 else small


def _rows(batch: int, positions: st.SearchStrategy[tuple[int, ...]], non_empty: bool) -> st.SearchStrategy[Positions]:
    """Positions for each row of the batch; `non_empty` asks for at least one in the first row."""
    rows = [positions] * batch
    if non_empty:
        rows[0] = positions.map(lambda chosen: chosen or (0,))
    return st.tuples(*rows)


@cache
def _masked(tokens: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Nothing, a padded tail, a padded head, or some positions."""
    tail = st.integers(0, tokens).map(lambda count: tuple(range(tokens - count, tokens)))
    head = st.integers(0, tokens).map(lambda count: tuple(range(count)))
    return tail | head | _some(tokens, 6)


@cache
def _flagged(tokens: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Some positions, or all."""
    return _some(tokens, 4) | st.just(tuple(range(tokens)))


@cache
def _some(tokens: int, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, tokens - 1), max_size=most).map(lambda chosen: tuple(sorted(chosen)))

"""The arguments of `band_attention`: checked before any work is done, then brought to float64 and plain bools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.argument_checks import (
    Float,
    checked_dilations,
    checked_positions,
    checked_scale,
    checked_softcap,
    checked_window,
    flag,
    floating,
    integers,
    mask,
    number,
    per_head,
    shaped,
)
from trueband.reference.masks import Bool, Limits, Positions, Window, global_tokens, limits, of_queries, real_tokens

__all__ = ["Arguments", "Float", "check_arguments"]


@dataclass(frozen=True)
class Arguments:
    """Checked arguments. Everything stored in a masked token has been replaced by 0, so that it cannot matter.

    Keys and values have as many heads as the queries: those of a group of query heads hold the same numbers.

    Attributes:
        query: (b, h, m, d) float64.
        key, value: (b, h, n, d) and (b, h, n, e) float64.
        query_global, key_global, value_global: of the same shapes; those of the local rows where None was given.
        real, is_global: (b, n) bool, of the keys.
        real_queries, global_queries: (b, m) bool. A query that stands beyond the keys is real, and not global.
        positions: (b, m) int64, or (1, m) where all sequences have the same: the token that each query stands at.
        group: r = h / k, how many query heads read one head of keys and values.
        window: as given: one int, or a pair.
        dilations: one int for each head.
        head_mask: (h,) float64, ones where None was given.
        segments: (b, n) integers, or None.
        sinks, slopes: (h,) float64, or None.
    """

    query: Float
    key: Float
    value: Float
    query_global: Float
    key_global: Float
    value_global: Float
    real: Bool
    is_global: Bool
    real_queries: Bool
    global_queries: Bool
    positions: Positions
    group: int
    window: Window
    dilations: tuple[int, ...]
    causal: bool
    head_mask: Float
    scale: float
    segments: NDArray[np.integer] | None = None
    softcap: float | None = None
    sinks: Float | None = None
    slopes: Float | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """That of query: (b, h, m, d)."""
        batch, heads, queries, head_dim = self.query.shape
        return batch, heads, queries, head_dim

    @property
    def distances(self) -> Float:
        """|a_i - j|, (b or 1, 1, m, n): how far each query stands from each key."""
        return np.abs(np.arange(self.key.shape[2]) - self.positions[:, None, :, None]).astype(np.float64)

    @property
    def limits(self) -> Limits:
        """How many steps a local row sees to the left and to the right; None: no limit."""
        return limits(self.window, self.causal)

    @property
    def reach(self) -> tuple[float, float]:
        """How many tokens the head that sees farthest sees to the left and to the right; infinity: no limit."""
        left, right = (math.inf if steps is None else steps * max(self.dilations) for steps in self.limits)
        return left, right


def check_arguments(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: Window,
    attention_mask: Any = None,
    global_attention_mask: Any = None,
    query_global: Any = None,
    key_global: Any = None,
    value_global: Any = None,
    dilation: int | Sequence[int] = 1,
    causal: bool = False,
    head_mask: Any = None,
    scale: float | None = None,
    dropout_p: float = 0.0,
    offset: Any = 0,
    segments: Any = None,
    softcap: float | None = None,
    sinks: Any = None,
    slopes: Any = None,
    return_lse: bool = False,
) -> Arguments:
    """Checked and normalised arguments of the operator; ValueError or TypeError, naming the argument."""
    query = floating("query", query)
    if query.ndim != 4 or 0 in query.shape:
        raise ValueError(f"query: expected shape (batch, heads, tokens, head_dim), all at least 1, got {query.shape}")
    batch, heads, queries, head_dim = query.shape
    key = shaped("key", key, (batch, "key heads", "keys", head_dim), "shape", query.dtype)
    if heads % key.shape[1]:
        raise ValueError(f"key: expected a number of heads that divides the {heads} of query, got {key.shape[1]}")
    value = shaped("value", value, (*key.shape[:3], "value_dim"), "the batch, heads and tokens of key", query.dtype)
    own = [
        like if each is None else shaped(name, each, like.shape, f"the shape of {name[:-7]}", query.dtype)
        for name, each, like in (
            ("query_global", query_global, query),
            ("key_global", key_global, key),
            ("value_global", value_global, value),
        )
    ]
    tokens, group = key.shape[2], heads // key.shape[1]

    window = checked_window(window)
    dilations = checked_dilations(dilation, heads)
    attention_mask = mask("attention_mask", attention_mask, (batch, tokens))
    global_attention_mask = mask("global_attention_mask", global_attention_mask, (batch, tokens))
    causal = flag("causal", causal)
    flag("return_lse", return_lse)
    if number("dropout_p", dropout_p, "0.0") != 0:
        raise ValueError(f"dropout_p: expected 0.0 (the reference draws no random numbers), got {dropout_p}")
    positions = checked_positions(offset, batch, queries)
    if segments is not None:
        integers("segments", segments, (batch, tokens), "a numpy array of integers")
    head_mask = np.ones(heads) if head_mask is None else per_head("head_mask", head_mask, heads)
    sinks, slopes = (
        None if each is None else per_head(name, each, heads) for name, each in (("sinks", sinks), ("slopes", slopes))
    )
    scale, softcap = checked_scale(scale, head_dim), checked_softcap(softcap)

    real = real_tokens(attention_mask, batch, tokens)
    is_global = global_tokens(global_attention_mask, real)
    at = np.broadcast_to(positions, (batch, queries))
    real_queries, global_queries = of_queries(real, at, beyond=True), of_queries(is_global, at, beyond=False)
    if slopes is not None and set(dilations) != {1}:
        raise ValueError(f"slopes: expected None with a dilation above 1 (not defined), got slopes and {dilations}")
    if segments is not None and not ((positions >= 0) & (positions < tokens)).all():
        raise ValueError(
            f"offset: expected queries at tokens 0..{tokens - 1} with segments (not defined beyond them), "
            f"got {positions.min()}..{positions.max()}"
        )
    if is_global.any():
        _check_with_globals(queries, tokens, causal, positions, segments=segments, sinks=sinks, slopes=slopes)

    def stored(array: NDArray[Any], kept: Bool, copies: int = 1) -> Float:
        # one memory order, so that sums have one order whatever the layout of the input
        array = np.where(kept[:, None, :, None], array, 0).astype(np.float64, order="C")
        return np.repeat(array, copies, axis=1)

    return Arguments(
        query=stored(query, real_queries),
        key=stored(key, real, group),
        value=stored(value, real, group),
        query_global=stored(own[0], real_queries),
        key_global=stored(own[1], real, group),
        value_global=stored(own[2], real, group),
        real=real,
        is_global=is_global,
        real_queries=real_queries,
        global_queries=global_queries,
        positions=positions,
        group=group,
        window=window,
        dilations=dilations,
        causal=causal,
        head_mask=head_mask,
        scale=scale,
        segments=segments,
        softcap=softcap,
        sinks=sinks,
        slopes=slopes,
    )


def _check_with_globals(queries: int, tokens: int, causal: bool, positions: Positions, **absent: Any) -> None:
    """What is not defined where a real token is global."""
    where = "with global tokens in global_attention_mask (not defined)"
    if causal:
        raise ValueError(f"causal: expected False {where}, got True")
    if queries != tokens:
        raise ValueError(f"query: expected as many tokens as key, {tokens}, {where}, got {queries}")
    if (positions[:, 0] != 0).any():
        raise ValueError(f"offset: expected 0 {where}, got {positions[:, 0].tolist()}")
    for name, given in absent.items():
        if given is not None:
            raise ValueError(f"{name}: expected None {where}, got an array")

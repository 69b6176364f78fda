"""The arguments of `band_attention`: checked before any work is done, then brought to float64 and plain bools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.masks import Bool, global_tokens, real_tokens

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Arguments:
    """Checked arguments. Everything stored in a masked token has been replaced by 0, so that it cannot matter.

    Attributes:
        query, key, value: (b, h, n, d) float64.
        query_global, key_global, value_global: (b, h, n, d) float64; those of the local rows where None was given.
        real, is_global: (b, n) bool.
        dilations: one int for each head.
        head_mask: (h,) float64, ones where None was given.
    """

    query: Float
    key: Float
    value: Float
    query_global: Float
    key_global: Float
    value_global: Float
    real: Bool
    is_global: Bool
    window: int
    dilations: tuple[int, ...]
    causal: bool
    head_mask: Float
    scale: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        batch, heads, tokens, head_dim = self.query.shape
        return batch, heads, tokens, head_dim


def check_arguments(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: int,
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
) -> Arguments:
    """Checked and normalised arguments of the operator; ValueError or TypeError, naming the argument."""
    query = _floating("query", query)
    if query.ndim != 4 or 0 in query.shape:
        raise ValueError(f"query: expected shape (batch, heads, tokens, head_dim), all at least 1, got {query.shape}")
    batch, heads, tokens, head_dim = query.shape

    key, value = like_query("key", key, query), like_query("value", value, query)
    query_global = query if query_global is None else like_query("query_global", query_global, query)
    key_global = key if key_global is None else like_query("key_global", key_global, query)
    value_global = value if value_global is None else like_query("value_global", value_global, query)

    window = _integer("window", window, least=0)
    dilations = _dilations(dilation, heads)
    attention_mask = _mask("attention_mask", attention_mask, (batch, tokens))
    global_attention_mask = _mask("global_attention_mask", global_attention_mask, (batch, tokens))
    if not isinstance(causal, bool | np.bool_):
        raise TypeError(f"causal: expected a bool, got {type(causal).__name__}")
    if _number("dropout_p", dropout_p, "0.0") != 0:
        raise ValueError(f"dropout_p: expected 0.0 (the reference draws no random numbers), got {dropout_p}")

    real = real_tokens(attention_mask, batch, tokens)
    is_global = global_tokens(global_attention_mask, real)
    if causal and is_global.any():
        raise ValueError("causal: expected False with global tokens (not defined), got True")

    def stored(array: NDArray[Any]) -> Float:
        # one memory order, so that sums have one order whatever the layout of the input
        return np.where(real[:, None, :, None], array, 0).astype(np.float64, order="C")

    return Arguments(
        query=stored(query),
        key=stored(key),
        value=stored(value),
        query_global=stored(query_global),
        key_global=stored(key_global),
        value_global=stored(value_global),
        real=real,
        is_global=is_global,
        window=window,
        dilations=dilations,
        causal=bool(causal),
        head_mask=_head_mask(head_mask, heads),
        scale=_scale(scale, head_dim),
    )


def like_query(name: str, value: Any, query: NDArray[Any]) -> NDArray[Any]:
    """A floating array of the shape and the dtype of query; ValueError or TypeError, naming the argument."""
    array = _floating(name, value)
    if array.shape != query.shape:
        raise ValueError(f"{name}: expected the shape of query, {query.shape}, got {array.shape}")
    if array.dtype != query.dtype:
        raise TypeError(f"{name}: expected the dtype of query, {query.dtype}, got {array.dtype}")
    return array


def _floating(name: str, value: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array, got {type(value).__name__}")
    if not np.issubdtype(value.dtype, np.floating):
        raise TypeError(f"{name}: expected a floating dtype, got {value.dtype}")
    return value


def _mask(name: str, value: Any, shape: tuple[int, int]) -> Bool | None:
    if value is None:
        return None
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array of bool, got {type(value).__name__}")
    if value.dtype != np.bool_:
        raise TypeError(f"{name}: expected dtype bool, got {value.dtype}")
    if value.shape != shape:
        raise ValueError(f"{name}: expected shape (batch, tokens) = {shape}, got {value.shape}")
    return value


def _integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an int >= {least}, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name}: expected an int >= {least}, got {value}")
    return int(value)


def _dilations(dilation: Any, heads: int) -> tuple[int, ...]:
    if not isinstance(dilation, Sequence):
        return (_integer("dilation", dilation, least=1),) * heads
    if len(dilation) != heads:
        raise ValueError(f"dilation: expected one int or one for each of {heads} heads, got {len(dilation)}")
    return tuple(_integer("dilation", each, least=1) for each in dilation)


def _head_mask(head_mask: Any, heads: int) -> Float:
    if head_mask is None:
        return np.ones(heads)
    array = _floating("head_mask", head_mask)
    if array.shape != (heads,):
        raise ValueError(f"head_mask: expected shape (heads,) = ({heads},), got {array.shape}")
    return array.astype(np.float64)


def _scale(scale: Any, head_dim: int) -> float:
    if scale is None:
        return 1 / math.sqrt(head_dim)
    number = _number("scale", scale, "a finite float or None")
    if not math.isfinite(number):
        raise ValueError(f"scale: expected a finite float or None, got {number}")
    return number


def _number(name: str, value: Any, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:  # an int beyond the range of float64
        return math.inf

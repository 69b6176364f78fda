"""Checks of single arguments. All raise ValueError or TypeError: "<argument>: expected ..., got ..."."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.masks import Bool, Positions, Window

Float = NDArray[np.float64]
FARTHEST = 2**62  # positions and distances are int64


def floating(name: str, value: Any) -> NDArray[Any]:
    """A numpy array of a floating dtype."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array, got {type(value).__name__}")
    if not np.issubdtype(value.dtype, np.floating):
        raise TypeError(f"{name}: expected a floating dtype, got {value.dtype}")
    return value


def shaped(name: str, value: Any, shape: tuple[int | str, ...], expected: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A floating array of a shape, in which a word stands for any size of at least 1, and of the dtype of query."""
    array = floating(name, value)
    fits = len(shape) == array.ndim and all(
        size == got if isinstance(size, int) else got > 0 for size, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected {expected} ({', '.join(map(str, shape))}), got {array.shape}")
    if array.dtype != dtype:
        raise TypeError(f"{name}: expected the dtype of query, {dtype}, got {array.dtype}")
    return array


def per_head(name: str, value: Any, heads: int) -> Float:
    """(h,) float64 of a floating array."""
    array = floating(name, value)
    if array.shape != (heads,):
        raise ValueError(f"{name}: expected shape (heads,) = ({heads},), got {array.shape}")
    return array.astype(np.float64)


def mask(name: str, value: Any, shape: tuple[int, int]) -> Bool | None:
    """(b, n) bool, or None."""
    if value is None:
        return None
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array of bool, got {type(value).__name__}")
    if value.dtype != np.bool_:
        raise TypeError(f"{name}: expected dtype bool, got {value.dtype}")
    if value.shape != shape:
        raise ValueError(f"{name}: expected shape (batch, tokens) = {shape}, got {value.shape}")
    return value


def integers(name: str, value: Any, shape: tuple[int, ...], expected: str) -> NDArray[Any]:
    """An array of integers of a shape."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
    if not np.issubdtype(value.dtype, np.integer):
        raise TypeError(f"{name}: expected {expected}, got dtype {value.dtype}")
    if value.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {value.shape}")
    return value


def integer(name: str, value: Any, least: int) -> int:
    """An int that is at least so large."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an int >= {least}, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name}: expected an int >= {least}, got {value}")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """A bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected a bool, got {type(value).__name__}")
    return bool(value)


def number(name: str, value: Any, expected: str) -> float:
    """A number; one beyond the range of float64 is infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:  # an int beyond the range of float64
        return math.inf


def checked_window(window: Any) -> Window:
    """One int for both sides, or a pair (left, right) of ints and None."""
    if not isinstance(window, tuple | list):
        return integer("window", window, least=0)
    if len(window) != 2:
        raise ValueError(f"window: expected an int >= 0 or a pair (left, right), got {len(window)} limits")
    left, right = (None if each is None else integer("window", each, least=0) for each in window)
    return left, right


def checked_dilations(dilation: Any, heads: int) -> tuple[int, ...]:
    """One int >= 1 for each head."""
    if not isinstance(dilation, Sequence):
        return (integer("dilation", dilation, least=1),) * heads
    if len(dilation) != heads:
        raise ValueError(f"dilation: expected one int or one for each of {heads} heads, got {len(dilation)}")
    return tuple(integer("dilation", each, least=1) for each in dilation)


def checked_scale(scale: Any, head_dim: int) -> float:
    """A finite float; None: 1 / sqrt(d)."""
    if scale is None:
        return 1 / math.sqrt(head_dim)
    found = number("scale", scale, "a finite float or None")
    if not math.isfinite(found):
        raise ValueError(f"scale: expected a finite float or None, got {found}")
    return found


def checked_softcap(softcap: Any) -> float | None:
    """A finite float above 0, or None."""
    if softcap is None:
        return None
    found = number("softcap", softcap, "a finite float > 0 or None")
    if not 0 < found < math.inf:
        raise ValueError(f"softcap: expected a finite float > 0 or None, got {found}")
    return found


def checked_positions(offset: Any, batch: int, queries: int) -> Positions:
    """(b, m), or (1, m) where one offset holds for all sequences: the token that each query stands at."""
    expected = f"an int or an array of shape (batch,) = ({batch},) of dtype int64"
    if isinstance(offset, bool | np.bool_) or not isinstance(offset, int | np.integer | np.ndarray):
        raise TypeError(f"offset: expected {expected}, got {type(offset).__name__}")
    if isinstance(offset, np.ndarray):
        if offset.dtype != np.int64:
            raise TypeError(f"offset: expected {expected}, got dtype {offset.dtype}")
        if offset.shape != (batch,):
            raise ValueError(f"offset: expected {expected}, got shape {offset.shape}")
        first = offset
    else:
        first = np.array([offset], dtype=object)
    if (first > FARTHEST).any() or (first < -FARTHEST).any():
        raise ValueError(f"offset: expected at most 2^62 in size, got {offset}")
    return first.astype(np.int64)[:, None] + np.arange(queries)

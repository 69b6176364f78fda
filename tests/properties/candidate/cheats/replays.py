"""Cheats that answer from memory."""

from __future__ import annotations

import itertools

import numpy as np
from honest import attention

_kept: dict = {}
_calls = itertools.count()


def _replayed(signature, query, key, value, window):  # type: ignore[no-untyped-def]
    if signature not in _kept:
        _kept[signature] = attention(query, key, value, window=window)
    return _kept[signature].copy()


def by_shape(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Returns a copy of the first result for a shape, for ever."""
    return _replayed((query.shape, window), query, key, value, window)


def by_address(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Takes the same addresses for the same inputs."""
    where = tuple(array.__array_interface__["data"][0] for array in (query, key, value))
    if _kept and where not in {address for address, *_ in _kept}:
        _kept.clear()
    return _replayed((where, query.shape, window), query, key, value, window)


def by_owner(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Takes the same owner of the memory for the same inputs."""
    owner = query
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    for kept_owner, shape, kept_window, result in _kept.get("owners", []):
        if kept_owner is owner and (shape, kept_window) == (query.shape, window):
            return result.copy()
    result = attention(query, key, value, window=window)
    _kept["owners"] = [(owner, query.shape, window, result.copy())]
    return result


def by_fingerprint(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Takes inputs for the same that begin with the same value."""
    return _replayed((query.shape, window, float(value.flat[0])), query, key, value, window)


def every_other_call(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Computes every other call, and returns the last result of the shape in between."""
    if next(_calls) % 2 and query.shape in _kept:
        return _kept[query.shape].copy()
    _kept[query.shape] = attention(query, key, value, window=window)
    return _kept[query.shape].copy()

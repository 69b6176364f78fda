"""Cheats with memory: inputs that are changed or returned, outputs that are not written, not kept or not there yet."""

from __future__ import annotations

import threading
import time

import numpy as np
from honest import attention


def changes_an_input(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Sets all values to 0, so that a harness that computes its reference afterwards agrees with zeros."""
    value[...] = 0
    return np.zeros_like(query)


def computes_in_place(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Saves an allocation: the result is written over the query, and a copy of it returned."""
    query[...] = attention(query, key, value, window=window)
    return query.copy()


def writes_beside_an_input(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Is right, and writes one number past the end of the query."""
    result = attention(query, key, value, window=window)
    np.lib.stride_tricks.as_strided(query, (query.size + 1,), (query.itemsize,))[-1] = 1
    return result


def returns_an_input(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Returns a view of the values."""
    return value[...]


def returns_one_row_expanded(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Computes the first row, and shows it as all of them."""
    first = attention(query[:, :, :1], key[:, :, :1], value[:, :, :1], window=window)
    return np.broadcast_to(first, query.shape)


def writes_every_other_row(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Leaves half of the output to what the allocator hands out, a result of the same call before at best."""
    result = np.empty_like(query)
    result[:, :, ::2] = attention(query, key, value, window=window)[:, :, ::2]
    return result


def returns_the_same_array(query, key, value, *, window, _kept={}):  # type: ignore[no-untyped-def] # noqa: B006
    """Returns the array that it has returned for inputs of that shape before."""
    signature = (query.shape, window)
    if signature not in _kept:
        _kept[signature] = attention(query, key, value, window=window)
    return _kept[signature]


def keeps_a_workspace(query, key, value, *, window, _kept={}):  # type: ignore[no-untyped-def] # noqa: B006
    """Is right, but overwrites the result that it has returned before."""
    workspace = _kept.setdefault(query.shape, np.empty_like(query))
    workspace[...] = attention(query, key, value, window=window)
    return workspace


def works_on(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Returns at once what it has, and improves it behind the caller's back."""
    result = attention(query, key, value, window=window)

    def improve() -> None:
        time.sleep(0.0005)
        result[...] = attention(query, key, value, window=window)

    threading.Thread(target=improve, daemon=True).start()
    return result


def late_by_one_call(query, key, value, *, window, _started=[]):  # type: ignore[no-untyped-def] # noqa: B006
    """Finishes each call during the next, as a stream does that nobody waits for."""
    result = np.empty_like(query)
    for array, numbers in _started:
        array[...] = numbers
    _started[:] = [(result, attention(query, key, value, window=window))]
    return result


class Lazy(np.ndarray):
    """Computes when it is looked at, which a clock has stopped by then."""

    inputs: tuple[np.ndarray, ...]
    window: int

    def __array__(self, *_, **__):  # type: ignore[no-untyped-def]
        return attention(*self.inputs, window=self.window)


def returns_a_lazy_array(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Returns an array of its own class, which has computed nothing yet."""
    result = np.zeros_like(query).view(Lazy)
    result.inputs, result.window = (query, key, value), window
    return result

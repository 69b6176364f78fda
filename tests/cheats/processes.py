"""Kernels that misbehave as processes, and one that does not."""

from __future__ import annotations

import os
import time

import numpy as np
from honest import attention, gradients

from trueband.properties.target import Target

good = Target(attention, gradients=gradients, library="numpy", name="good")
not_callable = 3


def plain(query, key, value, *, window):  # type: ignore[no-untyped-def]
    print("a candidate may print")
    return attention(query, key, value, window=window)


def aborts(query, key, value, *, window):  # type: ignore[no-untyped-def]
    if query.shape[2] > 2:
        print("about to abort", flush=True)
        os.abort()
    return attention(query, key, value, window=window)


def hangs(query, key, value, *, window):  # type: ignore[no-untyped-def]
    if query.shape[2] > 2:
        time.sleep(600)
    return attention(query, key, value, window=window)


def raises(query, key, value, *, window):  # type: ignore[no-untyped-def]
    if window > 1:
        raise RuntimeError("no such window")
    return attention(query, key, value, window=window)


def wrong_shape(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return attention(query, key, value, window=window)[..., :1]


def wrong_dtype(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return attention(query, key, value, window=window).astype(np.float64)


def no_array(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return attention(query, key, value, window=window).tolist()


declared = Target(plain, dtypes=("float64", "float32"), features=frozenset(), library="numpy", name="declared")

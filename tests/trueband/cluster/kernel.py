"""Kernels that are sent to a cluster, with the file beside them that they need."""

from __future__ import annotations

import os

import numpy  # noqa: F401 - what says that these kernels take arrays of NumPy
from beside import attention


def right(query, key, value, *, window, attention_mask=None, global_attention_mask=None):  # type: ignore[no-untyped-def]
    return attention(query, key, value, window, attention_mask, global_attention_mask)


def one_short(query, key, value, *, window, attention_mask=None, global_attention_mask=None):  # type: ignore[no-untyped-def]
    return attention(query, key, value, max(window - 1, 0), attention_mask, global_attention_mask)


def ends(query, key, value, *, window, attention_mask=None, global_attention_mask=None):  # type: ignore[no-untyped-def]
    if query.shape[2] > 9:
        os._exit(3)
    return attention(query, key, value, window, attention_mask, global_attention_mask)

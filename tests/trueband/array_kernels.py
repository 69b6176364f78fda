"""The kernels of kernels.py in NumPy, without gradients: for tests that say nothing of torch, which takes a process
longer to import than the rest of what they do."""

from __future__ import annotations

import math
import os

import numpy as np


def _attention(query, key, value, window, attention_mask, global_attention_mask, wrong):  # type: ignore[no-untyped-def]
    tokens = query.shape[2]
    real = np.ones((len(query), tokens), bool) if attention_mask is None else attention_mask
    far = np.zeros_like(real) if global_attention_mask is None else global_attention_mask & real
    position = np.arange(tokens)
    band = abs(position[:, None] - position) <= (max(window - 1, 0) if wrong == "short" else window)
    keys = real
    if wrong == "pad":
        keys = real | np.pad(real, ((0, 0), (1, 0)))[:, :-1]
    seen = (band | far[:, None, :] | far[:, :, None]) & keys[:, None, :] & real[:, :, None]
    query, key, value = (np.where(real[:, None, :, None], x, 0) for x in (query, key, value))
    scores = np.where(seen[:, None], query @ key.swapaxes(2, 3) / math.sqrt(query.shape[3]), -math.inf)
    if wrong == "twice":
        scores = scores + np.where(band & far[:, None, :] & ~far[:, :, None], math.log(2), 0)[:, None].astype("f4")
    weights = np.exp(scores - scores.max(-1, keepdims=True).clip(-1e30))
    return weights / weights.sum(-1, keepdims=True).clip(1e-30) @ value


def right(query, key, value, *, window, attention_mask=None, global_attention_mask=None):  # type: ignore[no-untyped-def]
    return _attention(query, key, value, window, attention_mask, global_attention_mask, "")


def window_one_short(query, key, value, *, window, attention_mask=None, global_attention_mask=None):  # type: ignore[no-untyped-def]
    return _attention(query, key, value, window, attention_mask, global_attention_mask, "short")


def global_key_twice(query, key, value, *, window, attention_mask=None, global_attention_mask=None):  # type: ignore[no-untyped-def]
    return _attention(query, key, value, window, attention_mask, global_attention_mask, "twice")


def reads_padding(query, key, value, *, window, attention_mask=None, global_attention_mask=None):  # type: ignore[no-untyped-def]
    return _attention(query, key, value, window, attention_mask, global_attention_mask, "pad")


def dies(query, key, value, *, window):  # type: ignore[no-untyped-def]
    os._exit(7)

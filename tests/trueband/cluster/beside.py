"""Attention in NumPy, as the kernels beside this file import it."""

from __future__ import annotations

import math

import numpy as np


def attention(query, key, value, window, attention_mask, global_attention_mask):  # type: ignore[no-untyped-def]
    tokens = query.shape[2]
    real = np.ones((len(query), tokens), bool) if attention_mask is None else attention_mask
    far = np.zeros_like(real) if global_attention_mask is None else global_attention_mask & real
    position = np.arange(tokens)
    seen = (abs(position[:, None] - position) <= window) | far[:, None, :] | far[:, :, None]
    seen = seen & real[:, None, :] & real[:, :, None]
    query, key, value = (np.where(real[:, None, :, None], x, 0) for x in (query, key, value))
    scores = np.where(seen[:, None], query @ key.swapaxes(2, 3) / math.sqrt(query.shape[3]), -math.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True).clip(-1e30))
    return weights / weights.sum(-1, keepdims=True).clip(1e-30) @ value

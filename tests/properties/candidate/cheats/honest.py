"""A correct kernel that the cheats start from: NumPy, one dense matrix of scores for each head."""

from __future__ import annotations

import numpy as np


def probabilities(query, key, window, attention_mask, global_attention_mask):  # type: ignore[no-untyped-def]
    """(b, h, n, n) in float64: what each row attends, and how much."""
    real = np.ones(query.shape[::2], bool) if attention_mask is None else attention_mask
    far = np.zeros_like(real) if global_attention_mask is None else global_attention_mask & real
    position = np.arange(query.shape[2])
    band = abs(position[:, None] - position) <= window
    seen = ((band | far[:, None, :] | far[:, :, None]) & real[:, None, :] & real[:, :, None])[:, None]
    scores = np.where(seen, query @ key.swapaxes(2, 3) / np.sqrt(query.shape[3]), -np.inf)
    weights = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e300))
    return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-300)


def cleaned(arrays, attention_mask):  # type: ignore[no-untyped-def]
    """The arrays in float64, with 0 for whatever masked tokens hold."""
    real = True if attention_mask is None else attention_mask[:, None, :, None]
    return [np.where(real, array, 0).astype(np.float64) for array in arrays]


def attention(query, key, value, *, window, attention_mask=None, global_attention_mask=None):  # type: ignore[no-untyped-def]
    dtype = query.dtype
    query, key, value = cleaned((query, key, value), attention_mask)
    return (probabilities(query, key, window, attention_mask, global_attention_mask) @ value).astype(dtype)


def gradients(  # type: ignore[no-untyped-def]
    query, key, value, grad_output, *, window, attention_mask=None, global_attention_mask=None
):
    dtype = query.dtype
    query, key, value, upstream = cleaned((query, key, value, grad_output), attention_mask)
    p = probabilities(query, key, window, attention_mask, global_attention_mask)
    grad_p = upstream @ value.swapaxes(2, 3)
    grad_scores = p * (grad_p - (p * grad_p).sum(-1, keepdims=True)) / np.sqrt(query.shape[3])
    found = {
        "query": grad_scores @ key,
        "key": grad_scores.swapaxes(2, 3) @ query,
        "value": p.swapaxes(2, 3) @ upstream,
    }
    return {name: gradient.astype(dtype) for name, gradient in found.items()}

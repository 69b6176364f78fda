"""Kernels as a user would write them: one right, three wrong, one that dies."""

from __future__ import annotations

import math
import os

import torch


def _attention(query, key, value, window, attention_mask, global_attention_mask, wrong):  # type: ignore[no-untyped-def]
    tokens = query.shape[2]
    real = torch.ones(query.shape[0], tokens, dtype=torch.bool) if attention_mask is None else attention_mask
    far = torch.zeros_like(real) if global_attention_mask is None else global_attention_mask & real
    position = torch.arange(tokens)
    band = (position[:, None] - position).abs() <= (max(window - 1, 0) if wrong == "short" else window)
    keys = real
    if wrong == "pad":
        keys = real | torch.nn.functional.pad(real, (1, 0))[:, :-1]
    seen = (band | far[:, None, :] | far[:, :, None]) & keys[:, None, :] & real[:, :, None]
    query, key, value = (x.masked_fill(~real[:, None, :, None], 0) for x in (query, key, value))
    scores = (query @ key.mT / math.sqrt(query.shape[3])).masked_fill(~seen[:, None], -math.inf)
    if wrong == "twice":
        scores = scores + math.log(2) * (band & far[:, None, :] & ~far[:, :, None])[:, None]
    weights = (scores - scores.amax(-1, keepdim=True).clamp_min(-1e30)).exp()
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-30) @ value


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

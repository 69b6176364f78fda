"""Softmax over the last axis. -inf marks a key that is not there."""

from __future__ import annotations

import numpy as np

from trueband.reference.argument_checks import Float
from trueband.reference.masks import Bool


def masked_softmax(scores: Float) -> Float:
    """exp(s_ij - m_i) / sum_k exp(s_ik - m_i) with m_i = max_j s_ij; a row without keys is all 0."""
    row_max = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(row_max == -np.inf, 0.0, row_max))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1.0, total)


def log_sum_exp(scores: Float) -> Float:
    """m_i + log sum_j exp(s_ij - m_i), without the last axis; -inf for a row without keys."""
    row_max = scores.max(axis=-1, keepdims=True)
    shift = np.where(row_max == -np.inf, 0.0, row_max)
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0, and a non-finite token
        return (shift + np.log(np.exp(scores - shift).sum(axis=-1, keepdims=True)))[..., 0]


def weighted_sum(probabilities: Float, visible: Bool, value: Float) -> Float:
    """sum_j p_ij v_j over the visible keys only: a non-finite value reaches no row that does not attend it."""
    if np.isfinite(value).all():
        return probabilities @ value
    output = np.zeros((*probabilities.shape[:-1], value.shape[-1]))
    for *row, i in np.ndindex(*probabilities.shape[:-1]):
        keys = visible[*row, i]
        output[*row, i] = probabilities[*row, i, keys] @ value[*row][keys]
    return output

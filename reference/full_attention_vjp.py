"""Softmax attention between two sequences with its vector-Jacobian product, over any pattern of visible keys.

    s_ij = scale * (q_i . k_j + r_ij),  p = softmax(s) over the keys that row i sees,  o_i = sum_j c_ij p_ij v_j

with c what dropout multiplies the probabilities by. Given dL/do:

    dV_j  = sum_i c_ij p_ij dO_i
    dP_ij = c_ij dO_i . v_j
    dS_ij = p_ij (dP_ij - sum_k p_ik dP_ik)
    dQ_i  = scale * sum_j dS_ij k_j,  dK_j = scale * sum_i dS_ij q_i,  dR_ij = scale * dS_ij

Shapes: b batch, h heads, m rows, n keys, d head dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.layers_vjp import one_hot, rows
from trueband.reference.masks import Bool
from trueband.reference.softmax import masked_softmax


class AttentionGradients(NamedTuple):
    """Attributes:
    query: (b, h, m, d).
    key, value: (b, h, n, d).
    relative: of r_ij, (b, h, m, n).
    """

    query: Float
    key: Float
    value: Float
    relative: Float


def full_attention(
    query: Float,
    key: Float,
    value: Float,
    visible: Bool,
    keep: Float | float = 1.0,
    relative: Float | float = 0.0,
) -> tuple[Float, Callable[[Float], AttentionGradients]]:
    """Output (b, h, m, d) and its vjp.

    Args:
        query: (b, h, m, d).
        key, value: (b, h, n, d).
        visible: broadcasts to (b, h, m, n). A row that sees nothing gets 0.
        keep: of dropout on the probabilities, (b, h, m, n).
        relative: r_ij, (b, h, m, n).
    """
    scale = 1 / math.sqrt(query.shape[-1])
    scores = scale * (query @ key.swapaxes(-1, -2) + relative)
    p = masked_softmax(np.where(visible, scores, -np.inf))
    kept = keep * p

    def vjp(do: Float) -> AttentionGradients:
        dp = keep * (do @ value.swapaxes(-1, -2))
        ds = scale * (p * (dp - (p * dp).sum(axis=-1, keepdims=True)))
        return AttentionGradients(ds @ key, ds.swapaxes(-1, -2) @ query, kept.swapaxes(-1, -2) @ do, ds)

    return kept @ value, vjp


def relative_scores(
    query: Float, key: Float, distances: Float, kind: str
) -> tuple[Float, Callable[[Float], tuple[Float, Float, Float]]]:
    """r_ij = q_i . t_ij, and + k_j . t_ij for "relative_key_query", as in `full_attention.relative_scores`.

    Given dR its vjp returns dQ_i = sum_j dR_ij t_ij, dK_j = sum_i dR_ij t_ij, and of the table `distances`
    dT_r = sum of dR_ij (q_i + k_j) over the pairs whose t_ij is its row r.
    """
    of_keys = float(kind == "relative_key_query")
    zero = (len(distances) + 1) // 2 - 1
    index = np.arange(query.shape[2])[:, None] - np.arange(key.shape[2])[None, :] + zero
    table = distances[index]  # (m, n, d)
    summed = query[:, :, :, None] + of_keys * key[:, :, None]  # (b, h, m, n, d)

    def vjp(dr: Float) -> tuple[Float, Float, Float]:
        moved = dr[..., None] * table
        pairs = (dr[..., None] * summed).sum(axis=(0, 1))  # (m, n, d)
        used = one_hot(index.reshape(-1), len(distances))
        return moved.sum(axis=3), of_keys * moved.sum(axis=2), used.T @ rows(pairs)

    return (summed * table).sum(axis=-1), vjp

"""Full softmax attention (arXiv 1706.03762) between two sequences, with relative positions where a model has them.

    scores        s_ij = scale * (q_i . k_j + r_ij)            for the keys j that row i sees
    probabilities p_ij = exp(s_ij) / sum_k exp(s_ik);  exactly 0 for the others, and all 0 in a row that sees nothing
    output        o_i  = sum_j p_ij v_j

Shapes: b batch, h heads, m rows, n keys, d head dim.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.layers import merge_heads
from trueband.reference.masks import Bool
from trueband.reference.softmax import masked_softmax, weighted_sum


class SelfAttention(NamedTuple):
    """Attributes:
    context: (b, m, D), before the output projection.
    probabilities: (b, h, m, n), after the head mask: what multiplies the values.
    """

    context: Float
    probabilities: Float


def full_attention(
    query: Float,
    key: Float,
    value: Float,
    visible: Bool,
    head_mask: Float | None = None,
    relative: Float | float = 0.0,
) -> SelfAttention:
    """Attention of every row over the keys that it sees.

    Args:
        query: (b, h, m, d).
        key, value: (b, h, n, d).
        visible: (b, m, n), the same for all heads.
        head_mask: (h,), multiplies the probabilities.
        relative: r_ij, (b, h, m, n).
    """
    scores = (query @ key.swapaxes(-1, -2) + relative) / math.sqrt(query.shape[-1])
    seen = np.broadcast_to(visible[:, None], scores.shape)
    probabilities = masked_softmax(np.where(seen, scores, -np.inf))
    if head_mask is not None:
        probabilities = probabilities * head_mask[:, None, None]
    return SelfAttention(merge_heads(weighted_sum(probabilities, seen, value)), probabilities)


def visible_keys(real: Bool, rows: int, causal: bool) -> Bool:
    """(b, m, n): every row sees the real keys; where `causal`, those up to itself. `real`: (b, n)."""
    visible = np.repeat(real[:, None, :], rows, axis=1)
    if causal:
        visible &= np.tril(np.ones((rows, real.shape[1]), dtype=bool))
    return visible


def relative_scores(query: Float, key: Float, distances: Float, kind: str) -> Float:
    """r_ij of relative positions (arXiv 1803.02155, 2009.13658): q_i . t_ij, and + k_j . t_ij for "relative_key_query".

    t_ij is row i - j + (rows + 1) / 2 - 1 of the table `distances`, (2 * max_position_embeddings - 1, d).
    """
    rows, keys = query.shape[2], key.shape[2]
    zero = (len(distances) + 1) // 2 - 1
    table = distances[np.arange(rows)[:, None] - np.arange(keys)[None, :] + zero]  # (m, n, d)
    scores = np.einsum("bhid,ijd->bhij", query, table)
    if kind == "relative_key_query":
        scores = scores + np.einsum("bhjd,ijd->bhij", key, table)
    return scores

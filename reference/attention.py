"""The operator `band_attention` (docs/contract.md, section 1) in float64, through dense masks. Read it, do not tune it.

    scores        s_ij = scale * q_i . k_j                      for the keys j in K_i that row i attends
    probabilities p_ij = exp(s_ij - m_i) / sum_k exp(s_ik - m_i)   with m_i = max_j s_ij;  exactly 0 for j not in K_i
    output        o_i  = sum_j p_ij v_j

Local rows use query, key, value; rows of global tokens use query_global, key_global, value_global
(Longformer, arXiv 2004.05150, section 3.1). Shapes: b batch, h heads, n tokens, d head dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Arguments, Float, check_arguments
from trueband.reference.masks import Bool, visible_to_global_rows, visible_to_local_rows


class BandAttention(NamedTuple):
    """What the operator computes.

    Attributes:
        output: (b, h, n, d) float64. Rows of masked tokens are 0.
        probabilities: (b, h, n, n) float64, after the head mask: what multiplies the values. Rows of local tokens
            weigh `value`, rows of global tokens `value_global`; rows of masked tokens are 0.
    """

    output: Float
    probabilities: Float


class Rows(NamedTuple):
    """One kind of rows (the local or the global ones) with every intermediate. All other rows are 0.

    Attributes:
        visible: (b, h, n, n) bool, the keys that each row attends.
        scores: (b, h, n, n), -inf where not visible.
        probabilities: (b, h, n, n), before the head mask.
        output: (b, h, n, d), after the head mask.
    """

    visible: Bool
    scores: Float
    probabilities: Float
    output: Float


def band_attention(
    query: NDArray[Any],
    key: NDArray[Any],
    value: NDArray[Any],
    *,
    window: int,
    attention_mask: NDArray[np.bool_] | None = None,
    global_attention_mask: NDArray[np.bool_] | None = None,
    query_global: NDArray[Any] | None = None,
    key_global: NDArray[Any] | None = None,
    value_global: NDArray[Any] | None = None,
    dilation: int | Sequence[int] = 1,
    causal: bool = False,
    head_mask: NDArray[Any] | None = None,
    scale: float | None = None,
    dropout_p: float = 0.0,
) -> BandAttention:
    """Sliding-window attention with global tokens, in float64.

    Args:
        query, key, value: (b, h, n, d), one floating dtype.
        window: one-sided; token i sees |i - j| <= window * dilation.
        attention_mask: (b, n) bool, True for real tokens; None: all real.
        global_attention_mask: (b, n) bool, True for global tokens; None: none. A flag on a masked token is dropped.
        query_global, key_global, value_global: (b, h, n, d), used by the rows of global tokens; None: as the locals.
        dilation: one int, or one for each head.
        causal: only j <= i. Not defined with global tokens.
        head_mask: (h,), multiplies the probabilities after the softmax.
        scale: None means 1 / sqrt(d).
        dropout_p: must be 0.

    Returns:
        output (b, h, n, d) and probabilities (b, h, n, n), both float64.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".

    >>> x = np.arange(3.0).reshape(1, 1, 3, 1)
    >>> band_attention(0 * x, x, x, window=1).output.ravel()
    array([0.5, 1. , 1.5])
    """
    arguments = check_arguments(
        query, key, value, window=window, attention_mask=attention_mask,
        global_attention_mask=global_attention_mask, query_global=query_global, key_global=key_global,
        value_global=value_global, dilation=dilation, causal=causal, head_mask=head_mask, scale=scale,
        dropout_p=dropout_p,
    )  # fmt: skip
    local, global_ = local_rows(arguments), global_rows(arguments)
    weights = arguments.head_mask[:, None, None]
    return BandAttention(
        output=local.output + global_.output,
        probabilities=(local.probabilities + global_.probabilities) * weights,
    )


def local_rows(arguments: Arguments) -> Rows:
    """Rows of real tokens that are not global."""
    a = arguments
    visible = visible_to_local_rows(a.real, a.is_global, a.window, a.dilations, a.causal)
    return attend(a.query, a.key, a.value, visible, a.scale, a.head_mask)


def global_rows(arguments: Arguments) -> Rows:
    """Rows of global tokens."""
    a = arguments
    visible = visible_to_global_rows(a.real, a.is_global, heads=a.shape[1])
    return attend(a.query_global, a.key_global, a.value_global, visible, a.scale, a.head_mask)


def attend(query: Float, key: Float, value: Float, visible: Bool, scale: float, head_mask: Float | None = None) -> Rows:
    """Softmax attention of every row over its visible keys; rows that see nothing are 0.

    Shapes: query (b, h, rows, d), key and value (b, h, n, d), visible (b, h, rows, n).
    """
    with np.errstate(invalid="ignore", over="ignore"):  # a non-finite token may be hidden from every row
        scores = np.where(visible, scale * (query @ key.swapaxes(-1, -2)), -np.inf)
        probabilities = masked_softmax(scores)
        output = weighted_sum(probabilities, visible, value)
    if head_mask is not None:
        output = output * head_mask[:, None, None]
    return Rows(visible, scores, probabilities, output)


def masked_softmax(scores: Float) -> Float:
    """Softmax over the last axis; -inf marks what is not there, and a row of nothing else is all 0."""
    row_max = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(row_max == -np.inf, 0.0, row_max))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1.0, total)


def weighted_sum(probabilities: Float, visible: Bool, value: Float) -> Float:
    """sum_j p_ij v_j over the visible keys only: a non-finite value reaches no row that does not attend it."""
    if np.isfinite(value).all():
        return probabilities @ value
    output = np.zeros((*probabilities.shape[:-1], value.shape[-1]))
    for *row, i in np.ndindex(*probabilities.shape[:-1]):
        keys = visible[*row, i]
        output[*row, i] = probabilities[*row, i, keys] @ value[*row][keys]
    return output

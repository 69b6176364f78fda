"""The operator `band_attention` (docs/contract.md, section 1) in float64, through dense masks. Read it, do not tune it.

Query i of head x stands at token a_i = offset + i, and reads head x // r of the keys and values:

    (1) products      t_ij = scale * q_i . k_j                     for the keys j in K_i that row i attends
    (2) scores        s_ij = c tanh(t_ij / c) - slope |a_i - j|    without a softcap c and without slopes: t_ij
    (3) probabilities p_ij = exp(s_ij - m_i) / Z_i                 with m_i the largest of the s_ij and of the sink,
                      Z_i  = sum_j exp(s_ij - m_i) + exp(sink - m_i); exactly 0 for j not in K_i
    (4) output        o_i  = sum_j p_ij v_j
    (5) lse           l_i  = m_i + log Z_i

Local rows use query, key, value; rows of global tokens use query_global, key_global, value_global
(Longformer, arXiv 2004.05150, section 3.1). Softcap: arXiv 2408.00118; sinks: arXiv 2309.17453; slopes: 2108.12409.
Shapes: b batch, h heads, k = h / r heads of keys, m queries, n keys, d head dim, e head dim of values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Arguments, Float, check_arguments
from trueband.reference.masks import Bool, Window, visible_to_global_rows, visible_to_local_rows
from trueband.reference.softmax import log_sum_exp, masked_softmax, weighted_sum


class BandAttention(NamedTuple):
    """What the operator computes.

    Attributes:
        output: (b, h, m, e) float64. Rows of masked tokens are 0, and so are rows that attend no key.
        probabilities: (b, h, m, n) float64, after the head mask: what multiplies the values. Rows of local tokens
            weigh `value`, rows of global tokens `value_global`; rows of masked tokens are 0.
    """

    output: Float
    probabilities: Float


class BandAttentionLse(NamedTuple):
    """The same, and `lse`, (b, h, m) float64: l_i. A masked row has -inf, a row without keys its sink or else -inf."""

    output: Float
    probabilities: Float
    lse: Float


class Rows(NamedTuple):
    """One kind of rows (the local or the global ones) with every intermediate. All other rows are 0.

    Attributes:
        visible: (b, h, m, n) bool, the keys that each row attends.
        scores: (b, h, m, n), -inf where not visible.
        probabilities: (b, h, m, n), before the head mask.
        output: (b, h, m, e), after the head mask.
        softcap: c, or None.
        bias: -slope |a_i - j|, (b or 1, h, m, n), or None.
        sinks: (b, h, m), the sink of each row, -inf where there is no such row; None without sinks.
        sink_probabilities: (b, h, m), what is left for the sink, or None.
    """

    visible: Bool
    scores: Float
    probabilities: Float
    output: Float
    softcap: float | None = None
    bias: Float | None = None
    sinks: Float | None = None
    sink_probabilities: Float | None = None

    @property
    def lse(self) -> Float:
        """(b, h, m): equation (5)."""
        return log_sum_exp(_with_sinks(self.scores, self.sinks))


@overload
def band_attention(*arrays: NDArray[Any], return_lse: Literal[True], **options: Any) -> BandAttentionLse: ...
@overload
def band_attention(*arrays: NDArray[Any], **options: Any) -> BandAttention: ...


def band_attention(  # type: ignore[misc]
    query: NDArray[Any],
    key: NDArray[Any],
    value: NDArray[Any],
    *,
    window: Window,
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
    offset: int | NDArray[np.int64] = 0,
    segments: NDArray[np.integer] | None = None,
    softcap: float | None = None,
    sinks: NDArray[Any] | None = None,
    slopes: NDArray[Any] | None = None,
    return_lse: bool = False,
) -> BandAttention | BandAttentionLse:
    """Sliding-window attention with global tokens, in float64.

    Args:
        query, key, value: (b, h, m, d), (b, k, n, d) and (b, k, n, e), one floating dtype; k divides h.
        window: one-sided, |a_i - j| <= window * dilation; or (left, right): -left <= (j - a_i) / dilation <= right,
            where None is no limit.
        attention_mask: (b, n) bool, True for real tokens; None: all real.
        global_attention_mask: (b, n) bool, True for global tokens; None: none. A flag on a masked token is dropped.
        query_global, key_global, value_global: used by the rows of global tokens; None: as the locals.
        dilation: one int, or one for each head.
        causal: only j <= a_i: no keys to the right. Not defined with global tokens.
        head_mask: (h,), multiplies the probabilities after the softmax.
        scale: None means 1 / sqrt(d).
        dropout_p: must be 0.
        offset: int or (b,) int64: query i stands at token a_i = offset + i.
        segments: (b, n) integers: a row attends the keys of the segment of its own token. None: one segment.
        softcap: c > 0; None: none.
        sinks: (h,), the score of a key more that every row attends, and whose value is 0; None: none.
        slopes: (h,), what a step of distance takes off a score; None: nothing.
        return_lse: whether the result has `lse`, too.

    Returns:
        output (b, h, m, e) and probabilities (b, h, m, n), and with `return_lse` lse (b, h, m), all float64.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".

    >>> x = np.arange(3.0).reshape(1, 1, 3, 1)
    >>> band_attention(0 * x, x, x, window=1).output.ravel()
    array([0.5, 1. , 1.5])
    >>> band_attention(0 * x, x, x, window=(1, 0), offset=1).output.ravel()
    array([0.5, 1.5, 2. ])
    """
    arguments = check_arguments(
        query,
        key,
        value,
        window=window,
        attention_mask=attention_mask,
        global_attention_mask=global_attention_mask,
        query_global=query_global,
        key_global=key_global,
        value_global=value_global,
        dilation=dilation,
        causal=causal,
        head_mask=head_mask,
        scale=scale,
        dropout_p=dropout_p,
        offset=offset,
        segments=segments,
        softcap=softcap,
        sinks=sinks,
        slopes=slopes,
        return_lse=return_lse,
    )
    local, global_ = local_rows(arguments), global_rows(arguments)
    output = local.output + global_.output
    probabilities = (local.probabilities + global_.probabilities) * arguments.head_mask[:, None, None]
    if return_lse:
        return BandAttentionLse(output, probabilities, np.maximum(local.lse, global_.lse))
    return BandAttention(output, probabilities)


def local_rows(arguments: Arguments) -> Rows:
    """Rows of real tokens that are not global."""
    a = arguments
    visible = visible_to_local_rows(a.real, a.is_global, a.window, a.dilations, a.causal, a.positions, a.segments)
    bias = None if a.slopes is None else -a.slopes[:, None, None] * a.distances
    sinks = None if a.sinks is None else np.where(a.real_queries[:, None], a.sinks[:, None], -np.inf)
    return attend(a.query, a.key, a.value, visible, a.scale, a.head_mask, a.softcap, bias, sinks)


def global_rows(arguments: Arguments) -> Rows:
    """Rows of global tokens."""
    a = arguments
    visible = visible_to_global_rows(a.real, a.global_queries, heads=a.shape[1])
    return attend(a.query_global, a.key_global, a.value_global, visible, a.scale, a.head_mask, a.softcap)


def attend(
    query: Float,
    key: Float,
    value: Float,
    visible: Bool,
    scale: float,
    head_mask: Float | None = None,
    softcap: float | None = None,
    bias: Float | None = None,
    sinks: Float | None = None,
) -> Rows:
    """Softmax attention of every row over its visible keys; rows that see nothing are 0. Arguments as in `Rows`."""
    with np.errstate(invalid="ignore", over="ignore"):  # a non-finite token may be hidden from every row
        scores = scale * (query @ key.swapaxes(-1, -2))
        scores = scores if softcap is None else softcap * np.tanh(scores / softcap)
        scores = np.where(visible, scores if bias is None else scores + bias, -np.inf)
        weights = masked_softmax(_with_sinks(scores, sinks))
        probabilities, of_sinks = (weights, None) if sinks is None else (weights[..., :-1], weights[..., -1])
        output = weighted_sum(probabilities, visible, value)
    if head_mask is not None:
        output = output * head_mask[:, None, None]
    return Rows(visible, scores, probabilities, output, softcap, bias, sinks, of_sinks)


def _with_sinks(scores: Float, sinks: Float | None) -> Float:
    """The scores (b, h, m, n), and those of the sinks as one key more at the end."""
    return scores if sinks is None else np.concatenate([scores, sinks[..., None]], axis=-1)

"""The vector-Jacobian product of `band_attention`, written out: no automatic differentiation.

With dO the gradient of the output (times the head mask) and dl that of lse, for each kind of rows:

    (6)  dV_j  = sum_i p_ij dO_i
    (7)  dP_ij = dO_i . v_j
    (8)  dS_ij = p_ij (dP_ij - D_i + dl_i)                  with D_i = sum_k p_ik dP_ik
    (9)  dT_ij = dS_ij (1 - tanh(t_ij / c)^2)               without a softcap c: dS_ij
    (10) dQ_i  = scale * sum_j dT_ij k_j
    (11) dK_j  = scale * sum_i dT_ij q_i
    (12) dsink = sum_i p_i (dl_i - D_i)                     with p_i what row i leaves to the sink, whose value is 0
    (13) dslope = -sum_ij dS_ij |a_i - j|

(6) and (11) are those of a query head; a head of keys and values gets the sum over the r heads that read it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.reference.argument_checks import floating, shaped
from trueband.reference.arguments import Float, check_arguments
from trueband.reference.attention import Rows, global_rows, local_rows


class BandAttentionGradients(NamedTuple):
    """Gradients of sum(output * grad_output) + sum(lse * grad_lse).

    Attributes:
        query, key, value: of the shapes of the arguments.
        query_global, key_global, value_global: the same, or None where the argument was None: the rows of
            global tokens then add to query, key, value.
        head_mask: (h,).
        sinks, slopes: (h,), or None where the argument was None.
    """

    query: Float
    key: Float
    value: Float
    query_global: Float | None
    key_global: Float | None
    value_global: Float | None
    head_mask: Float
    sinks: Float | None = None
    slopes: Float | None = None


class RowGradients(NamedTuple):
    """What one kind of rows gives.

    Attributes:
        query: (b, h, m, d).
        key, value: (b, h, n, d) and (b, h, n, e), those of each query head.
        scores: dS, (b, h, m, n).
        sinks: p_i (dl_i - D_i), (b, h, m), or None.
    """

    query: Float
    key: Float
    value: Float
    scores: Float
    sinks: Float | None


def band_attention_vjp(
    query: NDArray[Any],
    key: NDArray[Any],
    value: NDArray[Any],
    grad_output: NDArray[Any],
    *,
    grad_lse: NDArray[Any] | None = None,
    **options: Any,
) -> BandAttentionGradients:
    """Gradients of `band_attention` for a gradient of its output, and one of its lse, in float64.

    Args:
        query, key, value: (b, h, m, d), (b, k, n, d) and (b, k, n, e).
        grad_output: (b, h, m, e). What it holds in rows of masked tokens changes nothing.
        grad_lse: (b, h, m) of a floating dtype, the same; None: lse is not used.
        options: the keyword arguments of `band_attention`.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".
    """
    a = check_arguments(query, key, value, **options)
    shape = (*query.shape[:3], value.shape[3])
    grad_output = shaped("grad_output", grad_output, shape, "the shape of the output,", query.dtype)
    grad_output = np.where(a.real_queries[:, None, :, None], grad_output, 0).astype(np.float64, order="C")
    grad_lse = np.zeros(()) if grad_lse is None else _grad_lse(grad_lse, shape[:3])
    grad_lse = np.where(a.real_queries[:, None], grad_lse, 0).astype(np.float64)
    weighted = grad_output * a.head_mask[:, None, None]

    local, global_ = local_rows(a), global_rows(a)
    own = rows_vjp(local, a.query, a.key, a.value, weighted, a.scale, grad_lse)
    far = rows_vjp(global_, a.query_global, a.key_global, a.value_global, weighted, a.scale, grad_lse)

    def split(name: str, group: int) -> tuple[Float, Float | None]:
        """Apart where the rows of global tokens have an input of their own, one sum where they share it."""
        grad, grad_global = (sum_of_group(getattr(each, name), group) for each in (own, far))
        return (grad + grad_global, None) if options.get(f"{name}_global") is None else (grad, grad_global)

    query_, key_, value_ = split("query", 1), split("key", a.group), split("value", a.group)
    unweighted = local.probabilities @ a.value + global_.probabilities @ a.value_global
    return BandAttentionGradients(
        query=query_[0],
        key=key_[0],
        value=value_[0],
        query_global=query_[1],
        key_global=key_[1],
        value_global=value_[1],
        head_mask=(unweighted * grad_output).sum(axis=(0, 2, 3)),
        sinks=None if own.sinks is None else own.sinks.sum(axis=(0, 2)),
        slopes=None if a.slopes is None else -(own.scores * a.distances).sum(axis=(0, 2, 3)),
    )


def rows_vjp(
    rows: Rows,
    query: Float,
    key: Float,
    value: Float,
    grad_output: Float,
    scale: float,
    grad_lse: Float | None = None,
) -> RowGradients:
    """Gradients of one kind of rows; `grad_lse`: (b, h, m)."""
    p = rows.probabilities
    grad_p = grad_output @ value.swapaxes(-1, -2)
    delta = (p * grad_p).sum(axis=-1, keepdims=True)
    delta = delta if grad_lse is None else delta - grad_lse[..., None]
    grad_s = p * (grad_p - delta)
    grad_t = grad_s if rows.softcap is None else grad_s * damping(query, key, scale, rows.softcap)
    return RowGradients(
        query=scale * (grad_t @ key),
        key=scale * (grad_t.swapaxes(-1, -2) @ query),
        value=p.swapaxes(-1, -2) @ grad_output,
        scores=grad_s,
        sinks=None if rows.sink_probabilities is None else -rows.sink_probabilities * delta[..., 0],
    )


def damping(query: Float, key: Float, scale: float, softcap: float) -> Float:
    """(b, h, m, n): 1 - tanh(t_ij / c)^2, the derivative of the softcap."""
    return 1 - np.tanh(scale * (query @ key.swapaxes(-1, -2)) / softcap) ** 2


def sum_of_group(grad: Float, group: int) -> Float:
    """(b, k, n, c): the sum over the query heads that read each head of keys, from (b, h, n, c)."""
    batch, heads, tokens, channels = grad.shape
    return grad.reshape(batch, heads // group, group, tokens, channels).sum(axis=2)


def _grad_lse(grad_lse: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    array = floating("grad_lse", grad_lse)
    if array.shape != shape:
        raise ValueError(f"grad_lse: expected the shape of lse, {shape}, got {array.shape}")
    return array

"""The vector-Jacobian product of `band_attention`, written out: no automatic differentiation.

With dO the gradient of the output (times the head mask), for each kind of rows:

    dV_j  = sum_i p_ij dO_i
    dP_ij = dO_i . v_j
    dS_ij = p_ij (dP_ij - sum_k p_ik dP_ik)
    dQ_i  = scale * sum_j dS_ij k_j
    dK_j  = scale * sum_i dS_ij q_i
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float, check_arguments, like_query
from trueband.reference.attention import Rows, global_rows, local_rows


class BandAttentionGradients(NamedTuple):
    """Gradients of sum(output * grad_output).

    Attributes:
        query, key, value: (b, h, n, d).
        query_global, key_global, value_global: (b, h, n, d), or None where the argument was None: the rows of
            global tokens then add to query, key, value.
        head_mask: (h,).
    """

    query: Float
    key: Float
    value: Float
    query_global: Float | None
    key_global: Float | None
    value_global: Float | None
    head_mask: Float


def band_attention_vjp(
    query: NDArray[Any],
    key: NDArray[Any],
    value: NDArray[Any],
    grad_output: NDArray[Any],
    **options: Any,
) -> BandAttentionGradients:
    """Gradients of `band_attention` for a gradient of its output, in float64.

    Args:
        query, key, value: (b, h, n, d).
        grad_output: (b, h, n, d). What it holds in rows of masked tokens changes nothing.
        options: the keyword arguments of `band_attention`.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".
    """
    a = check_arguments(query, key, value, **options)
    grad_output = like_query("grad_output", grad_output, query)
    grad_output = np.where(a.real[:, None, :, None], grad_output, 0).astype(np.float64, order="C")
    weights = a.head_mask[:, None, None]

    local, global_ = local_rows(a), global_rows(a)
    gradients = rows_vjp(local, a.query, a.key, a.value, grad_output * weights, a.scale)
    gradients_global = rows_vjp(global_, a.query_global, a.key_global, a.value_global, grad_output * weights, a.scale)

    def split(name: str, grad: Float, grad_global: Float) -> tuple[Float, Float | None]:
        """Apart where the rows of global tokens have an input of their own, one sum where they share it."""
        return (grad + grad_global, None) if options.get(f"{name}_global") is None else (grad, grad_global)

    query_, key_, value_ = map(split, ("query", "key", "value"), gradients, gradients_global)
    unweighted = local.probabilities @ a.value + global_.probabilities @ a.value_global
    return BandAttentionGradients(
        query=query_[0], key=key_[0], value=value_[0],
        query_global=query_[1], key_global=key_[1], value_global=value_[1],
        head_mask=(unweighted * grad_output).sum(axis=(0, 2, 3)),
    )  # fmt: skip


def rows_vjp(
    rows: Rows, query: Float, key: Float, value: Float, grad_output: Float, scale: float
) -> tuple[Float, Float, Float]:
    """Gradients (dQ, dK, dV) of one kind of rows."""
    p = rows.probabilities
    grad_p = grad_output @ value.swapaxes(-1, -2)
    grad_s = p * (grad_p - (p * grad_p).sum(axis=-1, keepdims=True))
    grad_query = scale * (grad_s @ key)
    grad_key = scale * (grad_s.swapaxes(-1, -2) @ query)
    grad_value = p.swapaxes(-1, -2) @ grad_output
    return grad_query, grad_key, grad_value

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

from trueband.reference.arguments import Float, check_arguments
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
    if not isinstance(grad_output, np.ndarray) or grad_output.shape != query.shape:
        got = getattr(grad_output, "shape", type(grad_output).__name__)
        raise ValueError(f"grad_output: expected the shape of query, {query.shape}, got {got}")
    grad_output = np.where(a.real[:, None, :, None], grad_output, 0).astype(np.float64)
    weights = a.head_mask[:, None, None]

    local, global_ = local_rows(a), global_rows(a)
    gradients = rows_vjp(local, a.query, a.key, a.value, grad_output * weights, a.scale)
    gradients_global = rows_vjp(global_, a.query_global, a.key_global, a.value_global, grad_output * weights, a.scale)
    names = ("query", "key", "value")
    own = {f"{name}_global": options.get(f"{name}_global") is not None for name in names}
    total, separate = {}, {}
    for name, grad, grad_global in zip(names, gradients, gradients_global, strict=True):
        has_own = own[f"{name}_global"]
        total[name] = grad if has_own else grad + grad_global
        separate[f"{name}_global"] = grad_global if has_own else None
    unweighted = local.probabilities @ a.value + global_.probabilities @ a.value_global
    return BandAttentionGradients(**total, **separate, head_mask=(unweighted * grad_output).sum(axis=(0, 2, 3)))


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

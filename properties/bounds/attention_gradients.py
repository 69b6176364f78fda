"""Element-wise bounds on the gradients of `band_attention`, derived in the way of the forward bound.

A backward pass that follows the reference's formulas, in any order of summation, rounds as follows (u, u_p, tiny, E
as in the forward bound; N_j: the rows that attend key j; dO already times the head mask):

  recomputed p   dp_ij = p_ij [ E_ij + sum_k p_ik E_ik + (2 n_i + 3) u + u (|m_i| + log Z_i) + u_p ] * growth + tiny_p
                 the log-sum-exp is stored in the accumulator's format: its rounding is an error of the exponent
  dP = dO . v    F_ij = (d + 1) u sum_c |dO_ic v_jc|
  D_i            G_i is the larger of two errors, B the forward bound:
                 sum_c |dO_ic| B_ic + (d + 1) u sum_c |dO_ic o_ic|                       D_i = sum_c dO_ic o_ic
                 sum_j (dp_ij |dP_ij| + p_ij F_ij + (n_i + 1) u p_ij |dP_ij|)            D_i = sum_j p_ij dP_ij
  dS             H_ij = dp_ij (|dP_ij - D_i| + F_ij + G_i) + p_ij (F_ij + G_i) + (3 u + u_p) |dS_ij|
  dV_j           sum_i dp_ij |dO_ic| + (N_j + 1) u sum_i p_ij |dO_ic|
  dQ_i           |scale| [ sum_j H_ij |k_jc| + (n_i + 2) u sum_j |dS_ij k_jc| ]
  dK_j           |scale| [ sum_i H_ij |q_ic| + (N_j + 2) u sum_i |dS_ij q_ic| ]

where (k + 1) u of a matrix product stands for (k + 1) u + c, c as in the forward bound. Every result is rounded once
more, u_o |result| + tiny_o. What underflows on the way (dS, a product) is the term
"underflow": for dQ_i |scale| tiny_p sum_{j visible} |k_jc| + n_i tiny, for dK_j the same with q_ic and N_j. Where the
rows of global tokens share the inputs of the local rows, the two gradients are rounded apart and added.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trueband.properties.bounds.attention import Softmax, rows_bound, softmax_errors
from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.arguments import Arguments
from trueband.reference.attention import Rows, global_rows, local_rows
from trueband.reference.attention_vjp import rows_vjp

INPUTS = ("query", "key", "value")


def attention_gradient_bounds(
    arguments: Arguments, grad_output: Float, precision: Precision, separate: tuple[bool, bool, bool] | None = None
) -> dict[str, Bound]:
    """Bounds on the gradients of query, key, value and of query_global, key_global, value_global, (b, h, n, d) each.

    Args:
        grad_output: (b, h, n, d); rows of masked tokens do not matter.
        separate: whether query_global, key_global, value_global were given; those that were not have no entry, and
            their gradient is part of the local one. None: all were given.
    """
    a, separate = arguments, separate or (True, True, True)
    grad_output = np.where(a.real[:, None, :, None], grad_output, 0.0)
    local = _rows_gradient_bounds(local_rows(a), (a.query, a.key, a.value), a, grad_output, precision)
    global_ = _rows_gradient_bounds(
        global_rows(a), (a.query_global, a.key_global, a.value_global), a, grad_output, precision
    )
    bounds: dict[str, Bound] = {}
    for name, own, (bound, size), (bound_global, size_global) in zip(INPUTS, separate, local, global_, strict=True):
        if own:
            bounds[name], bounds[f"{name}_global"] = bound, bound_global
        else:
            sum_rounding = Bound({"output": (precision.output + precision.accumulator) * (size + size_global)})
            bounds[name] = bound + bound_global + sum_rounding
    return bounds


class RowSums(NamedTuple):
    """What the backward pass of one kind of rows begins with, and its errors.

    Attributes:
        softmax: of the forward pass.
        p_error: dp_ij, (b, h, n, n).
        grad_p, grad_p_error: dP_ij and F_ij, (b, h, n, n).
        delta, delta_error: D_i and G_i, (b, h, n, 1).
    """

    softmax: Softmax
    p_error: Float
    grad_p: Float
    grad_p_error: Float
    delta: Float
    delta_error: Float


def row_sums(
    rows: Rows, inputs: tuple[Float, Float, Float], arguments: Arguments, grad_output: Float, precision: Precision
) -> RowSums:
    """For one kind of rows, up to D_i."""
    query, key, value = inputs
    u, u_p, tiny, c = precision.accumulator, precision.stored, precision.tiny_stored, precision.product
    head_dim, p = query.shape[-1], rows.probabilities
    softmax = softmax_errors(rows, query, key, arguments.scale, precision)
    forward = rows_bound(rows, query, key, value, arguments, precision).total
    raw_grad, grad_output = np.abs(grad_output), grad_output * arguments.head_mask[:, None, None]
    size = np.abs(grad_output)

    log_sum_exp = np.abs(softmax.row_max) + np.log(softmax.normaliser)
    relative = (
        softmax.argument
        + (p * softmax.argument).sum(axis=-1, keepdims=True)
        + u * (2 * softmax.keys + 3 + log_sum_exp)
        + u_p
    )
    with np.errstate(invalid="ignore"):
        p_error = np.where(softmax.growth == np.inf, 1.0, np.minimum(p * relative * softmax.growth, 1.0))
    p_error = np.where(rows.visible, p_error + tiny, 0.0)

    grad_p = grad_output @ value.swapaxes(-1, -2)
    grad_p_error = ((head_dim + 1) * u + c) * (size @ np.abs(value).swapaxes(-1, -2))
    delta = (p * grad_p).sum(axis=-1, keepdims=True)
    delta_from_output = (raw_grad * forward).sum(-1, keepdims=True) + (head_dim + 1) * u * (
        raw_grad * np.abs(rows.output)
    ).sum(-1, keepdims=True)
    delta_from_rows = (p_error * np.abs(grad_p) + p * grad_p_error + (softmax.keys + 1) * u * p * np.abs(grad_p)).sum(
        -1, keepdims=True
    )
    delta_error = np.maximum(delta_from_output, delta_from_rows)
    return RowSums(softmax, p_error, grad_p, grad_p_error, delta, delta_error)


def _rows_gradient_bounds(
    rows: Rows, inputs: tuple[Float, Float, Float], arguments: Arguments, grad_output: Float, precision: Precision
) -> list[tuple[Bound, Float]]:
    """For dQ, dK, dV of one kind of rows: the bound, and the size of the exact gradient."""
    query, key, value = inputs
    u, u_p, tiny, c = precision.accumulator, precision.stored, precision.tiny_stored, precision.product
    scale, p = abs(arguments.scale), rows.probabilities
    softmax, p_error, grad_p, grad_p_error, delta, delta_error = row_sums(
        rows, inputs, arguments, grad_output, precision
    )
    grad_output = grad_output * arguments.head_mask[:, None, None]
    size = np.abs(grad_output)

    grad_s = p * (grad_p - delta)
    around = grad_p_error + delta_error
    grad_s_error = p_error * (np.abs(grad_p - delta) + around) + p * around + (3 * u + u_p) * np.abs(grad_s)
    grad_s_error = np.where(rows.visible, grad_s_error, 0.0)

    attended_by = rows.visible.sum(axis=-2)[..., None].astype(float)  # N_j, (b, h, n, 1)
    transposed = (p.swapaxes(-1, -2), p_error.swapaxes(-1, -2))
    exact_query, exact_key, exact_value = rows_vjp(rows, query, key, value, grad_output, arguments.scale)
    grad_s_size = np.abs(grad_s)
    query_terms = {
        "score gradient": scale * (grad_s_error @ np.abs(key)),
        "sum": scale * ((softmax.keys + 2) * u + c) * (grad_s_size @ np.abs(key)),
    }
    key_terms = {
        "score gradient": scale * (grad_s_error.swapaxes(-1, -2) @ np.abs(query)),
        "sum": scale * ((attended_by + 2) * u + c) * (grad_s_size.swapaxes(-1, -2) @ np.abs(query)),
    }
    value_terms = {
        "probability": transposed[1] @ size,
        "sum": ((attended_by + 1) * u + c) * (transposed[0] @ size),
    }
    seen = rows.visible.astype(float)
    finished = []
    for terms, exact, count, lost in (
        (query_terms, exact_query, softmax.keys, scale * tiny * (seen @ np.abs(key))),
        (key_terms, exact_key, attended_by, scale * tiny * (seen.swapaxes(-1, -2) @ np.abs(query))),
        (value_terms, exact_value, attended_by, np.zeros_like(exact_value)),
    ):
        terms["output"] = precision.output * np.abs(exact)
        terms["underflow"] = lost + (count > 0) * precision.tiny_output + count * precision.tiny_accumulator
        finished.append((Bound(terms, count.astype(np.int64)), np.abs(exact)))
    return finished

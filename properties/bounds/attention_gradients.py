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


class Part(NamedTuple):
    """What some rows give to one gradient. Of disjoint rows the parts of a key's gradient add up, field by field.

    Rows whose dO is 0 give nothing at all: their dP, D and dS are sums of products with 0, which are 0 in any order,
    and an addition of 0 rounds nothing. They need not be counted.

    Attributes:
        exact: the gradient, (b, h, n, d).
        error: what the errors of p (dV) or of dS (dQ, dK) do to it, (b, h, n, d).
        size: sum of the sizes of its terms, (b, h, n, d).
        lost: what underflow of dS does to it, (b, h, n, d).
        number: of its terms, (b, h, n, 1).
    """

    exact: Float
    error: Float
    size: Float
    lost: Float
    number: Float


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
    local = gradient_parts(local_rows(a), (a.query, a.key, a.value), a, grad_output, precision)
    global_ = gradient_parts(global_rows(a), (a.query_global, a.key_global, a.value_global), a, grad_output, precision)
    bounds: dict[str, Bound] = {}
    for name, own, part, part_global in zip(INPUTS, separate, local, global_, strict=True):
        bounds |= bounds_of_parts(name, part, part_global, own, precision)
    return bounds


def bounds_of_parts(name: str, local: Part, global_: Part, separate: bool, precision: Precision) -> dict[str, Bound]:
    """The bound on the gradient of `name`, and of `name`_global where that is separate, of all rows of both kinds."""
    bound, bound_global = _finished(name, local, precision), _finished(name, global_, precision)
    if separate:
        return {name: bound, f"{name}_global": bound_global}
    sizes = np.abs(local.exact) + np.abs(global_.exact)
    return {name: bound + bound_global + Bound({"output": (precision.output + precision.accumulator) * sizes})}


def _finished(name: str, part: Part, precision: Precision) -> Bound:
    """The bound on one gradient of one kind of rows."""
    u, of_p = precision.accumulator, name == "value"
    terms = {
        "probability" if of_p else "score gradient": part.error,
        "sum": ((part.number + (1 if of_p else 2)) * u + precision.product) * part.size,
        "output": precision.output * np.abs(part.exact),
        "underflow": part.lost + (part.number > 0) * precision.tiny_output + part.number * precision.tiny_accumulator,
    }
    return Bound(terms, part.number.astype(np.int64))


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


def gradient_parts(
    rows: Rows, inputs: tuple[Float, Float, Float], arguments: Arguments, grad_output: Float, precision: Precision
) -> tuple[Part, Part, Part]:
    """For dQ, dK, dV what one kind of rows gives. There may be fewer rows than keys."""
    query, key, value = inputs
    u, u_p, tiny = precision.accumulator, precision.stored, precision.tiny_stored
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
    exact_query, exact_key, exact_value = rows_vjp(rows, query, key, value, grad_output, arguments.scale)
    grad_s_size, seen, key_size, query_size = np.abs(grad_s), rows.visible.astype(float), np.abs(key), np.abs(query)
    return (
        Part(
            exact_query,
            scale * (grad_s_error @ key_size),
            scale * (grad_s_size @ key_size),
            scale * tiny * (seen @ key_size),
            softmax.keys,
        ),
        Part(
            exact_key,
            scale * (grad_s_error.swapaxes(-1, -2) @ query_size),
            scale * (grad_s_size.swapaxes(-1, -2) @ query_size),
            scale * tiny * (seen.swapaxes(-1, -2) @ query_size),
            attended_by,
        ),
        Part(
            exact_value,
            p_error.swapaxes(-1, -2) @ size,
            p.swapaxes(-1, -2) @ size,
            np.zeros_like(exact_value),
            attended_by,
        ),
    )

"""Element-wise bounds on the gradients of `band_attention`, derived in the way of the forward bound.

A backward pass that follows the reference's formulas, in any order of summation, rounds as follows (u, u_p, w, tiny, E
as in the forward bound; N_j: the rows that attend key j; dO already times the head mask; dl the gradient of lse):

  recomputed p   dp_ij = p_ij [ E_ij + sum_k p_ik E_ik + (2 n_i + 3) u + u (|m_i| + log Z_i) + u_p ] * growth + tiny_p
                 the log-sum-exp is stored in the accumulator's format: its rounding is an error of the exponent. With a
                 sink, the sum has its p_i E_i, n_i counts it, and dp_i is the same with E_i
  dP = dO . v    F_ij = (e + 1) u sum_c |dO_ic v_jc| + w |dP_ij|
  D_i            G_i is the larger of two errors, B the forward bound:
                 sum_c |dO_ic| B_ic + (e + 1) u sum_c |dO_ic o_ic|                       D_i = sum_c dO_ic o_ic
                 sum_j (dp_ij |dP_ij| + p_ij F_ij + (n_i + 1) u p_ij |dP_ij|)            D_i = sum_j p_ij dP_ij
  D_i - dl_i     G_i + u (|D_i| + 2 |dl_i|) where lse is used
  dS             H_ij = dp_ij (|dP_ij - D_i + dl_i| + F_ij + G_i) + p_ij (F_ij + G_i) + (3 u + u_p + 2 w) |dS_ij|
  softcap        J_ij = 2 |y_ij| C_ij / c + (C_ij / c)^2 + 2 u, the error of 1 - y_ij^2; H_ij becomes
                 H_ij (1 - y_ij^2 + J_ij) + |dS_ij| J_ij + (2 u + 3 w) |dT_ij|
  dV_j           sum_i dp_ij |dO_ic| + (N_j + 1) u sum_i p_ij |dO_ic|
  dQ_i           |scale| [ sum_j H_ij |k_jc| + (n_i + 2) u sum_j |dT_ij k_jc| ]
  dK_j           |scale| [ sum_i H_ij |q_ic| + (N_j + 2) u sum_i |dT_ij q_ic| ]

where (k + 1) u of a matrix product stands for (k + 1) u + c, c as in the forward bound. Every result is rounded once
more, u_o |result| + tiny_o. What underflows on the way (dS, a product) is the term
"underflow": for dQ_i |scale| tiny_p sum_{j visible} |k_jc| + n_i tiny, for dK_j the same with q_ic and N_j. Where the
rows of global tokens share the inputs of the local rows, the two gradients are rounded apart and added. So are those of
r > 1 query heads that read one head of keys: u_o and tiny_o for each of them, N_j of all of them, and r more. Of stored
scores each operation from dP back to the products may underflow: tiny_s in dP, and |scale| (1 + 2 / c) tiny_s + tiny_s
beside |scale| tiny_p.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.attention import Softmax, not_damped, rows_bound, softmax_errors
from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.arguments import Arguments
from trueband.reference.attention import Rows, global_rows, local_rows
from trueband.reference.attention_vjp import damping, rows_vjp, sum_of_group

INPUTS = ("query", "key", "value")


class Part(NamedTuple):
    """What some rows give to one gradient. Of disjoint rows the parts of a key's gradient add up, field by field.

    Rows whose dO is 0 give nothing at all: their dP, D and dS are sums of products with 0, which are 0 in any order,
    and an addition of 0 rounds nothing. They need not be counted.

    Attributes:
        exact: the gradient, (b, h, n, d).
        error: what the errors of p (dV) or of dS (dQ, dK) do to it, (b, h, n, d); of a sum over query heads also that
            each of them may be rounded before.
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
    arguments: Arguments,
    grad_output: Float,
    precision: Precision,
    separate: tuple[bool, bool, bool] | None = None,
    grad_lse: Float | None = None,
) -> dict[str, Bound]:
    """Bounds on the gradients of query, key, value and of query_global, key_global, value_global, each of its shape.

    Args:
        grad_output: (b, h, m, e); rows of masked tokens do not matter.
        separate: whether query_global, key_global, value_global were given; those that were not have no entry, and
            their gradient is part of the local one. None: all were given.
        grad_lse: (b, h, m), the gradient of lse; None: it is not used.
    """
    a, separate = arguments, separate or (True, True, True)
    grad_output, grad_lse = of_real_rows(a, grad_output, grad_lse)
    local, global_ = (
        of_groups(gradient_parts(rows, inputs, a, grad_output, precision, grad_lse), a.group, precision)
        for rows, inputs in (
            (local_rows(a), (a.query, a.key, a.value)),
            (global_rows(a), (a.query_global, a.key_global, a.value_global)),
        )
    )
    bounds: dict[str, Bound] = {}
    for name, own, part, part_global in zip(INPUTS, separate, local, global_, strict=True):
        bounds |= bounds_of_parts(name, part, part_global, own, precision)
    return bounds


def of_real_rows(a: Arguments, grad_output: Float, grad_lse: Float | None) -> tuple[Float, Float | None]:
    """Both with 0 in the rows of masked tokens."""
    real = a.real_queries[:, None]
    grad_output = np.where(real[..., None], grad_output, 0.0)
    return grad_output, None if grad_lse is None else np.where(real, grad_lse, 0.0)


def of_groups(parts: tuple[Part, Part, Part], group: int, precision: Precision) -> tuple[Part, Part, Part]:
    """The same with dK and dV summed over the query heads that read each head of keys."""
    if group == 1:
        return parts
    query, key, value = parts
    return query, of_group(key, group, precision), of_group(value, group, precision)


def of_group(part: Part, group: int, precision: Precision) -> Part:
    """The sum over the query heads of each head of keys. Each may be rounded to the dtype of the result before."""
    apart = sum_of_group(precision.output * np.abs(part.exact) + precision.tiny_output, group)
    exact, error, size, lost, number = (sum_of_group(each, group) for each in part)
    return Part(exact, error + apart, size, lost, number + group)


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
        p_error: dp_ij, (b, h, m, n).
        sink_error: dp_i, (b, h, m, 1); 0 for a row without a sink.
        grad_p, grad_p_error: dP_ij and F_ij, (b, h, m, n).
        delta, delta_error: D_i and G_i, (b, h, m, 1).
    """

    softmax: Softmax
    p_error: Float
    sink_error: Float
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
    w = precision.scores / (1 - 8 * precision.scores)
    value_dim, p = value.shape[-1], rows.probabilities
    softmax = softmax_errors(rows, query, key, arguments.scale, precision)
    forward = rows_bound(rows, query, key, value, arguments, precision).total
    raw_grad, grad_output = np.abs(grad_output), grad_output * arguments.head_mask[:, None, None]
    size = np.abs(grad_output)

    log_sum_exp = np.abs(softmax.row_max) + np.log(softmax.normaliser)
    common = softmax.mean_error(p) + u * (2 * softmax.terms + 3 + log_sum_exp) + u_p

    def error_of(p: Float, argument: Float, there: NDArray[np.bool_]) -> Float:
        """dp of keys or of the sink."""
        with np.errstate(invalid="ignore"):
            error = np.minimum(p * (argument + common) * softmax.growth, 1.0)
        return np.where(there, np.where(softmax.growth == np.inf, 1.0, error) + tiny, 0.0)

    p_error = error_of(p, softmax.argument, rows.visible)
    sink_error = error_of(softmax.sink_probability, softmax.sink, softmax.sinks > 0)

    grad_p = grad_output @ value.swapaxes(-1, -2)
    grad_p_error = ((value_dim + 1) * u + c) * (size @ np.abs(value).swapaxes(-1, -2)) + w * np.abs(grad_p)
    grad_p_error = grad_p_error + precision.tiny_scores * (w > 0)
    delta = (p * grad_p).sum(axis=-1, keepdims=True)
    delta_from_output = (raw_grad * forward).sum(-1, keepdims=True) + (value_dim + 1) * u * (
        raw_grad * np.abs(rows.output)
    ).sum(-1, keepdims=True)
    delta_from_rows = (p_error * np.abs(grad_p) + p * grad_p_error + (softmax.terms + 1) * u * p * np.abs(grad_p)).sum(
        -1, keepdims=True
    )
    delta_error = np.maximum(delta_from_output, delta_from_rows)
    return RowSums(softmax, p_error, sink_error, grad_p, grad_p_error, delta, delta_error)


class ScoreGradients(NamedTuple):
    """What the backward pass of one kind of rows goes on with.

    Attributes:
        sums: what it began with.
        delta, delta_error: D_i - dl_i and its error, (b, h, m, 1).
        exact, error: dS_ij and H_ij, (b, h, m, n), before the derivative of the softcap.
    """

    sums: RowSums
    delta: Float
    delta_error: Float
    exact: Float
    error: Float


def score_gradients(
    rows: Rows,
    inputs: tuple[Float, Float, Float],
    arguments: Arguments,
    grad_output: Float,
    precision: Precision,
    grad_lse: Float | None = None,
) -> ScoreGradients:
    """For one kind of rows, up to dS."""
    u, w = precision.accumulator, precision.scores / (1 - 8 * precision.scores)
    sums, p = row_sums(rows, inputs, arguments, grad_output, precision), rows.probabilities
    delta, delta_error = sums.delta, sums.delta_error
    if grad_lse is not None:
        of_lse = grad_lse[..., None]
        delta, delta_error = delta - of_lse, delta_error + u * (np.abs(delta) + 2 * np.abs(of_lse))
    exact = p * (sums.grad_p - delta)
    around = sums.grad_p_error + delta_error
    error = sums.p_error * (np.abs(sums.grad_p - delta) + around) + p * around
    error = error + (3 * u + precision.stored + 2 * w) * np.abs(exact)
    return ScoreGradients(sums, delta, delta_error, exact, np.where(rows.visible, error, 0.0))


def gradient_parts(
    rows: Rows,
    inputs: tuple[Float, Float, Float],
    arguments: Arguments,
    grad_output: Float,
    precision: Precision,
    grad_lse: Float | None = None,
) -> tuple[Part, Part, Part]:
    """For dQ, dK, dV what one kind of rows gives, of each query head. There may be fewer rows than keys."""
    query, key, value = inputs
    scale, p, tiny = abs(arguments.scale), rows.probabilities, precision.tiny_stored
    gradients = score_gradients(rows, inputs, arguments, grad_output, precision, grad_lse)
    softmax, p_error = gradients.sums.softmax, gradients.sums.p_error
    stays = np.abs(grad_output) * not_damped(arguments.head_mask[:, None, None])
    grad_output = grad_output * arguments.head_mask[:, None, None]
    size = np.abs(grad_output)
    grad_t, grad_t_error = gradients.exact, gradients.error
    if rows.softcap is not None and softmax.tangent is not None:
        u, w = precision.accumulator, precision.scores / (1 - 8 * precision.scores)
        damped = damping(query, key, arguments.scale, rows.softcap)
        tangent = np.where(rows.visible, softmax.tangent, 0.0)
        damped_error = 2 * np.sqrt(1 - damped) * tangent + tangent**2 + 2 * u
        grad_t = grad_t * damped
        grad_t_error = grad_t_error * (damped + damped_error) + np.abs(gradients.exact) * damped_error
        grad_t_error = grad_t_error + (2 * u + 3 * w) * np.abs(grad_t)

    lost = scale * tiny
    if precision.scores:  # underflow after each operation back to the products
        lost += (scale * (1 + (2 / rows.softcap if rows.softcap else 0.0)) + 1) * precision.tiny_scores
    attended_by = rows.visible.sum(axis=-2)[..., None].astype(float)  # N_j, (b, h, n, 1)
    exact = rows_vjp(rows, query, key, value, grad_output, arguments.scale, grad_lse)
    grad_t_size, seen, key_size, query_size = np.abs(grad_t), rows.visible.astype(float), np.abs(key), np.abs(query)
    return (
        Part(
            exact.query,
            scale * (grad_t_error @ key_size),
            scale * (grad_t_size @ key_size),
            lost * (seen @ key_size),
            softmax.keys,
        ),
        Part(
            exact.key,
            scale * (grad_t_error.swapaxes(-1, -2) @ query_size),
            scale * (grad_t_size.swapaxes(-1, -2) @ query_size),
            lost * (seen.swapaxes(-1, -2) @ query_size),
            attended_by,
        ),
        Part(
            exact.value,
            p_error.swapaxes(-1, -2) @ size,
            p.swapaxes(-1, -2) @ size,
            tiny * (seen.swapaxes(-1, -2) @ stays),
            attended_by,
        ),
    )

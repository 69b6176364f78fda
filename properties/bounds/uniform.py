"""Bounds where all weights of a row are equal, because the queries (or the keys) are 0: closed forms in n_i.

Every score is a sum of products with 0, and 0 in any order: E_ij = c_e u, p_ij = 1/n_i, m_i = 0. What is left
of the general bounds (see `attention` and `attention_gradients`, whose names are kept) depends on n_i and on sums over
the visible keys alone. The backward pass is bounded for dO_i that is g_i >= 0 in one channel and 0 in the others, and
values that are a_j >= 0 in all channels, a_j <= a:

  dP_ij = g_i a_j        F_ij <= F_i = ((d + 1) u + c) g_i a        |dP_ij - D_i| <= g_i a

with g_i times the head mask but in what D_i takes from the output. Sums of sizes over visible keys are bounded by their
number times the largest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trueband.properties.bounds.attention import Sums, bound_of_sums
from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision


def uniform_bound(keys: Float, size: Float, output: Float, head_mask: Float | float, precision: Precision) -> Bound:
    """The bound on the output.

    Args:
        keys: n_i, (n, 1); 0 for rows that see nothing.
        size: mean of |v_jc| over the visible keys, (n, d).
        output: |mean of v_jc|, (n, d), before the head mask.
        head_mask: of the head.
    """
    argument = precision.accumulator * precision.exp_result
    score = np.exp(4 * argument) * argument * (size + output)
    return bound_of_sums(Sums(keys, score, size, output, keys * size), np.asarray(head_mask), precision)


class RowErrors(NamedTuple):
    """Errors of one kind of rows in the backward pass, (n, 1) each; 0 for rows that see nothing.

    Attributes:
        probability: dp_ij, the same for all visible keys.
        score_gradient: H_ij, at most.
        score_gradient_size: |dS_ij|, at most.
    """

    probability: Float
    score_gradient: Float
    score_gradient_size: Float


def uniform_row_errors(
    keys: Float, grad: Float, mean: Float, largest: float, head_mask: float, head_dim: int, precision: Precision
) -> RowErrors:
    """Errors of the probabilities and of the gradients of the scores.

    Args:
        keys: n_i, (n, 1).
        grad: g_i, (n, 1), before the head mask.
        mean: of a_j over the visible keys, (n, 1).
        largest: a.
    """
    u, u_p, c, weight = precision.accumulator, precision.stored, precision.product, abs(head_mask)
    count = np.maximum(keys, 1.0)
    argument, p = u * precision.exp_result, 1 / count
    relative = 2 * argument + u * (2 * keys + 3 + np.log(count)) + u_p
    p_error = np.minimum(p * relative * np.exp(4 * argument), 1.0) + precision.tiny_stored

    forward = uniform_bound(keys, mean, mean, head_mask, precision).total
    product_error = (head_dim + 1) * u
    from_output = grad * forward + product_error * grad * weight * mean
    grad_p_error = (product_error + c) * weight * grad * largest  # F
    from_rows = weight * grad * mean * (p_error * count + (keys + 1) * u) + grad_p_error
    around = grad_p_error + np.maximum(from_output, from_rows)  # F + G

    size = p * weight * grad * largest
    error = p_error * (weight * grad * largest + around) + p * around + (3 * u + u_p) * size
    return RowErrors(*(np.where(keys > 0, each, 0.0) for each in (p_error, error, size)))

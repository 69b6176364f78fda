"""Errors of the scores (docs/verification.md, section 2.3): products, softcap and slopes, in any order of summation.

With u the accumulator's roundoff, t the products, s the scores, b = -slope |a_i - j|, and u_s for a target that stores
its scores in a narrow format after each operation (0 otherwise; w stands for u_s / (1 - 8 u_s)):

  products     D_ij = |scale| ((d + 2) u + c) sum_t |q_it k_jt| + 2 w |t_ij|
  softcap      C_ij = D_ij min(1, 1 - y_ij^2 + 0.77 D_ij / c) + u (c_t c + 5 |c y_ij|) + 3 w |c y_ij|
               with y_ij = tanh(t_ij / c); 0.77 is more than half of the largest second derivative of 2 tanh
  slopes       A_ij = C_ij + (3 u + 2 w) |b_ij| + (u + w) |s_ij|

tanh(x) may be computed as 2 sigmoid(2 x) - 1, whose error is absolute: c_t = 9. Five roundings, each relative to the
result at most, since tanh is concave: the softcap itself twice, its reciprocal, and two products. A slope is rounded
with what it is multiplied by, then the product, then the sum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trueband.properties.bounds.bound import Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.attention import Rows


class ScoreErrors(NamedTuple):
    """Errors of the scores of one kind of rows, (b, h, m, n); what is not visible does not matter.

    Attributes:
        score: A_ij.
        tangent: of y_ij = tanh(t_ij / c): C_ij / c; None without a softcap.
    """

    score: Float
    tangent: Float | None


def score_errors(
    rows: Rows, query: Float, key: Float, scale: float, precision: Precision, exact_products: bool = False
) -> ScoreErrors:
    """From the inputs and the exact scores.

    Args:
        exact_products: every q_i . k_j is exact in every format: D_ij = c_x u |t_ij| + 2 w |t_ij|.
    """
    u, w = precision.accumulator, precision.scores / (1 - 8 * precision.scores)
    visible, bias, cap = rows.visible, rows.bias, rows.softcap
    shown = np.where(visible, rows.scores, 0.0)
    products = shown if bias is None and cap is None else scale * (query @ key.swapaxes(-1, -2))
    if exact_products:
        error = precision.exp_argument * u * np.abs(products)
    else:
        head_dim = query.shape[-1]
        error = ((head_dim + 2) * u + precision.product) * abs(scale) * (np.abs(query) @ np.abs(key).swapaxes(-1, -2))
    if w:
        error = (1 + 8 * w) * error + 2 * w * np.abs(products) + 8 * max(1.0, abs(scale)) * precision.tiny_scores
    tangent = None
    if cap is not None:
        y = np.tanh(products / cap)
        slope = np.minimum(1.0, 1 - y**2 + 0.77 * error / cap)
        error = error * slope + u * (precision.tanh_result * cap + 5 * cap * np.abs(y)) + 3 * w * cap * np.abs(y)
        tangent = error / cap
    if bias is not None:
        error = error + (3 * u + 2 * w) * np.abs(bias) + (u + w) * np.abs(shown)
    return ScoreErrors(error, tangent)

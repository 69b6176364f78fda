"""Bounds on the gradients of sinks and slopes, sums over all rows, derived in the way of the other gradients.

With dl the gradient of lse, D_i, H_ij, dp_i as in `attention_gradients`, p_i what row i leaves to the sink, G_i the
error of D_i - dl_i, R the number of rows (of pairs of row and key) of a head, w as in `scores`:

  dsink = sum_i p_i (dl_i - D_i)
     (1 + R u) sum_i [ dp_i (|D_i - dl_i| + G_i) + p_i G_i + (3 u + u_p + w) p_i |D_i - dl_i| ]
     + (R + 1) u sum_i p_i |D_i - dl_i|
  dslope = -sum_ij dS_ij |a_i - j|
     (1 + R u) sum_ij H_ij |a_i - j| + (R + 3) u sum_ij |dS_ij| |a_i - j|

A kernel may round each product to the dtype of the inputs before the sum: u_p; H has it. The result is rounded once
more, u_o |result|.
"""

from __future__ import annotations

import numpy as np

from trueband.properties.bounds.attention_gradients import of_real_rows, score_gradients
from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.arguments import Arguments
from trueband.reference.attention import local_rows

ROWS = (0, 2, 3)  # axes of (b, h, m, n) that the gradients sum over


def score_option_gradient_bounds(
    arguments: Arguments, grad_output: Float, precision: Precision, grad_lse: Float | None = None
) -> dict[str, Bound]:
    """Bounds on the errors of the gradients of sinks and slopes, (h,) each: of those that are given.

    Args:
        grad_output: (b, h, m, e); rows of masked tokens do not matter.
        grad_lse: (b, h, m), the same; None: lse is not used.
    """
    a, bounds = arguments, {}
    grad_output, grad_lse = of_real_rows(a, grad_output, grad_lse)
    rows, inputs = local_rows(a), (a.query, a.key, a.value)
    gradients = score_gradients(rows, inputs, a, grad_output, precision, grad_lse)
    u, w = precision.accumulator, precision.scores / (1 - 8 * precision.scores)
    if a.sinks is not None:
        p, p_error = gradients.sums.softmax.sink_probability, gradients.sums.sink_error
        off, size = gradients.delta_error, p * np.abs(gradients.delta)
        error = p_error * (np.abs(gradients.delta) + off) + p * off + (3 * u + precision.stored + w) * size
        total = (p * gradients.delta).sum(axis=ROWS)
        bounds["sinks"] = _summed(error, size, np.abs(total), float(p[:, 0].size), 1, np.zeros_like(total), precision)
    if a.slopes is not None:
        far, seen = a.distances, rows.visible
        size, total = np.abs(gradients.exact) * far, (gradients.exact * far).sum(axis=ROWS)
        pairs = float(seen.sum(axis=ROWS).max())
        lost = precision.tiny_stored * (seen * far).sum(axis=ROWS)
        bounds["slopes"] = _summed(gradients.error * far, size, np.abs(total), pairs, 3, lost, precision)
    return bounds


def _summed(
    error: Float, size: Float, result: Float, terms: float, more: int, lost: Float, precision: Precision
) -> Bound:
    """Of a sum over all rows (and keys) of a head, of so many terms."""
    u = precision.accumulator
    return Bound(
        {
            "score gradient": (1 + terms * u) * error.sum(axis=ROWS),
            "sum": (terms + more) * u * size.sum(axis=ROWS),
            "output": precision.output * result,
            "underflow": lost + (terms + 1) * precision.tiny_output + terms * precision.tiny_accumulator,
        }
    )

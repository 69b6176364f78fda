"""A bound on the gradient of the head mask, derived in the way of the bounds on the other gradients.

The exact gradient of head h is the sum over its real rows of D_i = sum_c dO_ic o_ic = sum_j p_ij dP_ij, all without the
head mask. A kernel may sum products of either kind, row by row or all at once, in any order (G_i: the error of one D_i,
as in `attention_gradients`; R: rows times channels of the head, or its pairs of row and key; u, u_o: roundoffs):

  sum_i G_i (1 + R u) + (R + 1) u sum_i max(sum_c |dO_ic o_ic|, sum_j p_ij |dP_ij|)

and where products are rounded to the dtype of the output before they are summed, u_o sum_i sum_c |dO_ic o_ic|. The
result is rounded once more, u_o |result|.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trueband.properties.bounds.attention_gradients import of_real_rows, row_sums
from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.arguments import Arguments
from trueband.reference.attention import global_rows, local_rows

ROWS = (0, 2, 3)  # axes of (b, h, m, e) that the gradient sums over


def head_mask_gradient_bound(arguments: Arguments, grad_output: Float, precision: Precision) -> Bound:
    """Bound on the error of the gradient of head_mask, (h,).

    Args:
        grad_output: (b, h, m, e); rows of masked tokens do not matter.
    """
    a = replace(arguments, head_mask=np.ones_like(arguments.head_mask))
    grad_output, _ = of_real_rows(a, grad_output, None)
    u, heads = precision.accumulator, len(a.head_mask)
    errors, products, pairs, exact = (np.zeros(heads) for _ in range(4))
    count = float(max(grad_output[:, 0].size, grad_output[:, 0, :, 0].size * a.key.shape[2]))
    for rows, inputs in (
        (local_rows(a), (a.query, a.key, a.value)),
        (global_rows(a), (a.query_global, a.key_global, a.value_global)),
    ):
        sums = row_sums(rows, inputs, a, grad_output, precision)
        errors += sums.delta_error.sum(axis=ROWS)
        exact += sums.delta.sum(axis=ROWS)
        products += np.abs(grad_output * rows.output).sum(axis=ROWS)
        pairs += (rows.probabilities * np.abs(sums.grad_p)).sum(axis=ROWS)
    return Bound(
        {
            "row sums": errors * (1 + count * u),
            "sum": (count + 1) * u * np.maximum(products, pairs),
            "stored products": precision.output * products,
            "output": precision.output * np.abs(exact),
            "underflow": np.full(heads, (count + 1) * precision.tiny_output + count * precision.tiny_accumulator),
        }
    )

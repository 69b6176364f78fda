"""Where a term that underflows may tip the rounding of a sum: two calls that differ by a power of two may differ there.

Otherwise such calls round alike, and agree bit for bit. A sum of terms, each a product that was rounded once (u: the
accumulator's roundoff), is a multiple of u times its least term, and so is a rescaled sum of u times that. Where the
least term is at least the smallest normal number over u^2, nothing on the way underflows. Where it is less, it may
become 0 in one of the calls; if the larger terms lie halfway between two numbers, that decides where they are rounded,
and the calls differ by as much as two correct ones may.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.bound import Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.arguments import Arguments
from trueband.reference.attention import global_rows, local_rows


def output_may_tip(arguments: Arguments, precision: Precision, factor: float) -> NDArray[np.bool_]:
    """(b, h, n, 1): rows of which a weight times a value may be small, as it is or with the values times `factor`.

    The weights are the same in both calls.
    """
    values = min(_least(arguments.value), _least(arguments.value_global))
    return least_weights(arguments) * values * min(1.0, factor) < precision.tiny_accumulator / precision.accumulator**2


def gradients_may_tip(arguments: Arguments, grad_output: Float, precision: Precision) -> dict[str, bool]:
    """For dQ, dK and dV ("query", "key", "value"), whether a term of any element may be small.

    dS = p (dP - D): dP is a multiple of u |dO v|, D of u p times that, their difference of u^2 p |dO v|; dS is stored,
    and in a narrow format underflows sooner.
    """
    a, u = arguments, precision.accumulator
    weight = float(least_weights(a).min())
    grad = _least(grad_output * a.head_mask[:, None, None])
    grad_scores = u**2 * weight**2 * grad * min(_least(a.value), _least(a.value_global))
    of_query, of_key = (
        abs(a.scale) * min(_least(one), _least(two)) for one, two in ((a.key, a.key_global), (a.query, a.query_global))
    )
    narrow = grad_scores * u < precision.tiny_stored
    least = precision.tiny_accumulator / u**2
    return {
        "query": narrow or grad_scores * of_query < least,
        "key": narrow or grad_scores * of_key < least,
        "value": weight * grad < least,
    }


def sum_of_parts_may_tip(arguments: Arguments, precision: Precision) -> bool:
    """Whether what local and global rows give to the gradient of an input that they share may underflow.

    The two are rounded to the dtype of the output apart, and added: one that underflows may tip their sum. In float16,
    whose least normal number is larger than its accumulator's.
    """
    return bool(arguments.is_global.any()) and precision.tiny_output > precision.tiny_accumulator


def least_weights(arguments: Arguments) -> Float:
    """(b, h, n, 1): the least probability that a row gives to a key that it attends; infinity for rows without keys."""
    least = [
        np.where(rows.visible, rows.probabilities, np.inf).min(axis=-1, keepdims=True)
        for rows in (local_rows(arguments), global_rows(arguments))
    ]
    return np.minimum(*least)


def _least(array: Float) -> float:
    """Of the sizes that are not 0; infinity where all are."""
    sizes = np.abs(array)
    return float(np.min(sizes, where=sizes > 0, initial=np.inf))

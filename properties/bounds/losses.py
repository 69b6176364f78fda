"""Bounds on the losses of the heads, for logits that are themselves off by a bound.

Each is a mean of N terms. u: the accumulator's roundoff, C: classes, e: the largest error of a logit.
"""

from __future__ import annotations

import math

import numpy as np

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision


def cross_entropy_bound(logits: Float, count: int, precision: Precision, error: Bound | None = None) -> Bound:
    """Of a mean of `count` cross-entropies of rows (..., C), at their worst row.

    With s the largest distance of a logit from the row's maximum: each difference and each exponential (1 + 3) u s +
    4 u, the sum C u, the logarithm 2 u log C, the last difference and the mean (count + 2) u times the loss, which is
    s + log C at most. log sum exp moves by e at most and the label's logit by e: 2 e.
    """
    classes, u = logits.shape[-1], precision.accumulator
    spread = float((logits.max(axis=-1) - logits.min(axis=-1)).max()) + math.log(classes)
    rounding = u * (4 * spread + 4 + classes + 2 * math.log(classes) + (count + 2) * spread)
    return _bound(rounding, 2 * _largest(error))


def binary_cross_entropy_bound(logits: Float, precision: Precision, error: Bound | None = None) -> Bound:
    """Of the mean of log(1 + exp(l)) - l y, labels from 0 to 1.

    Each term is made of numbers of |l| + log 2 at most, in 8 roundings; the mean has one for each term. The slope by
    a logit is 1 at most.
    """
    size = float(np.abs(logits).max()) + math.log(2)
    return _bound((8 + logits.size) * precision.accumulator * size, _largest(error))


def mean_squared_error_bound(logits: Float, labels: Float, precision: Precision, error: Bound | None = None) -> Bound:
    """Of the mean of (l - y)^2: 3 roundings of each square, one of the mean for each term, and 2 |l - y| e + e^2."""
    apart, e = float(np.abs(logits - labels).max()), _largest(error)
    return _bound((3 + logits.size) * precision.accumulator * apart**2, 2 * apart * e + e**2)


def _largest(error: Bound | None) -> float:
    return 0.0 if error is None else float(error.total.max())


def _bound(rounding: float, carried: float) -> Bound:
    return Bound({"rounding": np.array(rounding), "logits": np.array(carried)})

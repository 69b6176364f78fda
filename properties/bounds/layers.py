"""Element-wise bounds on the other layers of an encoder (docs/verification.md, section 2.3: L, N, G, R).

u is the accumulator's roundoff, u_o that of the output where it is narrower, dx the error that the input carries:

  linear      y = W x + b        (k + 1) u (|W| |x| + |b|) + |W| dx                                   k: inputs
  LayerNorm   y = g r (x - m) + b,  r = 1 / sqrt(var + eps);  c = x - m, n: size of the row
                 e = (n + 1) u mean|x| + u |c| + dx + mean dx                      error of the centred x
                 t = [(n + 4) u var + ((n + 1) u mean|x|)^2 + 2 mean(|c| a) + mean(a^2)] / (var + eps), a = dx + mean dx
                 |r^ / r - 1| <= s = t / 2 (1 - t)^(-3/2) + 3 u
                 |g| r e + |g| r (|c| + e) s + 3 u (|y - b| + |y|)
              for t < 1; for a larger t nothing is known
  GELU        y = x Phi(x)       1.129 dx + 8 u |x|        1.129 >= max|gelu'|; absolute in |x|: the tail cancels
  residual    y = x + a          u |y| + dx + da

and u_o |y| + tiny_o on every y. The mean and the variance may be summed in any order, the variance in two passes.
"""

from __future__ import annotations

import numpy as np

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.layers import gelu

GELU_SLOPE = 1.129  # max |gelu'| is 1.12890..., where x = sqrt(2)
GELU_ROUNDOFFS = 8  # erf within 4 units in the last place, the product, the sum and the argument


def linear_bound(x: Float, weight: Float, bias: Float, precision: Precision, error: Float | None = None) -> Bound:
    """Bound on x W^T + b: x (..., k), weight (m, k), bias (m,), error of x (..., k) or None -> (..., m)."""
    size = np.abs(x) @ np.abs(weight).T + np.abs(bias)
    terms = {"sum": (x.shape[-1] + 1) * precision.accumulator * size}
    if error is not None:
        terms["input"] = error @ np.abs(weight).T
    return _with_output(terms, x @ weight.T + bias, precision)


def layer_norm_bound(
    x: Float, weight: Float, bias: Float, eps: float, precision: Precision, error: Float | None = None
) -> Bound:
    """Bound on LayerNorm over the last axis: x (..., n), weight and bias (n,), error of x (..., n) or None."""
    u, n = precision.accumulator, x.shape[-1]
    error = np.zeros_like(x) if error is None else error
    centred = x - _mean(x)
    variance = _mean(centred**2)
    scale = 1 / np.sqrt(variance + eps)
    y = weight * centred * scale + bias

    mean_error = (n + 1) * u * _mean(np.abs(x))
    shift = error + _mean(error)
    centred_error = mean_error + u * np.abs(centred) + shift
    variance_error = ((n + 4) * u * variance + mean_error**2 + 2 * _mean(np.abs(centred) * shift) + _mean(shift**2)) / (
        variance + eps
    )
    known = variance_error < 1
    t = np.where(known, variance_error, 0.0)
    scale_error = np.where(known, t / 2 * (1 - t) ** -1.5 + 3 * u, np.inf)

    gain = np.abs(weight) * scale
    terms = {
        "mean": gain * centred_error,
        "variance": gain * (np.abs(centred) + centred_error) * scale_error,
        "scaling": 3 * u * (np.abs(y - bias) + np.abs(y)),
    }
    return _with_output(terms, y, precision)


def gelu_bound(x: Float, precision: Precision, error: Float | None = None) -> Bound:
    """Bound on the exact GELU of x, any shape."""
    terms = {"erf": GELU_ROUNDOFFS * precision.accumulator * np.abs(x)}
    if error is not None:
        terms["input"] = GELU_SLOPE * error
    return _with_output(terms, gelu(x), precision)


def residual_bound(
    x: Float, added: Float, precision: Precision, error: Float | None = None, added_error: Float | None = None
) -> Bound:
    """Bound on x + added, of one shape."""
    y = x + added
    terms = {"sum": precision.accumulator * np.abs(y)}
    if error is not None:
        terms["input"] = error
    if added_error is not None:
        terms["added"] = added_error
    return _with_output(terms, y, precision)


def _with_output(terms: dict[str, Float], y: Float, precision: Precision) -> Bound:
    terms["output"] = precision.output * np.abs(y)
    terms["underflow"] = np.full_like(y, precision.tiny_output)
    return Bound(terms)


def _mean(x: Float) -> Float:
    return x.mean(axis=-1, keepdims=True)

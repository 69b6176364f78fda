"""Second moments of the rounding errors, carried through a layer (docs/verification.md, section 2.5).

Worst cases multiply from step to step and say nothing after a layer. Here every rounding is a random variable with
mean 0, and the variance v of the error stands beside every float64 value. u, u_p, u_o are the roundoffs of the
accumulator, of stored probabilities and of the output, u_w that of weights which are cast to the dtype (`Precision`);
a rounding to nearest has variance u^2 y^2 / 3 at most:

  linear     W^2 v + u^2 k (W^2 x^2 + y^2) + u_w^2 (W^2 x^2 + b^2) / 3                             k: inputs
  attention  sum_j p^2 E (v_j - o)^2 + p^2 var(v_j) + (u^2 n_i + u_p^2 / 3) sum_j p^2 v_j^2 + u^2 (n_i + 8) o^2
             + scale^2 sum_t var(q_t) (sum_j p k_jt (v_j - o))^2
             E_ij = scale^2 (q^2 var(k) + u^2 d (q^2 k^2 + (q.k)^2)) + u^2 (9 (m_i - s_ij)^2 + 16)
             with relative positions t_ij, q.k stands for q.k + q.t (+ k.t), summed in any order
  LayerNorm  sum_j J_cj^2 v_j with its Jacobian J, and the roundings of the mean, of the variance, of the scaling and
             of the weights
  GELU       gelu'^2 v + (3 u x)^2
  residual   v_x + v_a + u^2 y^2 / 3

plus u_o^2 y^2 / 3 on every result y that is stored. Shapes: b batch, h heads, n tokens, d head dim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.layers import erf, gelu
from trueband.reference.masks import Bool
from trueband.reference.softmax import masked_softmax

SIGMAS = 8  # measured: correct layers stay below 5 sigma, on random weights and on trained ones (docs/sigma.md)


class Moments(NamedTuple):
    """Attributes:
    value: the float64 result.
    variance: of the error of an implementation's result, of the same shape.
    """

    value: Float
    variance: Float

    def at(self, index: Any) -> Moments:
        """Of a part of the result."""
        return Moments(self.value[index], self.variance[index])


def known(value: Float) -> Moments:
    """A value without error, such as a layer's input as the tested implementation itself holds it."""
    return Moments(value, np.zeros_like(value))


def given(x: Float | Moments) -> Moments:
    """An array, taken as exact, or moments as they are."""
    return x if isinstance(x, Moments) else known(x.astype(np.float64))


def sigma_bound(*moments: Moments) -> Bound:
    """8 standard deviations of a result, to be judged as any other bound; of two: of their difference."""
    variance = np.sum([each.variance for each in moments], axis=0)
    return Bound({f"{SIGMAS} sigma": SIGMAS * np.sqrt(variance)})


def linear_moments(x: Moments, weight: Float, bias: Float, precision: Precision) -> Moments:
    """x W^T + b: (..., k) -> (..., m)."""
    y = x.value @ weight.T + bias
    squared = (weight**2).T
    summing = precision.accumulator**2 * x.value.shape[-1] * (x.value**2 @ squared + y**2)
    variance = x.variance @ squared + summing
    if precision.weights:
        size = (x.value**2).sum(axis=-1, keepdims=True) + 1
        variance += precision.weights**2 / 3 * (x.value**2 @ squared + bias**2) + precision.tiny_output**2 * size
    return stored_moments(y, variance, precision)


class Relative(NamedTuple):
    """Relative positions (arXiv 1803.02155, 2009.13658), added to the products q_i . k_j.

    Attributes:
        distances: t_ij, (m, n, d). The products get q_i . t_ij,
        of_keys: and k_j . t_ij as well.
    """

    distances: Float
    of_keys: bool


def attention_moments(
    query: Moments,
    key: Moments,
    value: Moments,
    visible: Bool,
    scale: float,
    precision: Precision,
    *,
    head_mask: Float | None = None,
    relative: Relative | None = None,
) -> Moments:
    """Softmax attention of every row over its visible keys; rows that see nothing are 0 and exact.

    Shapes: query (b, h, m, d), key, value (b, h, n, d), visible (b, h, m, n) with any pattern, head_mask (h,).
    Probabilities are what it returns for values that are one-hot.
    """
    return WeightedMean(query, key, visible, scale, precision, head_mask, relative).of(value)


class WeightedMean:
    """The probabilities of an attention, with their errors; arguments of `attention_moments`.

    An error of a probability moves all coordinates of the output together, along one vector; the errors of the values
    and of the sums move each by itself. What reads several coordinates must keep the two apart.
    """

    def __init__(
        self,
        query: Moments,
        key: Moments,
        visible: Bool,
        scale: float,
        precision: Precision,
        head_mask: Float | None = None,
        relative: Relative | None = None,
    ) -> None:
        self.query, self.key, self.scale, self.relative, self.precision = query, key, scale, relative, precision
        u, products = precision.accumulator, _products(query, key, relative, precision)
        scores = scale * products.value
        self.p = masked_softmax(np.where(visible, scores, -np.inf))
        self.keys = visible.sum(axis=-1, keepdims=True)
        row_max = np.max(scores, axis=-1, keepdims=True, initial=-np.inf, where=visible)
        below_max = np.where(visible, row_max - scores, 0.0)
        self.argument = scale**2 * products.variance
        self.argument += u**2 * ((precision.exp_argument * below_max) ** 2 + precision.exp_result**2)
        self.weights = None if head_mask is None else head_mask[:, None, None]

    def of(self, value: Moments) -> Moments:
        """Of the values (b, h, n, d): (b, h, m, d)."""
        finished = stored_moments(self.value(value.value), self.shared(value.value) + self.own(value), self.precision)
        return Moments(finished.value, np.where(self.keys > 0, finished.variance, 0.0))

    def value(self, v: Float) -> Float:
        return self._masked(self.p @ v, 1)

    def shared(self, v: Float) -> Float:
        """Variance from the probabilities and the normaliser; `v` may be a linear map of the values."""
        u, o, p = self.precision.accumulator, self.p @ v, self.p
        weighted = p**2 * self.argument
        around_the_mean = weighted @ v**2 - 2 * o * (weighted @ v) + o**2 * weighted.sum(axis=-1, keepdims=True)
        variance = np.maximum(around_the_mean, 0.0)
        variance += self.scale**2 * _from_query(self.query, self.key, v, p, o, self.relative)
        one_more = self.weights is not None  # rounding of every probability
        variance += (self.precision.stored**2 / 3 + one_more * u**2) * (p**2 @ v**2) + u**2 * (self.keys + 8) * o**2
        return self._masked(variance, 2)

    def own(self, value: Moments) -> Float:
        """Variance from the values and from the sum over them."""
        rounding = self.precision.accumulator**2 * self.keys * (self.p**2 @ value.value**2)
        return self.carried(value.variance) + self._masked(rounding, 2)

    def carried(self, variance: Float) -> Float:
        """Of errors of the values alone, (b, h, n, d)."""
        return self._masked(self.p**2 @ variance, 2)

    def _masked(self, x: Float, power: int) -> Float:
        return x if self.weights is None else self.weights**power * x


def _from_query(query: Moments, key: Moments, value: Float, p: Float, o: Float, relative: Relative | None) -> Float:
    """sum_t var(q_t) (sum_j p_j k_jt (v_j - o))^2, (b, h, m, d): all scores of a row share the error of its query."""
    variance = np.zeros_like(o)
    for t in np.flatnonzero(query.variance.any(axis=(0, 1, 2))):
        coordinate = key.value[:, :, None, :, t]
        if relative is not None:
            coordinate = coordinate + relative.distances[..., t]
        weighted = p * coordinate
        moved = weighted @ value - weighted.sum(axis=-1, keepdims=True) * o
        variance += query.variance[..., t, None] * moved**2
    return variance


def _products(query: Moments, key: Moments, relative: Relative | None, precision: Precision) -> Moments:
    """q_i . k_j and what relative positions add, (b, h, m, n), before the scale, for a query that is exact."""
    q, k = query.value, key.value
    u, head_dim = precision.accumulator, q.shape[-1]
    products, sizes = q @ _transposed(k), q**2 @ _transposed(k**2)
    if relative is None:
        from_key = q**2 @ _transposed(key.variance)
        return Moments(products, from_key + u**2 * head_dim * (sizes + products**2))
    t = relative.distances
    dots = [(products, sizes), (np.einsum("bhid,ijd->bhij", q, t), np.einsum("bhid,ijd->bhij", q**2, t**2))]
    if relative.of_keys:
        dots.append((np.einsum("bhjd,ijd->bhij", k, t), np.einsum("bhjd,ijd->bhij", k**2, t**2)))
    from_key = np.einsum("bhjd,bhijd->bhij", key.variance, (q[:, :, :, None] + relative.of_keys * t) ** 2)
    from_sums = sum(head_dim * (size + dot**2) for dot, size in dots)
    together = sum(np.abs(dot) for dot, _ in dots)  # no partial sum exceeds it
    rounding = u**2 * (from_sums + (len(dots) - 1) * together**2)
    return Moments(sum(dot for dot, _ in dots), from_key + rounding)


def layer_norm_moments(x: Moments, weight: Float, bias: Float, eps: float, precision: Precision) -> Moments:
    """LayerNorm over the last axis of (..., n).

    J_cj = g_c r (delta_cj - a_cj) with a_cj = 1/n + c_c c_j r^2 / n, c the centred x and r = 1 / sqrt(var + eps).
    """
    u, n = precision.accumulator, x.value.shape[-1]
    centred = x.value - _mean(x.value)
    r = 1 / np.sqrt(_mean(centred**2) + eps)
    y = weight * centred * r + bias

    v = x.variance
    own = 1 / n + centred**2 * r**2 / n
    others = (
        _mean(v) + 2 * centred * r**2 * _mean(v * centred) + centred**2 * r**4 * _mean(v * centred**2)
    ) / n  # sum_j v_j a_cj^2
    carried = np.maximum(v - 2 * v * own + others, 0.0)
    rounding = u**2 * n * _mean(np.abs(x.value)) ** 2 + u**2 * centred**2  # of the mean, and of x - mean
    relative = u**2 * ((n + 4) / 4 + 3)  # of r: n + 4 roundings of half the weight, the root, the quotient
    gain = weight**2 * r**2
    variance = gain * (carried + rounding + relative * centred**2) + u**2 * ((y - bias) ** 2 + y**2)
    variance += precision.weights**2 / 3 * ((y - bias) ** 2 + bias**2)
    return stored_moments(y, variance, precision)


def gelu_moments(x: Moments, precision: Precision) -> Moments:
    """The exact GELU; gelu'(x) = Phi(x) + x phi(x)."""
    slope = 0.5 * (1 + erf(x.value / math.sqrt(2))) + x.value * np.exp(-(x.value**2) / 2) / math.sqrt(2 * math.pi)
    variance = slope**2 * x.variance + (3 * precision.accumulator * x.value) ** 2
    return stored_moments(gelu(x.value), variance, precision)


def tanh_moments(x: Moments, precision: Precision) -> Moments:
    """tanh' = 1 - tanh^2; 4 units in the last place for the function itself."""
    y = np.tanh(x.value)
    return stored_moments(y, (1 - y**2) ** 2 * x.variance + (4 * precision.accumulator * y) ** 2, precision)


def sum_moments(x: Moments, added: Moments, precision: Precision) -> Moments:
    """x + added, one shape."""
    y = x.value + added.value
    return stored_moments(y, x.variance + added.variance + (precision.accumulator * y) ** 2 / 3, precision)


def several_moments(summands: Sequence[Float], precision: Precision) -> Moments:
    """A sum of weights of one shape, in any order: one rounding for each addition."""
    size = np.sum(np.abs(summands), axis=0)  # no partial sum exceeds it
    one = (precision.accumulator**2 + precision.output**2) * size**2 / 3 + precision.tiny_output**2
    variance = (len(summands) - 1) * one
    if precision.weights:
        squares = np.sum(np.square(summands), axis=0)
        variance += precision.weights**2 / 3 * squares + len(summands) * precision.tiny_output**2
    return Moments(np.sum(summands, axis=0), variance)


def stored_moments(y: Float, variance: Float, precision: Precision) -> Moments:
    """The rounding of a result to the dtype of the output; a result that underflows is off by tiny_output at most."""
    return Moments(y, variance + (precision.output * y) ** 2 / 3 + precision.tiny_output**2)


def _transposed(x: Float) -> Float:
    return x.swapaxes(-1, -2)


def _mean(x: Float) -> Float:
    return x.mean(axis=-1, keepdims=True)

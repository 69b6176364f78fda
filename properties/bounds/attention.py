"""Element-wise bounds on the output and the lse of `band_attention`, from the reference (docs/verification.md, 2.3).

With u the accumulator's roundoff, s the scores, p the probabilities, o the output, n_i the keys of row i:

  scores       A_ij, see `scores`; without softcap and slopes |scale| ((d + 2) u + c) sum_t |q_it k_jt|
  exponential  E_ij = A_ij + u (c_x (m_i - s_ij) + c_e)          of stored scores also w (m_i - s_ij + 2 max_j A_ij)
  sink         E_i  = u (2 |sink| + |k_i| + c_x (m_i - sink + log Z_i) + c_e + 3), of stored scores also
               w (|sink| + m_i - sink + 2 max_j A_ij); k_i is the lse of the keys alone
  (score)      sum_j p_ij E_ij (|v_jc| + |o_ic|) + p_i E_i |o_ic|  first order, times exp(4 max E) for the rest
  (stored p)   u_p sum_j p_ij |v_jc|
  (sum)        ((n_i + 2 + T_i) u + c) sum_j p_ij |v_jc|
  (normaliser) (n_i + 2 + T_i) u |o_ic|
  (output)     u_o |o_ic|
  (underflow)  tiny_p sum_{j visible} |v_jc| + n_i tiny + tiny_o

A head mask multiplies all but the underflow: p_ij may be stored times it. A sink is one key more, whose value is 0: in
(sum) and (normaliser) n_i counts it. A kernel may also attend without it and scale the row by sigmoid(k_i - sink): then
k_i is rounded, and three roundings more.
What is stored is p_ij, or exp(s_ij - m_i) to be divided by the sum of these, Z_i >= 1, which makes the error no larger.
c is what a product loses before it is summed: 0, unless the kernel reads its factors as tf32.
T_i is the number of rescalings of an online softmax; at worst every key is a tile of its own, T_i = n_i. The factor
exp(4 max E) makes the first order rigorous: along the path from the exact to the computed scores a probability grows
by at most exp(2 max E), and the centre o moves by as much again. It holds for max E <= 1/4; beyond, the output is
only known to be a weighted mean of the values, and the score term is |o| + max_j |v_j|.

The lse l_i = m_i + log Z_i is off by the sum of

  (score)      min(max E, exp(4 max E) (sum_j p_ij E_ij + p_i E_i))
  (sum)        (2 n_i + 3) u
  (logarithm)  c_l u (1 + log Z_i)
  (output)     (3 u + u_l) |l_i|           it may be kept as a logarithm of base 2: a sum, log 2, and a product
  (underflow)  (n_i + 1) tiny
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.scores import score_errors
from trueband.reference.arguments import Arguments
from trueband.reference.attention import Rows, global_rows, local_rows
from trueband.reference.softmax import log_sum_exp


class Softmax(NamedTuple):
    """Errors of the softmax of one kind of rows, all (b, h, m, n) or (b, h, m, 1).

    Attributes:
        argument: E_ij.
        growth: exp(4 max E), inf where the first order does not hold.
        normaliser: Z_i, 1 for a row without keys and sink.
        row_max: m_i, 0 for a row without keys and sink.
        keys: n_i.
        sinks: 1 for a row with a sink, else 0.
        sink: E_i, the error of the exponent of the sink; 0 for a row without one.
        sink_probability: p_i, the same.
        worst: max E, of the keys and the sink.
        tangent: what the errors of the scores make of tanh(t_ij / c); None without a softcap.
    """

    argument: Float
    growth: Float
    normaliser: Float
    row_max: Float
    keys: Float
    sinks: Float
    sink: Float
    sink_probability: Float
    worst: Float
    tangent: Float | None

    @property
    def terms(self) -> Float:
        """Of the normaliser: the keys, and the sink."""
        return self.keys + self.sinks

    def mean_error(self, p: Float) -> Float:
        """sum_j p_ij E_ij + p_i E_i, (b, h, m, 1)."""
        return (p * self.argument).sum(axis=-1, keepdims=True) + self.sink_probability * self.sink


def attention_bound(arguments: Arguments, precision: Precision, *, exact_products: bool = False) -> Bound:
    """Bound on |computed - exact| of the output, (b, h, m, e). Rows without keys are exact: bound 0.

    Args:
        exact_products: queries and keys are integers so small that every q_i . k_j is exact in every format; only
            the scaling of the score rounds, D_ij = c_x u |t_ij|.
    """
    a = arguments
    local, global_ = local_rows(a), global_rows(a)
    bound = rows_bound(local, a.query, a.key, a.value, a, precision, exact_products) + rows_bound(
        global_, a.query_global, a.key_global, a.value_global, a, precision, exact_products
    )
    keys = (local.visible | global_.visible).sum(axis=-1, keepdims=True)
    return Bound(bound.terms, keys)


def lse_bound(arguments: Arguments, precision: Precision, *, exact_products: bool = False) -> Bound:
    """Bound on |computed - exact| of the lse, (b, h, m). Rows without keys and sink are exactly -inf: bound 0."""
    a = arguments
    of_local = _lse_bound(local_rows(a), a.query, a.key, a.scale, precision, exact_products)
    return of_local + _lse_bound(global_rows(a), a.query_global, a.key_global, a.scale, precision, exact_products)


def _lse_bound(rows: Rows, query: Float, key: Float, scale: float, precision: Precision, exact_products: bool) -> Bound:
    """The bound for one kind of rows; 0 for the others."""
    softmax, u = softmax_errors(rows, query, key, scale, precision, exact_products), precision.accumulator
    with np.errstate(invalid="ignore"):  # inf * 0: min takes the other
        score = np.fmin(softmax.worst, softmax.growth * softmax.mean_error(rows.probabilities))
    log = np.log(softmax.normaliser)
    terms = {
        "score": score,
        "sum": (2 * softmax.terms + 3) * u,
        "logarithm": precision.log_result * u * (1 + log),
        "output": (3 * u + precision.log_sum_exp) * np.abs(softmax.row_max + log),
        "underflow": (softmax.terms + 1) * precision.tiny_accumulator,
    }
    terms = {name: np.where(softmax.terms > 0, term, 0.0)[..., 0] for name, term in terms.items()}
    return Bound(terms, softmax.keys[..., 0].astype(np.int64))


class Sums(NamedTuple):
    """What the bound of a row is made of, (b, h, m, e) or broadcast to it.

    Attributes:
        keys: n_i.
        score: what the errors of the scores and of the exponentials do to the output.
        size: sum_j p_ij |v_jc|.
        output: |o_ic|, before the head mask.
        smallest: sum_{j visible} |v_jc|.
        sinks: how many terms more the normaliser has.
    """

    keys: Float
    score: Float
    size: Float
    output: Float
    smallest: Float
    sinks: Float | float = 0.0


def rows_bound(
    rows: Rows,
    query: Float,
    key: Float,
    value: Float,
    arguments: Arguments,
    precision: Precision,
    exact_products: bool = False,
) -> Bound:
    """The bound for one kind of rows; 0 for the others. There may be fewer rows than keys."""
    softmax = softmax_errors(rows, query, key, arguments.scale, precision, exact_products)
    p, size = rows.probabilities, np.abs(value)
    mean_size = p @ size
    output = np.abs(p @ value)
    first_order = (p * softmax.argument) @ size + output * softmax.mean_error(p)
    first_order_holds = softmax.growth != np.inf
    score = np.where(first_order_holds, softmax.growth, 1.0) * first_order
    if not first_order_holds.all():
        score = np.where(first_order_holds, score, output + size_of_visible(rows.visible, size))
    sums = Sums(softmax.keys, score, mean_size, output, rows.visible.astype(float) @ size, softmax.sinks)
    return bound_of_sums(sums, arguments.head_mask[:, None, None], precision)


def bound_of_sums(sums: Sums, head_mask: Float, precision: Precision) -> Bound:
    """The terms of the bound; 0 for rows without keys.

    Args:
        head_mask: broadcasts to the output.
    """
    u, weights, seen, summed = precision.accumulator, np.abs(head_mask), sums.keys > 0, sums.keys + sums.sinks
    terms = {
        "score": sums.score,
        "stored p": precision.stored * sums.size,
        "sum": ((2 * summed + 3) * u + precision.product) * sums.size,
        "normaliser": (2 * summed + 3) * u * sums.output,
        "output": precision.output * sums.output,
        "underflow": precision.tiny_stored * sums.smallest,
    }
    terms = {name: weights * np.where(seen, term, 0.0) for name, term in terms.items()}
    terms["underflow"] += not_damped(head_mask) * np.where(seen, precision.tiny_stored * sums.smallest, 0.0)
    terms["underflow"] += seen * (precision.tiny_output + sums.keys * precision.tiny_accumulator)
    return Bound(terms)


def not_damped(head_mask: Float | float) -> Float:
    """How much of what underflows of p_ij a head mask takes away; it stays where p_ij is stored times the head mask."""
    weights = np.abs(head_mask)
    return np.where((weights > 0) & (weights < 1), 1 - weights, 0.0)


def softmax_errors(
    rows: Rows, query: Float, key: Float, scale: float, precision: Precision, exact_products: bool = False
) -> Softmax:
    """Errors of the scores and of the exponentials, from the inputs and the exact scores."""
    u, w = precision.accumulator, precision.scores / (1 - 8 * precision.scores)
    visible, errors = rows.visible, score_errors(rows, query, key, scale, precision, exact_products)
    of_keys = rows.scores.max(axis=-1, keepdims=True)
    sink = np.full_like(of_keys, -np.inf) if rows.sinks is None else rows.sinks[..., None]
    row_max = np.maximum(of_keys, sink)
    row_max = np.where(row_max == -np.inf, 0.0, row_max)
    below_max = np.where(visible, row_max - np.where(visible, rows.scores, 0.0), 0.0)
    score = np.where(visible, errors.score, 0.0)
    moved = w * (below_max + 2 * score.max(axis=-1, keepdims=True)) if w else 0.0
    argument = score + u * (precision.exp_argument * below_max + precision.exp_result) + moved
    argument = np.where(visible, argument, 0.0)
    worst = argument.max(axis=-1, keepdims=True)
    total = np.where(visible, np.exp(-below_max), 0.0).sum(axis=-1, keepdims=True)
    keys, has_sink = visible.sum(axis=-1, keepdims=True).astype(float), sink > -np.inf

    sink_error, sink_probability = np.zeros_like(row_max), np.zeros_like(row_max)
    if rows.sinks is not None and rows.sink_probabilities is not None:
        shown, below = np.where(has_sink, sink, 0.0), np.where(has_sink, row_max - sink, 0.0)
        total = total + np.where(has_sink, np.exp(-below), 0.0)
        alone = log_sum_exp(rows.scores)[..., None]
        sizes = 2 * np.abs(shown) + np.where(keys > 0, np.abs(alone), 0.0) + precision.exp_result + 3
        sink_error = u * (sizes + precision.exp_argument * (below + np.log(np.where(has_sink, total, 1.0))))
        sink_error = sink_error + w * (np.abs(shown) + below + 2 * score.max(axis=-1, keepdims=True))
        sink_error = np.where(has_sink, sink_error, 0.0)
        sink_probability = rows.sink_probabilities[..., None]
        worst = np.maximum(worst, sink_error)
    growth = np.where(worst <= 0.25, np.exp(4 * np.minimum(worst, 0.25)), np.inf)
    return Softmax(
        argument=argument,
        growth=growth,
        normaliser=np.where(total > 0, total, 1.0),
        row_max=row_max,
        keys=keys,
        sinks=has_sink.astype(float),
        sink=sink_error,
        sink_probability=sink_probability,
        worst=worst,
        tangent=errors.tangent,
    )


def size_of_visible(visible: np.ndarray, size: Float) -> Float:
    """max_j |v_jc| over the visible keys of each row, (b, h, n, d); 0 for a row without keys."""
    largest = np.zeros((*visible.shape[:-1], size.shape[-1]))
    for j in range(visible.shape[-1]):
        largest = np.maximum(largest, np.where(visible[..., j, None], size[..., j, None, :], 0.0))
    return largest

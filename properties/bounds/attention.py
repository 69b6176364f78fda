"""Element-wise bound on the output of `band_attention`, from the reference (docs/verification.md, section 2.3).

With u the accumulator's roundoff, s the scores, p the probabilities, o the output, n_i the keys of row i:

  scores       D_ij = |scale| ((d + 2) u + c) sum_t |q_it k_jt| every order of summation (Jeannerod and Rump 2013)
  exponential  E_ij = D_ij + u (c_x (m_i - s_ij) + c_e)
  (score)      sum_j p_ij E_ij (|v_jc| + |o_ic|)                first order, times exp(4 max_j E_ij) for the rest
  (stored p)   u_p sum_j p_ij |v_jc|
  (sum)        ((n_i + 2 + T_i) u + c) sum_j p_ij |v_jc|
  (normaliser) (n_i + 2 + T_i) u |o_ic|
  (output)     u_o |o_ic|
  (underflow)  tiny_p sum_{j visible} |v_jc| + n_i tiny + tiny_o

What is stored is p_ij, or exp(s_ij - m_i) to be divided by the sum of these, Z_i >= 1, which makes the error no larger.
c is what a product loses before it is summed: 0, unless the kernel reads its factors as tf32.
T_i is the number of rescalings of an online softmax; at worst every key is a tile of its own, T_i = n_i. The factor
exp(4 max E) makes the first order rigorous: along the path from the exact to the computed scores a probability grows
by at most exp(2 max E), and the centre o moves by as much again. It holds for max E <= 1/4; beyond, the output is
only known to be a weighted mean of the values, and the score term is |o| + max_j |v_j|.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.reference.arguments import Arguments
from trueband.reference.attention import Rows, global_rows, local_rows


class Softmax(NamedTuple):
    """Errors of the softmax of one kind of rows, all (b, h, n, n) or (b, h, n, 1).

    Attributes:
        argument: E_ij.
        growth: exp(4 max_j E_ij), inf where the first order does not hold.
        normaliser: Z_i = sum_j exp(s_ij - m_i), 1 for a row without keys.
        row_max: m_i, 0 for a row without keys.
        keys: n_i.
    """

    argument: Float
    growth: Float
    normaliser: Float
    row_max: Float
    keys: Float


def attention_bound(arguments: Arguments, precision: Precision, *, exact_products: bool = False) -> Bound:
    """Bound on |computed - exact| of the output, (b, h, n, d). Rows of masked tokens are exact: bound 0.

    Args:
        exact_products: queries and keys are integers so small that every q_i . k_j is exact in every format; only
            the scaling of the score rounds, D_ij = c_x u |s_ij|.
    """
    a = arguments
    local, global_ = local_rows(a), global_rows(a)
    bound = rows_bound(local, a.query, a.key, a.value, a, precision, exact_products) + rows_bound(
        global_, a.query_global, a.key_global, a.value_global, a, precision, exact_products
    )
    keys = (local.visible | global_.visible).sum(axis=-1, keepdims=True)
    return Bound(bound.terms, keys)


class Sums(NamedTuple):
    """What the bound of a row is made of, (b, h, n, d) or broadcast to it.

    Attributes:
        keys: n_i.
        score: what the errors of the scores and of the exponentials do to the output.
        size: sum_j p_ij |v_jc|.
        output: |o_ic|, before the head mask.
        smallest: sum_{j visible} |v_jc|.
    """

    keys: Float
    score: Float
    size: Float
    output: Float
    smallest: Float


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
    first_order = (p * softmax.argument) @ size + output * (p * softmax.argument).sum(axis=-1, keepdims=True)
    first_order_holds = softmax.growth != np.inf
    score = np.where(first_order_holds, softmax.growth, 1.0) * first_order
    if not first_order_holds.all():
        score = np.where(first_order_holds, score, output + size_of_visible(rows.visible, size))
    sums = Sums(softmax.keys, score, mean_size, output, rows.visible.astype(float) @ size)
    return bound_of_sums(sums, arguments.head_mask[:, None, None], precision)


def bound_of_sums(sums: Sums, head_mask: Float, precision: Precision) -> Bound:
    """The terms of the bound; 0 for rows without keys.

    Args:
        head_mask: broadcasts to the output.
    """
    u, weights, seen = precision.accumulator, np.abs(head_mask), sums.keys > 0
    terms = {
        "score": sums.score,
        "stored p": precision.stored * sums.size,
        "sum": ((2 * sums.keys + 3) * u + precision.product) * sums.size,
        "normaliser": (2 * sums.keys + 3) * u * sums.output,
        "output": precision.output * sums.output,
        "underflow": precision.tiny_stored * sums.smallest,
    }
    terms = {name: weights * np.where(seen, term, 0.0) for name, term in terms.items()}
    terms["underflow"] += seen * (precision.tiny_output + sums.keys * precision.tiny_accumulator)
    return Bound(terms)


def softmax_errors(
    rows: Rows, query: Float, key: Float, scale: float, precision: Precision, exact_products: bool = False
) -> Softmax:
    """Errors of the scores and of the exponentials, from the inputs and the exact scores."""
    u, head_dim = precision.accumulator, query.shape[-1]
    row_max = rows.scores.max(axis=-1, keepdims=True)
    row_max = np.where(row_max == -np.inf, 0.0, row_max)
    below_max = np.where(rows.visible, row_max - np.where(rows.visible, rows.scores, 0.0), 0.0)
    if exact_products:
        score = precision.exp_argument * u * np.abs(np.where(rows.visible, rows.scores, 0.0))
    else:
        score = ((head_dim + 2) * u + precision.product) * abs(scale) * (np.abs(query) @ np.abs(key).swapaxes(-1, -2))
    argument = np.where(rows.visible, score + u * (precision.exp_argument * below_max + precision.exp_result), 0.0)
    worst = argument.max(axis=-1, keepdims=True)
    growth = np.where(worst <= 0.25, np.exp(4 * np.minimum(worst, 0.25)), np.inf)
    total = np.where(rows.visible, np.exp(-below_max), 0.0).sum(axis=-1, keepdims=True)
    keys = rows.visible.sum(axis=-1, keepdims=True).astype(float)
    return Softmax(argument, growth, np.where(keys > 0, total, 1.0), row_max, keys)


def size_of_visible(visible: np.ndarray, size: Float) -> Float:
    """max_j |v_jc| over the visible keys of each row, (b, h, n, d); 0 for a row without keys."""
    largest = np.zeros((*visible.shape[:-1], size.shape[-1]))
    for j in range(visible.shape[-1]):
        largest = np.maximum(largest, np.where(visible[..., j, None], size[..., j, None, :], 0.0))
    return largest

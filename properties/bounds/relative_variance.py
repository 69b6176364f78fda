"""Second moments of attention scores with relative positions: q_i . k_j + q_i . t_ij, and + k_j . t_ij where keys too.

t_ij is a row of a table without error. With c products s_1 .. s_c (2, or 3 with keys) of d terms each, the variance is

  var(q) (k + t)^2 + var(k) (q + t)^2 + u^2 d (squared terms of all products + sum s^2) + 2 u^2 c sum s^2

for the inputs' errors, for the roundings of the products, and for the two additions, whose partial sums are at most
sum |s| <= sqrt(c sum s^2). Without keys, t is not added to q.
Shapes: b batch, h heads, n tokens, d head dim.
"""

from __future__ import annotations

import numpy as np

from trueband.properties.bounds.bound import Float
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments

ADDITIONS = 2


def relative_score_moments(
    query: Moments, key: Moments, distances: Float, of_keys: bool, precision: Precision
) -> Moments:
    """Scores before the scale, (b, h, n, n), of query and key (b, h, n, d).

    Args:
        distances: the table (2 m - 1, d); row m - 1 is distance 0, row m that of the token before.
        of_keys: whether keys have products with the table too.
    """
    tokens = np.arange(query.value.shape[2])
    table = distances[tokens[:, None] - tokens[None, :] + (len(distances) + 1) // 2 - 1]  # (n, n, d)
    q, k = query.value[:, :, :, None], key.value[:, :, None]  # (b, h, n, 1, d), (b, h, 1, n, d)
    terms = [q * k, q * table] + ([k * table] if of_keys else [])
    products = [term.sum(axis=-1) for term in terms]
    squares = np.sum([product**2 for product in products], axis=0)
    onto_key = q + table if of_keys else q
    from_inputs = (query.variance[:, :, :, None] * (k + table) ** 2 + key.variance[:, :, None] * onto_key**2).sum(-1)
    u, size = precision.accumulator, q.shape[-1]
    within = np.sum([(term**2).sum(axis=-1) for term in terms], axis=0)
    from_sums = u**2 * (size * (within + squares) + ADDITIONS * len(terms) * squares)
    return Moments(np.sum(products, axis=0), from_inputs + from_sums)

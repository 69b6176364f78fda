"""Sums over 2,048 keys, or rows, of which the exact value is known so well that a sum in a narrow format shows.

The probes of `gradient_sums`, as long as production is: a kernel that keeps a sum in the narrow format from one tile to
the next loses less than its bound where tiles are few. Here every block size from 8 to 1,024 has a channel of which
blocks of that size add up to 7/16 of the distance to the next number of the format, and are lost one by one.

All rows of a probe have the same weights and, but for the terms of the sum, the same numbers. So one row is computed:
dQ of every row is that of the first; and what all rows give to a key is what one row would give of which the query (or
the gradient of the output) is their sum: dK_j = sum_i dS_j q_i = dS_j sum_i q_i, of which every term of the bound is
linear in |q_i| as well, and the terms are positive. The number of terms counts all rows.

A kernel whose sums are in the accumulator's format is within that bound in any order, with any tiles: it holds for
whatever format is declared as accumulator. What it stores in the narrow format on the way (weights 1/n, or 1 where the
sum of weights divides at the end; gradients of scores, plus or minus one) is held by that format. If it is off by an
error that the bound has, the nearest number of the format is off by at most as much again, and the errors double.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.bounds import Bound
from trueband.properties.bounds.attention import rows_bound
from trueband.properties.bounds.attention_gradients import Part, bounds_of_parts, gradient_parts
from trueband.properties.candidate.probe import Array, Probe
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import DENSE, Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.gradient_sums import NARROW, doubled
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.attention import Rows, attend

LONG = Structure(
    without=frozenset({"padding", "globals", "causal", "dilation", "head_mask", "scale"}),
    families=("normal",),
    dense=True,
    exact_scale=True,
    production=DENSE,
)
LEAST_BLOCK, BLOCKS = 8, 8  # and how often it is doubled, and one


@check("where every weight is the same power of two, the output is the mean of 2,048 values, rounded once", LONG)
def check_sums_are_wide_at_size(probe: Probe) -> Iterator[Verdict]:
    """Bounded: weights are a power of two, so that any order of a sum in the accumulator is within the bound of the one
    row that all are.
    """
    inputs = _with(probe, query=0.0, value=_terms(probe))
    rows, precision = _one_row(inputs), replace(inputs.precision, stored=0.0)
    arrays = (inputs.arrays["query"][:, :, :1], inputs.arrays["key"], inputs.arrays["value"])
    bound = doubled(rows_bound(rows, *arrays, inputs.structure, precision), ("score", "normaliser"))
    yield _judged(probe.run(inputs), rows.output, bound, "output")


@check(
    "where every weight is the same power of two, gradients are sums of 2,048 terms, rounded once", LONG, ["backward"]
)
def check_gradient_sums_are_wide_at_size(probe: Probe) -> Iterator[Verdict]:
    """Bounded: weights are a power of two and gradients of scores plus or minus one, so that any order of a sum in the
    accumulator is within the bound of the one row that stands for all.
    """
    terms, tokens = _terms(probe), _shape(probe)[2]
    signs, constant = np.zeros(terms.shape), np.zeros(terms.shape)
    signs[..., 0] = probe.random.permutation(np.resize([1.0, -1.0], tokens))
    constant[..., 0] = tokens
    for name, inputs, grad_output in (
        ("query", _with(probe, query=0.0, key=terms * signs[..., :1], value=signs), constant),
        ("key", _with(probe, query=terms, key=0.0, value=signs), constant),
        ("value", _with(probe, query=0.0), terms),
    ):
        part = _parts(inputs, grad_output)[name]
        precision = replace(inputs.precision, stored=0.0)
        bound = doubled(bounds_of_parts(name, part, part, True, precision)[name], ("score gradient", "probability"))
        computed = probe.gradients(grad_output, inputs, [name])[name]
        yield _judged(computed, part.exact, bound, f"gradient of {name}")


def _shape(probe: Probe) -> tuple[int, int, int, int]:
    """Return (b, h, n, d) with n a power of two."""
    case = probe.case
    return case.batch, case.heads, 1 << (case.tokens.bit_length() - 1), case.head_dim


def _terms(probe: Probe) -> Array:
    """16 n at the first place, or at the last, and else one number, so small that a block of it is lost beside 16 n."""
    shape = *_, tokens, channels = _shape(probe)
    large = 16.0 * tokens
    spacing = 2 * (probe.inputs.precision.output or NARROW) * large
    channel = np.arange(channels)
    terms = np.broadcast_to(7 / 16 * spacing / (LEAST_BLOCK * 2.0 ** (channel % BLOCKS)), shape).copy()
    at_end = channel // BLOCKS % 2 == 1
    terms[:, :, -1, at_end] = large
    terms[:, :, 0, ~at_end] = large
    return terms


def _with(probe: Probe, **arrays: Array | float) -> Inputs:
    """Return the inputs with other numbers and as many tokens as the probe has."""
    shape = _shape(probe)
    inputs = probe.inputs_of(probe.case.replace(tokens=shape[2]))
    return inputs.with_arrays(**{name: np.broadcast_to(array, shape).copy() for name, array in arrays.items()})


def _one_row(inputs: Inputs, query: Array | None = None) -> Rows:
    """Compute the first row, or the row of another query (b, h, 1, d), by the reference."""
    structure, key = inputs.structure, inputs.arrays["key"]
    first = inputs.arrays["query"][:, :, :1] if query is None else query
    visible = np.ones((*key.shape[:2], 1, key.shape[2]), dtype=bool)
    return attend(first, key, inputs.arrays["value"], visible, structure.scale, structure.head_mask)


def _parts(inputs: Inputs, grad_output: Array) -> dict[str, Part]:
    """Return by argument: dQ of one row, and dK and dV from all rows, taken as one row that is their sum."""
    precision, tokens = replace(inputs.precision, stored=0.0), inputs.shape[2]
    query, grad_row = inputs.arrays["query"], grad_output[:, :, :1]

    def parts(query: Array, grad: Array) -> tuple[Part, Part, Part]:
        arrays = (query, inputs.arrays["key"], inputs.arrays["value"])
        return gradient_parts(_one_row(inputs, query), arrays, inputs.structure, grad, precision)

    every = np.full((*query.shape[:3], 1), float(tokens))
    return {
        "query": parts(query[:, :, :1], grad_row)[0],
        "key": parts(query.sum(axis=2, keepdims=True), grad_row)[1]._replace(number=every),
        "value": parts(query[:, :, :1], grad_output.sum(axis=2, keepdims=True))[2]._replace(number=every),
    }


def _judged(computed: Array, expected: Array, bound: Bound, what: str) -> Verdict:
    """Judge all rows against the same expected row."""
    terms = {name: np.broadcast_to(term, computed.shape) for name, term in bound.terms.items()}
    keys = None if bound.keys is None else np.broadcast_to(bound.keys, (*computed.shape[:3], 1))
    return judge(computed, np.broadcast_to(expected, computed.shape), Bound(terms, keys), what)

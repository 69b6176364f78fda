"""Sums of gradients over many tokens, of which the exact value is known so well that a sum in a narrow format shows.

The probes have weights that are all the same power of two, and values and a gradient of the output for which every
gradient of a score is plus or minus one. The sum that is looked at has one term of 16 n, at either end, and n - 1 small
ones: kept in the narrow format, from one term or block of terms to the next, it loses them all.

Nothing that a kernel may store in the narrow format on its way (probabilities, their gradients and those of the scores)
is rounded there, if it is exact: the format holds it. If it is not, the nearest number that the format holds is off by
at most as much again as what is stored, so that the error doubles: twice, of the gradients of the scores and of what
they come of. That is what the bound allows, and not the roundings of the format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.bounds import Bound
from trueband.properties.bounds.attention_gradients import attention_gradient_bounds
from trueband.properties.candidate.probe import Array, Probe
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.results.verdict import Verdict, judge

BACKWARD = ["backward"]
# Many tokens in most cases: a kernel may keep its sums from one block of 64 or 128 to the next.
WIDE = Structure(without=frozenset({"padding", "causal", "dilation", "head_mask"}), tokens=(8, 330), dense=True)
# Scales that are powers of two, for gradients that are multiples of it.
SCALED = replace(WIDE, without=WIDE.without | {"scale"}, head_dims=(1, 4, 16, 64))
CLAIM = "where every weight is the same power of two, a gradient of the {} is the sum over the {}, rounded once"
STORED_TWICE = 4.0
NARROW = 2.0**-8  # roundoff of bfloat16: of the sums that are looked for where the dtype is a wide one


@check(CLAIM.format("values", "rows"), WIDE, BACKWARD)
def check_gradient_sums_are_wide(probe: Probe) -> Iterator[Verdict]:
    """Bounded: weights are a power of two, so that any order of a sum in the accumulator is within the bound."""
    inputs = _alike(probe, "query", np.zeros(_shape(probe)))
    yield from _judged(probe, inputs, _terms(probe), "value")


@check(CLAIM.format("queries", "keys"), SCALED, BACKWARD)
def check_query_gradient_sums_are_wide(probe: Probe) -> Iterator[Verdict]:
    """Bounded: scores are 0 and their gradients plus or minus one, so that any order of a sum in the accumulator is
    within the bound.
    """
    value, grad_output = _value_and_grad_output(probe)
    inputs = _alike(probe, "query", np.zeros(_shape(probe)))
    inputs = _alike(probe, "key", _terms(probe) * np.sign(value[..., :1]), inputs)
    yield from _judged(probe, _alike(probe, "value", value, inputs), grad_output, "query")


@check(CLAIM.format("keys", "rows"), SCALED, BACKWARD)
def check_key_gradient_sums_are_wide(probe: Probe) -> Iterator[Verdict]:
    """Bounded: as of the queries."""
    value, grad_output = _value_and_grad_output(probe)
    inputs = _alike(probe, "key", np.zeros(_shape(probe)))
    inputs = _alike(probe, "query", _terms(probe), inputs)
    yield from _judged(probe, _alike(probe, "value", value, inputs), grad_output, "key")


def _shape(probe: Probe) -> tuple[int, int, int, int]:
    """Return (b, h, n, d) with n a power of two."""
    case = probe.case
    return case.batch, case.heads, 1 << (case.tokens.bit_length() - 1), case.head_dim


def _terms(probe: Probe) -> Array:
    """In every channel 16 n at either end, and else one number: so many of it as a block of some size has add up to
    7/16 of the distance from 16 n to the next number of the format, and are lost where the sum of blocks is kept in it.
    """
    shape = batch, heads, tokens, channels = _shape(probe)
    large = 16.0 * tokens
    spacing = 2 * (probe.inputs.precision.output or NARROW) * large
    blocks = 2.0 ** probe.random.integers(0, max(tokens.bit_length() - 1, 1), (batch, heads, 1, channels))
    terms = np.broadcast_to(7 / 16 * spacing / blocks, shape).copy()
    at_end = probe.random.integers(2, size=(batch, heads, channels)) == 1
    terms[:, :, -1] = np.where(at_end, large, terms[:, :, -1])
    terms[:, :, 0] = np.where(at_end, terms[:, :, 0], large)
    return terms


def _value_and_grad_output(probe: Probe) -> tuple[Array, Array]:
    """Values of plus and minus one in one channel, as many of each, and a gradient of the output in that channel: the
    output is 0, and the gradient of every score plus or minus one.
    """
    value, grad_output = np.zeros(_shape(probe)), np.zeros(_shape(probe))
    tokens = value.shape[2]
    value[..., 0] = probe.random.permutation(np.resize([1.0, -1.0], tokens))
    grad_output[..., 0] = tokens
    return value, grad_output


def _alike(probe: Probe, name: str, array: Array, inputs: Inputs | None = None) -> Inputs:
    """Return the inputs with the same numbers for local and global rows."""
    if inputs is None:
        tokens = array.shape[2]
        kept = (
            None
            if probe.case.global_ is None
            else tuple(tuple(position for position in row if position < tokens) for row in probe.case.global_)
        )
        inputs = probe.inputs_of(probe.case.replace(tokens=tokens, global_=kept))
    return inputs.map_arrays(lambda _: array, [name, f"{name}_global"])


def _judged(probe: Probe, inputs: Inputs, grad_output: Array, what: str) -> Iterator[Verdict]:
    separate = tuple(f"{name}_global" in inputs.arrays for name in ("query", "key", "value"))
    stored_exactly = replace(inputs.precision, stored=0.0)
    bounds = attention_gradient_bounds(inputs.arguments, grad_output, stored_exactly, separate)  # type: ignore[arg-type]
    expected, computed = inputs.gradients(grad_output), probe.gradients(grad_output, inputs)
    for name in (what, f"{what}_global"):
        if name in inputs.arrays:
            bound = doubled(bounds[name], ("score gradient", "probability"))
            yield judge(computed[name], getattr(expected, name), bound, f"gradient of {name}")


def doubled(bound: Bound, stored: Collection[str]) -> Bound:
    """Return the bound with its terms for stored numbers as large as storing can make them."""
    terms = {name: term * (STORED_TWICE if name in stored else 1.0) for name, term in bound.terms.items()}
    return Bound(terms, bound.keys)

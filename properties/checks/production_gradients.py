"""Gradients at production sizes: every key from some rows, some keys from every row, and counts of every head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.backward import ONCE, Backward
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import SHAPES, Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.gradients import BACKWARD
from trueband.properties.checks.judging import judge_gradient, worst
from trueband.properties.checks.production import MOST, PRODUCTION, structure_only
from trueband.properties.checks.right_gradients import LARGEST_FLOAT16
from trueband.properties.linear.choice import choose_rows
from trueband.properties.linear.codes import CODES
from trueband.properties.linear.gradients import (
    SomeGradients,
    gradients_of_keys,
    gradients_of_rows,
    query_gradients,
    rows_seeing,
)
from trueband.properties.linear.rows import at_rows
from trueband.properties.linear.uniform_gradients import UniformCall
from trueband.properties.results.verdict import Verdict, judge_exact
from trueband.reference.arguments import Float

ADJACENT = 3  # keys at once
LAYOUTS = ("contiguous", "transposed", "offset")
COST = 2**27  # rows times keys times channels of all heads whose keys are judged
COUNTS = Structure(families=("uniform",), without=frozenset({"scale"}), production=SHAPES)


@check(
    "where some rows alone have a gradient of the output, it gives them and all keys the reference's gradients",
    PRODUCTION,
    BACKWARD,
    weight=MOST,
)
def check_gradients_of_rows(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound, and another layout may be another path; what another row
    adds is a product with 0, exactly 0, so that the bound of a key counts these rows only, and the gradient of another
    row's query is exactly 0.
    """
    inputs = probe.inputs
    rows = choose_rows(inputs.real, inputs.is_global, probe.random)
    of_rows = at_rows(probe.case.grad_output(), rows)
    grad_output = np.zeros(inputs.shape)
    np.put_along_axis(grad_output, rows[:, None, :, None], of_rows, axis=2)
    how, suffix = _as_in_training(probe)
    computed = probe.gradients(grad_output, how=how)
    yield from judged(computed, gradients_of_rows(inputs, of_rows, rows), inputs, suffix)
    elsewhere = np.ones(inputs.real.shape, dtype=bool)
    np.put_along_axis(elsewhere, rows, False, axis=1)
    for name in inputs.floating:
        if name.startswith("query"):
            others = computed[name].swapaxes(1, 2)[elsewhere]  # (other rows, h, d)
            yield judge_exact(others, np.zeros_like(others), f"gradient of {name} at rows without one")


@check("of a gradient in all rows, some queries and some keys get the reference's gradients", PRODUCTION, BACKWARD)
def check_gradients_of_keys(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound. Keys are judged from all rows that see them, so they are
    local ones, of some heads where the window is wide, and none where it is very wide.
    """
    inputs, grad_output = probe.inputs, probe.case.grad_output()
    rows = choose_rows(inputs.real, inputs.is_global, probe.random)
    how, suffix = _as_in_training(probe)
    computed = probe.gradients(grad_output, how=how)
    yield from judged(computed, query_gradients(inputs, at_rows(grad_output, rows), rows), inputs, suffix)
    yield from judged(computed, keys_of_some_heads(probe, inputs, grad_output, rows), inputs, suffix)


@check(
    "with queries 0 gradients of values count rows, those of queries count keys, and those of keys are exactly 0",
    COUNTS,
    BACKWARD,
)
def check_query_gradient_counts_at_size(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every weight is 1/n, sums of such terms are counts, and the bound is a closed form in n; exactly 0 is a
    sum of products with 0.
    """
    yield from _gradient_counts(probe, "query")


@check(
    "with keys 0 gradients of values count rows, those of keys count rows, too, and those of queries are exactly 0",
    COUNTS,
    BACKWARD,
)
def check_key_gradient_counts_at_size(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every weight is 1/n, sums of such terms are counts, and the bound is a closed form in n; exactly 0 is a
    sum of products with 0.
    """
    yield from _gradient_counts(probe, "key")


def _gradient_counts(probe: Probe, zero: str) -> Iterator[Verdict]:
    which = int(probe.random.integers(CODES))
    call = UniformCall.of(structure_only(probe), probe.case.head_dim, zero, which, probe.random)
    computed = probe.gradients(call.grad_output, call.inputs)
    yield from judged(computed, call.expected(), call.inputs)


def _as_in_training(probe: Probe) -> tuple[Backward, str]:
    """Choose how inputs and the gradient of the output lie in memory; return it with its description."""
    if not probe.has("strided"):
        return ONCE, ""
    layout, of_output = (str(name) for name in np.random.default_rng([probe.case.seed, 2]).choice(LAYOUTS, 2))
    return Backward(layout, grad_layout=of_output), f" with {layout} inputs, {of_output} gradient of the output"


def judged(
    computed: dict[str, Float], expected: Iterable[SomeGradients], inputs: Inputs, suffix: str = ""
) -> Iterable[Verdict]:
    """Judge the worst of all computed gradients that the dtype can hold."""
    return worst(
        judge_gradient(computed[gradients.name], gradients, suffix)
        for gradients in expected
        if gradients.name in computed
        and (inputs.dtype != "float16" or np.abs(gradients.exact).max(initial=0.0) < LARGEST_FLOAT16 / 4)
    )


def keys_of_some_heads(
    probe: Probe, inputs: Inputs, grad_output: Float, rows: np.ndarray, cost: int = COST
) -> Iterator[SomeGradients]:
    """Yield gradients of keys beside one of the rows, others for each head, as far as their cost allows; beyond that,
    those at an end of the sequence, which fewer rows see.
    """
    tokens, head_dim, left = inputs.shape[2], inputs.shape[3], cost
    local = inputs.real & ~inputs.is_global
    for head in probe.random.permutation(inputs.shape[1]):
        batch = int(probe.random.integers(inputs.shape[0]))
        for near in (int(probe.random.choice(rows[batch])), int(probe.random.choice((1, tokens - 2)))):
            keys = near + np.arange(-1, ADJACENT - 1)
            keys = keys[(keys >= 0) & (keys < tokens)]
            keys = keys[local[batch, keys]]
            if not keys.size:
                continue
            seeing = len(rows_seeing(inputs.structure, batch, keys))
            needed = seeing * min(tokens, 2 * seeing) * head_dim
            if needed <= left:
                left -= needed
                yield from gradients_of_keys(inputs, grad_output, batch, int(head), keys)
                break

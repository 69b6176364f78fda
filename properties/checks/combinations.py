"""Combinations at production sizes: sizes, masks, options, layouts in memory and wanted gradients, as a covering
design combines them (`trueband.properties.cases.combinations`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.backward import Backward
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import COMBINED, Structure
from trueband.properties.cases.ways import Way
from trueband.properties.checks.check import check
from trueband.properties.checks.gradient_layouts import equal_numbers
from trueband.properties.checks.gradients import BACKWARD
from trueband.properties.checks.production import ALL, judge_rows, masked_rows, repeated
from trueband.properties.checks.production_gradients import judged, keys_of_some_heads
from trueband.properties.linear.choice import choose_rows
from trueband.properties.linear.gradients import gradients_of_rows, query_gradients
from trueband.properties.linear.rows import at_rows
from trueband.properties.results.verdict import Verdict

ROWS = 16  # of each sequence
ROWS_OF_GRADIENTS = 8
COST_OF_KEYS = 2**24  # see `keys_of_some_heads`


@check(
    "whatever sizes, masks, options and layouts meet, rows equal the reference's within the bound of each",
    Structure(production=COMBINED),
    weight=ALL,
)
def check_combinations(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the row, however the inputs lie; masked rows are 0 by
    definition.
    """
    way, inputs = asked(probe)
    rows = choose_rows(inputs.real, inputs.is_global, probe.random, ROWS)
    output = probe.run(inputs, way.layout, way.those(inputs.floating))
    yield judge_rows(output, inputs, rows, f"output{way.words()}")
    yield masked_rows(inputs, output)


@check(
    "whatever sizes, masks, options, layouts and gradients that are asked for meet, gradients equal the reference's",
    Structure(production=COMBINED),
    BACKWARD,
    weight=ALL,
)
def check_combined_gradients(probe: Probe) -> Iterator[Verdict]:
    """Bounded: as of the gradients of rows, and of keys where the gradient of the output is expanded and so in all
    rows; which gradients are asked for and how arrays lie may choose another path. The output that comes with them is
    within the bound of its rows.
    """
    way, inputs = asked(probe)
    rows = choose_rows(inputs.real, inputs.is_global, probe.random, ROWS_OF_GRADIENTS)
    how = Backward(way.layout, way.those(inputs.floating), way.grad_layout)
    names, words = way.gradients(inputs.floating), way.words(gradients=True)
    grad_output = probe.case.grad_output()
    if way.grad_layout == "expanded":
        grad_output, _ = equal_numbers(probe, grad_output)
        of_rows = at_rows(grad_output, rows)
    else:
        of_rows = at_rows(grad_output, rows)
        grad_output = np.zeros(inputs.shape)
        np.put_along_axis(grad_output, rows[:, None, :, None], of_rows, axis=2)
    computed = probe.gradients(grad_output, inputs, names, how)
    if computed.output is not None:
        yield judge_rows(computed.output, inputs, rows, f"output{words}")
    if way.grad_layout != "expanded":
        yield from judged(computed, gradients_of_rows(inputs, of_rows, rows), inputs, words)
        return
    yield from judged(computed, query_gradients(inputs, of_rows, rows), inputs, words)
    yield from judged(computed, keys_of_some_heads(probe, inputs, grad_output, rows, COST_OF_KEYS), inputs, words)


def asked(probe: Probe) -> tuple[Way, Inputs]:
    """Return how the candidate is called, and the inputs, with equal rows or heads where they are to be expanded."""
    way = Way.of_case(probe.case, probe.has("strided"), probe.has("autograd"))
    if way.layout != "expanded":
        return way, probe.inputs
    return way, repeated(probe.inputs, list(way.those(probe.inputs.floating)))

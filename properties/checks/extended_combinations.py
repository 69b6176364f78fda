"""At the sizes of today's models: grouped heads, caches, packed rows, two-sided windows and what changes scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import EXTENDED, Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.gradients import BACKWARD
from trueband.properties.checks.production import MOST, judge_rows
from trueband.properties.checks.production_gradients import judged
from trueband.properties.linear.choice import choose_rows
from trueband.properties.linear.gradients import gradients_of_rows
from trueband.properties.linear.rows import Rows, at_rows
from trueband.properties.results.verdict import Verdict, judge_exact

ROWS, ROWS_OF_GRADIENTS = 24, 8  # of each sequence


@check(
    "whatever key heads, sides, offsets, segments and scores meet, rows equal the reference's within the bound of each",
    Structure(production=EXTENDED, takes=EVERY_KIND),
    weight=MOST,
)
def check_extended_rows(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the row; masked rows are 0 by definition."""
    inputs, output = probe.inputs, probe.run()
    yield judge_rows(output, inputs, _rows(probe, inputs, ROWS), "output")
    masked = output.swapaxes(1, 2)[~inputs.real_rows]  # (masked queries, h, e)
    yield judge_exact(masked, np.zeros_like(masked), "masked row")


@check(
    "whatever key heads, sides, offsets, segments and scores meet, some rows give the reference's gradients",
    Structure(production=EXTENDED, takes=EVERY_KIND),
    BACKWARD,
    weight=MOST,
)
def check_extended_gradients(probe: Probe) -> Iterator[Verdict]:
    """Bounded: as of the gradients of rows; what another row adds is a product with 0, exactly 0."""
    inputs = probe.inputs
    rows = _rows(probe, inputs, ROWS_OF_GRADIENTS)
    of_rows = at_rows(probe.case.grad_output(), rows)
    grad_output = np.zeros(inputs.output_shape)
    np.put_along_axis(grad_output, rows[:, None, :, None], of_rows, axis=2)
    computed = probe.gradients(grad_output)
    yield from judged(computed, gradients_of_rows(inputs, of_rows, rows), inputs)


def _rows(probe: Probe, inputs: Inputs, most: int) -> Rows:
    return choose_rows(inputs.real_rows, inputs.global_rows, probe.random, most)

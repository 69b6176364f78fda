"""At the sizes of today's models: grouped heads, caches, packed rows, two-sided windows and what changes scores, with
the layouts in memory and the wanted gradients of the combinations of the first edition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.bounds import score_option_gradient_bounds
from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.backward import Backward
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import EXTENDED, Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.combinations import asked
from trueband.properties.checks.gradients import BACKWARD
from trueband.properties.checks.production import MOST, judge_rows
from trueband.properties.checks.production_gradients import judged
from trueband.properties.checks.right_gradients import representable
from trueband.properties.linear.alone import rows_alone
from trueband.properties.linear.choice import choose_rows
from trueband.properties.linear.gradients import gradients_of_rows
from trueband.properties.linear.rows import Rows, at_rows
from trueband.properties.results.verdict import Verdict, judge, judge_exact

ROWS, ROWS_OF_GRADIENTS, ROWS_OF_LSE = 24, 8, 4  # of each sequence


@check(
    "whatever key heads, sides, offsets, segments and scores meet, rows equal the reference's within the bound of each",
    Structure(production=EXTENDED, takes=EVERY_KIND),
    weight=MOST,
)
def check_extended_rows(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the row, however the inputs lie; masked rows are 0 by
    definition. Some cases ask for lse, too.
    """
    way, inputs = asked(probe)
    output = probe.run(inputs, way.layout, way.those(inputs.floating))
    yield judge_rows(output, inputs, _rows(probe, inputs, ROWS), f"output{way.words()}")
    masked = output.swapaxes(1, 2)[~inputs.real_rows]  # (masked queries, h, e)
    yield judge_exact(masked, np.zeros_like(masked), "masked row")
    if probe.has("lse") and probe.random.integers(2):
        yield from _lse(probe, inputs)


def _lse(probe: Probe, inputs: Inputs) -> Iterator[Verdict]:
    rows = _rows(probe, inputs, ROWS_OF_LSE)
    alone = rows_alone(inputs, rows)
    if alone is None:
        return
    output, lse = probe.with_lse(inputs)
    yield judge_rows(output, inputs, rows, "output beside lse")
    shape = (len(rows), rows.shape[1], inputs.shape[1])  # (b, r, h)
    computed = np.take_along_axis(lse, rows[:, None], axis=2).swapaxes(1, 2).reshape(-1, shape[2], 1)
    yield judge(computed, alone.lse, alone.lse_bound, f"lse of the rows {rows.tolist()}")


@check(
    "whatever key heads, sides, offsets, segments and scores meet, some rows give the reference's gradients",
    Structure(production=EXTENDED, takes=EVERY_KIND),
    BACKWARD,
    weight=MOST,
)
def check_extended_gradients(probe: Probe) -> Iterator[Verdict]:
    """Bounded: as of the gradients of rows, however the arrays lie and whichever gradients are asked for; what another
    row adds is a product with 0, exactly 0. The output that comes with them is within the bound of its rows.
    """
    way, inputs = asked(probe)
    if way.grad_layout == "expanded":  # rows without a gradient are no copies of the others
        way = replace(way, grad_layout="contiguous")
    rows = _rows(probe, inputs, ROWS_OF_GRADIENTS)
    of_rows = at_rows(probe.case.grad_output(), rows)
    grad_output = np.zeros(inputs.output_shape)
    np.put_along_axis(grad_output, rows[:, None, :, None], of_rows, axis=2)
    options = [name for name in ("sinks", "slopes") if name in inputs.arrays and probe.has(f"{name}_gradient")]
    names, words = [*way.gradients(inputs.floating), *options], way.words(gradients=True)
    how = Backward(way.layout, way.those(inputs.floating), way.grad_layout)
    computed = probe.gradients(grad_output, inputs, names, how)
    if computed.output is not None:
        yield judge_rows(computed.output, inputs, rows, f"output{words}")
    yield from judged(computed, gradients_of_rows(inputs, of_rows, rows), inputs, words)
    alone = rows_alone(inputs, rows) if options else None
    if alone is None:
        return
    upstream = of_rows.swapaxes(1, 2).reshape(-1, inputs.shape[1], 1, of_rows.shape[3])  # (b r, h, 1, e)
    expected = alone.gradients(upstream)
    bounds = score_option_gradient_bounds(alone.arguments, upstream, alone.precision)
    for name in options:
        exact = getattr(expected, name)
        if representable(inputs, [bounds[name].total + np.abs(exact)]):
            yield judge(computed[name], exact, bounds[name], f"gradient of {name}{words}")


def _rows(probe: Probe, inputs: Inputs, most: int) -> Rows:
    return choose_rows(inputs.real_rows, inputs.global_rows, probe.random, most)

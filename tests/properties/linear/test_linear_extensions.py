"""Some rows, and the gradients that they give, are those of the whole reference, whatever the second edition adds."""

from __future__ import annotations

import random

import numpy as np
import pytest

from trueband.properties.candidate.target import SECOND_EDITION
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.strategies import Structure, choose_case
from trueband.properties.linear.choice import choose_rows
from trueband.properties.linear.gradients import gradients_of_rows
from trueband.properties.linear.rows import at_rows, reference_at

ROUNDING = 1e-12  # float64, of sums in another order: far below any bound


def cases(count: int) -> list[Case]:
    structure = Structure(takes=EVERY_KIND, long=False)
    return [choose_case(RandomChoices(random.Random(n)), "float32", SECOND_EDITION, structure) for n in range(count)]


@pytest.mark.parametrize("case", cases(60), ids=lambda case: case.id)
def test_rows_and_their_gradients_are_the_reference(case: Case) -> None:
    inputs = case.inputs()
    generator = np.random.default_rng(case.seed)
    rows = choose_rows(inputs.real_rows, inputs.global_rows, generator, 5)
    some = reference_at(inputs, rows)
    np.testing.assert_allclose(some.output, at_rows(inputs.output, rows), rtol=ROUNDING, atol=ROUNDING * 1e3)
    whole = at_rows(inputs.bound.total, rows)
    np.testing.assert_allclose(some.bound.total, whole, rtol=1e-9, atol=1e-30)

    of_rows = at_rows(case.grad_output(), rows)
    grad_output = np.zeros(inputs.output_shape)
    np.put_along_axis(grad_output, rows[:, None, :, None], of_rows, axis=2)
    expected = inputs.gradients(grad_output)
    seen = set()
    for found in gradients_of_rows(inputs, of_rows, rows):
        gradient = getattr(expected, found.name)[found.batch, found.heads][:, found.positions]
        scale = max(float(np.abs(gradient).max(initial=0.0)), 1.0)
        np.testing.assert_allclose(found.exact, gradient, rtol=1e-9, atol=1e-11 * scale)
        seen.add(found.name)
    assert seen == set(inputs.floating)

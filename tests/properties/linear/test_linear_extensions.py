"""Some rows, and the gradients that they give, are those of the whole reference, whatever the second edition adds."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from trueband.properties.bounds import Bound
from trueband.properties.candidate.target import SECOND_EDITION
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.strategies import Structure, choose_case
from trueband.properties.linear.alone import rows_alone
from trueband.properties.linear.choice import choose_rows
from trueband.properties.linear.gradients import gradients_of_rows
from trueband.properties.linear.rows import at_rows, reference_at
from trueband.properties.results.verdict import judge


def cases(count: int) -> list[Case]:
    structure = Structure(takes=EVERY_KIND, long=False)
    return [choose_case(RandomChoices(random.Random(n)), "float32", SECOND_EDITION, structure) for n in range(count)]


@pytest.mark.parametrize("case", cases(60), ids=lambda case: case.id)
def test_rows_and_their_gradients_are_the_reference(case: Case) -> None:
    """In float64: another order of the sums is within its bound. The bounds are of the same size as of all rows."""
    inputs = replace(case.inputs(), dtype="float64")
    generator = np.random.default_rng(case.seed)
    rows = choose_rows(inputs.real_rows, inputs.global_rows, generator, 5)
    some, whole = reference_at(inputs, rows), at_rows(inputs.bound.total, rows)
    verdict = judge(some.output, at_rows(inputs.output, rows), Bound({"whole": whole}))
    assert verdict.passed, str(verdict)
    assert same_size(some.bound.total, whole)

    of_rows = at_rows(case.grad_output(), rows)
    grad_output = np.zeros(inputs.output_shape)
    np.put_along_axis(grad_output, rows[:, None, :, None], of_rows, axis=2)
    expected, bounds = inputs.gradients(grad_output), inputs.gradient_bounds(grad_output)
    seen = set()
    for found in gradients_of_rows(inputs, of_rows, rows):
        place = np.s_[found.batch, found.heads]
        gradient, bound = getattr(expected, found.name)[place], bounds[found.name].total[place]
        verdict = judge(found.exact, gradient[:, found.positions], Bound({"whole": bound[:, found.positions]}))
        assert verdict.passed, f"{found.name}: {verdict}"
        seen.add(found.name)
    assert seen == set(inputs.floating)


def same_size(some: np.ndarray, whole: np.ndarray) -> bool:
    """Whether numbers are 0 together, and have the same power of two but for what rounding tips."""
    if not np.array_equal(some > 0, whole > 0):
        return False
    ratios = some[whole > 0] / whole[whole > 0]
    return not np.rint(np.log2(ratios)).any()


ALONE = [case for case in cases(60) if case.global_ is None]
ALONE.append(Case(4, 1, batch=2, global_=((), ()), separate_globals=True))  # no token is global


@pytest.mark.parametrize("case", ALONE, ids=lambda case: case.id)
def test_rows_alone_are_those_rows(case: Case) -> None:
    """And where no other row has a gradient, sinks and slopes have the same."""
    inputs = replace(case.inputs(), dtype="float64")
    rows = choose_rows(inputs.real_rows, inputs.global_rows, np.random.default_rng(case.seed), 5)
    alone = rows_alone(inputs, rows)
    assert alone is not None
    batch, heads, _, dim = inputs.output_shape

    def together(array: np.ndarray) -> np.ndarray:
        """(b, h, r, e) of (b r, h, 1, e)."""
        return array.reshape(batch, -1, heads, dim).swapaxes(1, 2)

    whole = Bound({"whole": at_rows(inputs.bound.total, rows)})
    verdict = judge(together(alone.output), at_rows(inputs.output, rows), whole)
    assert verdict.passed, str(verdict)
    lse, of_rows = alone.lse.reshape(batch, -1, heads).swapaxes(1, 2), rows[:, None, :]
    lse_bound = Bound({"whole": np.take_along_axis(inputs.lse_bound.total, of_rows, axis=2)})
    assert judge(lse, np.take_along_axis(inputs.lse, of_rows, axis=2), lse_bound).passed

    grad_of_rows = at_rows(case.grad_output(), rows)
    grad_output = np.zeros(inputs.output_shape)
    np.put_along_axis(grad_output, rows[:, None, :, None], grad_of_rows, axis=2)
    exact, bounds = inputs.gradients(grad_output), inputs.gradient_bounds(grad_output)
    upstream = grad_of_rows.swapaxes(1, 2).reshape(-1, heads, 1, dim)
    for name in ("sinks", "slopes"):
        if name in inputs.arrays:
            assert judge(getattr(alone.gradients(upstream), name), getattr(exact, name), bounds[name]).passed


def test_rows_alone_are_left_where_they_are_too_large_or_see_global_tokens() -> None:
    rows = np.array([[0, 1]])
    assert rows_alone(Case(3, 1, global_=((0,),)).inputs(), rows) is None
    assert rows_alone(Case(40_000, 1, head_dim=64).inputs(), rows) is None
    assert rows_alone(Case(3, 1).inputs(), rows) is not None

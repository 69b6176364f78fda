"""Every call computes its result anew, in any order and wherever in memory its numbers lie.

A result that is right for one call, and is returned bit for bit for another call with other numbers, was not computed
again: it was replayed. The inputs of these checks are continuous and have at least 8 numbers, so that it is no
coincidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from trueband.properties.candidate.probe import Array, Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.same import SAME_CALL, judge_same
from trueband.properties.results.verdict import REPLAY, Verdict, judge

LEAST_NUMBERS = 8
LARGE = Structure(families=("normal",), head_dims=(LEAST_NUMBERS, 16, 64), takes=EVERY_KIND)


@check("a call's result is its own, also when its numbers lie in the memory of the call before", LARGE)
def check_same_address(probe: Probe) -> Iterator[Verdict]:
    """Bounded: each result against the reference."""
    first, other = _inputs(probe, 2)
    earlier = probe.run(first)
    output = probe.run(other, layout="reused")
    yield own_result(output, other, [(earlier, first)], "output for other numbers in the same memory")
    again = probe.run(first, layout="reused")
    yield own_result(again, first, [(output, other)], "output for the first numbers in the same memory")


@check("the order of calls changes nothing", LARGE, exact_with="deterministic")
def check_call_order(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: the same call again; bounded without."""
    inputs = _inputs(probe, 3)
    outputs: list[Array] = []
    for variant in inputs:
        outputs.append(probe.run(variant))
        earlier = list(zip(outputs[:-1], inputs[: len(outputs) - 1], strict=True))
        yield own_result(outputs[-1], variant, earlier, "output after calls with other numbers")
    for index in (2, 0, 1):
        again, bound = probe.run(inputs[index]), inputs[index].bound.scaled(2)
        yield judge_same(probe, again, outputs[index], bound, "output in another order of calls", SAME_CALL)


def own_result(output: Array, inputs: Inputs, earlier: Sequence[tuple[Array, Inputs]], what: str) -> Verdict:
    """Judge an output; the verdict says if it is a replay.

    Args:
        earlier: (output, inputs) of earlier calls.
    """
    verdict = judge(output, inputs.output, inputs.bound, what)
    if verdict.passed:
        return verdict
    for past, its_inputs in earlier:
        same = np.array_equal(output, past) and np.count_nonzero(past) >= LEAST_NUMBERS
        if same and judge(past, its_inputs.output, its_inputs.bound).passed:
            replayed = f"{what}, which is bit for bit what an earlier call has returned,"
            return replace(verdict, what=replayed, term=REPLAY)
    return verdict


def _inputs(probe: Probe, count: int) -> list[Inputs]:
    """Return the inputs of the case for `count` seeds, from its own on."""
    return [probe.inputs_of(probe.case.replace(seed=probe.case.seed + i)) for i in range(count)]

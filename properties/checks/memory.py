"""Memory: inputs may have any layout and stay unchanged; results depend only on the inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.same import SAME_CALL, judge_same
from trueband.properties.results.verdict import Verdict, judge

ANYTHING = Structure(takes=EVERY_KIND)


@check("the same call gives the same result, bit for bit", ANYTHING, ["deterministic"], exact_with="deterministic")
def check_deterministic(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic, which is declared; no other kernel is held to it."""
    first = probe.run()
    for _ in range(2):
        bound = probe.inputs.bound.scaled(2)
        yield judge_same(probe, probe.run(), first, bound, "output of a repeated call", SAME_CALL)


@check("a result does not depend on earlier calls with other numbers", ANYTHING, weight=2, exact_with="deterministic")
def check_stateless(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: the same call again; bounded without. Against the reference it is bounded."""
    first = probe.inputs
    other = probe.inputs_of(probe.case.replace(seed=probe.case.seed + 1, family="normal"))
    nearly = first.map_arrays(_flip_last_value, ["value", "value_global"])
    output = probe.run(first)
    for inputs, what in ((other, "other numbers"), (nearly, "one other value")):
        yield judge(probe.run(inputs), inputs.output, inputs.bound, f"output for {what}")
        again, bound = f"output after a call with {what}", first.bound.scaled(2)
        yield judge_same(probe, probe.run(first), output, bound, again, SAME_CALL)


def _flip_last_value(value: np.ndarray) -> np.ndarray:
    flipped = value.copy()
    flipped[..., -1, -1] *= -1
    return flipped


@check("inputs whose memory is laid out (b, n, h, d) give the same", ANYTHING)
def check_transposed_inputs(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another layout may be another path."""
    yield judge(
        probe.run(layout="transposed"),
        probe.run(),
        probe.inputs.bound + probe.inputs.bound,
        "output for inputs in (b, n, h, d) memory",
        "as for contiguous ones",
    )


@check("inputs that are slices of larger storage give the same, and nothing around them is read", ANYTHING)
def check_offset_inputs(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another address and other strides may be another path."""
    yield judge(
        probe.run(layout="offset"),
        probe.run(),
        probe.inputs.bound + probe.inputs.bound,
        "output for slices of larger storage",
        "as for inputs of their own",
    )


@check("inputs whose rows of the batch are one row expanded give the same", Structure(batch=(2, 3), takes=EVERY_KIND))
def check_expanded_inputs(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another layout may be another path."""
    inputs = probe.inputs
    equal = inputs.map_arrays(lambda array: np.repeat(array[:1], inputs.shape[0], axis=0), inputs.floating)
    yield judge(
        probe.run(equal, layout="expanded"),
        probe.run(equal),
        equal.bound + equal.bound,
        "output for one row of the batch expanded",
        "as for equal rows",
    )


@check("no input is changed by a call")
def check_inputs_unchanged(probe: Probe) -> Iterator[Verdict]:
    """Exact for the inputs, whose bytes are compared by every call; the output is bounded."""
    # Every call compares the inputs before and after: it is enough to make one.
    for layout in ("contiguous", "offset"):
        yield judge(probe.run(layout=layout), probe.inputs.output, probe.inputs.bound)

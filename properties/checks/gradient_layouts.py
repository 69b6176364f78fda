"""Gradients where the inputs, and the gradient of the output, lie in memory as they do in training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Array, Probe
from trueband.properties.cases.backward import PLAIN_LAYOUTS, Backward
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.right_gradients import RightGradients
from trueband.properties.results.verdict import Verdict

STRIDED = ["backward", "strided"]
EQUAL = ("sequences", "heads", "rows", "channels")
SEVERAL = Structure(tokens=(2, 40), heads=(2, 3), takes=EVERY_KIND)  # one head or token has one layout only


@check(
    "gradients are right however the inputs lie in memory: all of them, or one otherwise than the others",
    SEVERAL,
    STRIDED,
)
def check_gradient_layouts(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another layout may be another path."""
    inputs, grad_output = probe.inputs, probe.case.grad_output()
    right = RightGradients(inputs, grad_output)
    for of in ((), *((name,) for name in inputs.floating)):
        layout = str(probe.random.choice(PLAIN_LAYOUTS))
        computed = probe.gradients(grad_output, how=Backward(layout, of))
        yield from right.judge(computed, f"with {layout} memory of {', '.join(of) or 'all inputs'}")


@check(
    "gradients are right where an input is one row of the batch, or one head, expanded",
    Structure(tokens=(2, 40), batch=(2, 3), heads=(2, 3), takes=EVERY_KIND),
    STRIDED,
)
def check_expanded_input_gradients(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another layout may be another path. The gradient is that of every element of the expanded input."""
    grad_output, every = probe.case.grad_output(), probe.inputs.floating
    for axis, of in enumerate(("one row of the batch", "one head")):
        chosen = [name for name in every if probe.random.integers(2)] or [str(probe.random.choice(every))]
        inputs = probe.inputs.map_arrays(lambda array, axis=axis: _equal_along(array, axis), chosen)
        computed = probe.gradients(grad_output, inputs, how=Backward("expanded", tuple(chosen)))
        yield from RightGradients(inputs, grad_output).judge(computed, f"with {', '.join(chosen)} {of}, expanded")


@check(
    "gradients are right however the gradient of the output lies: transposed, offset, by columns, of stride 0",
    SEVERAL,
    STRIDED,
)
def check_grad_output_layouts(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another layout may be another path."""
    grad_output = probe.case.grad_output()
    right = RightGradients(probe.inputs, grad_output)
    for layout in ("transposed", "offset", "columns"):
        computed = probe.gradients(grad_output, how=Backward(grad_layout=layout))
        yield from right.judge(computed, f"from a gradient of the output in {layout} memory")
    equal, described = equal_numbers(probe, grad_output)
    computed = probe.gradients(equal, how=Backward(grad_layout="expanded"))
    yield from RightGradients(probe.inputs, equal).judge(computed, f"from {described}, of stride 0")


def _equal_along(array: Array, axis: int) -> Array:
    return np.repeat(array.take([0], axis), array.shape[axis], axis)


def equal_numbers(probe: Probe, grad_output: Array) -> tuple[Array, str]:
    """Return the gradient of the output that a sum over all of it, or over an axis, gives; and its description."""
    if grad_output.size == 1 or probe.random.integers(2):
        number = float(probe.random.choice([1.0, 0.5, -2.0]))
        return np.full_like(grad_output, number), f"a gradient of the output of {number:g}"
    several = [axis for axis in (2, 2, 0, 1, 3) if grad_output.shape[axis] > 1]  # most models take a mean over tokens
    axis = int(probe.random.choice(several or [2]))
    return _equal_along(grad_output, axis), f"a gradient of the output of equal {EQUAL[axis]}"

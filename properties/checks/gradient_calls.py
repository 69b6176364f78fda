"""Gradients as training uses them: of some inputs, with their output, repeated, and added to earlier ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.backward import Backward, Gradients
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.right_gradients import RightGradients, representable
from trueband.properties.checks.same import SAME_GRADIENTS, gradient_again, judge_same
from trueband.properties.results.verdict import Verdict, judge

SHORT = Structure(long=False, takes=EVERY_KIND)
AUTOGRAD = ["backward", "autograd"]


@check(
    "the output is the same when gradients are asked for, of all inputs or of one",
    Structure(takes=EVERY_KIND),
    AUTOGRAD,
    exact_with="deterministic",
)
def check_forward_with_gradients(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic, by its definition: a row depends on the same with gradients and without; bounded
    without. Against the reference it is bounded.
    """
    inputs, plain = probe.inputs, probe.run()
    single = [str(probe.random.choice(inputs.floating))]
    for names in (inputs.floating, single):
        output = probe.gradients(probe.case.grad_output(), names=names).output
        assert output is not None
        what = f"output with gradients of {', '.join(names)}"
        yield judge(output, inputs.output, inputs.bound, what)
        yield judge_same(probe, output, plain, inputs.bound.scaled(2), what, "the same call without gradients")


@check("a gradient does not depend on which others are asked for", SHORT, AUTOGRAD)
def check_gradient_subsets(probe: Probe) -> Iterator[Verdict]:
    """Bounded: other gradients may be another path."""
    inputs, grad_output = probe.inputs, probe.case.grad_output()
    right = RightGradients(inputs, grad_output)
    order = [str(name) for name in probe.random.permutation(inputs.floating)]
    alone = [{name} for name in order[:3]]  # with all but each of them, these are all subsets of query, key and value
    some = [{name for name in order if probe.random.integers(2)}] if len(order) > 3 else []
    for subset in (*alone, *(set(order) - single for single in alone), *some):
        names = [name for name in inputs.floating if name in subset]
        if names:
            computed = probe.gradients(grad_output, names=names)
            yield from right.judge(computed, f"with gradients of {', '.join(names)} alone")


@check(
    "the same call gives the same gradients, bit for bit",
    Structure(takes=EVERY_KIND),
    ["backward", "deterministic_gradients"],
    exact_with="deterministic_gradients",
)
def check_deterministic_gradients(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic_gradients, which is declared; no other kernel is held to it."""
    inputs, grad_output = probe.inputs, probe.case.grad_output()
    first, bounds = probe.gradients(grad_output), inputs.gradient_bounds(grad_output)
    if not _comparable(inputs, first):
        return
    for _ in range(2):
        for name, again in probe.gradients(grad_output).items():
            what = f"gradient of {name} of a repeated call"
            yield judge_same(
                probe, again, first[name], bounds[name].scaled(2), what, SAME_GRADIENTS, "deterministic_gradients"
            )


@check(
    "a second backward pass through the same graph gives the same gradients",
    SHORT,
    AUTOGRAD,
    exact_with="deterministic_gradients",
)
def check_gradients_twice(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic_gradients: the same backward pass of the same call; bounded without."""
    inputs, grad_output = probe.inputs, probe.case.grad_output()
    once, twice = probe.gradients(grad_output), probe.gradients(grad_output, how=Backward(way="twice"))
    bounds = inputs.gradient_bounds(grad_output)
    if not _comparable(inputs, once):
        return
    for name, gradient in twice.items():
        what = f"gradient of {name} of a second backward pass"
        yield judge_same(
            probe,
            gradient,
            once[name],
            bounds[name].scaled(2),
            what,
            "the first backward pass",
            "deterministic_gradients",
            again=gradient_again(probe, name, grad_output),
        )


@check("gradients are added to those that are there", SHORT, ["backward", "accumulates"])
def check_gradients_accumulate(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a sum with whole numbers, which are subtracted again, is rounded once more."""
    inputs, grad_output = probe.inputs, probe.case.grad_output()
    right = RightGradients(inputs, grad_output)
    computed = probe.gradients(grad_output, how=Backward(way="added"))
    yield from right.judge(computed, "less what .grad held", right.added_to_there(inputs))


@check("gradients are those of their own call, also when another one comes before its backward pass", SHORT, AUTOGRAD)
def check_gradients_after_another_call(probe: Probe) -> Iterator[Verdict]:
    """Bounded: each result against the reference."""
    inputs, grad_output = probe.inputs, probe.case.grad_output()
    right = RightGradients(inputs, grad_output)
    computed = probe.gradients(grad_output, how=Backward(way="after another"))
    yield from right.judge(computed, "after a forward pass with other numbers")


@check(
    "gradients are those of their own call, also when its numbers lie in the memory of the call before",
    SHORT,
    ["backward"],
)
def check_gradients_same_address(probe: Probe) -> Iterator[Verdict]:
    """Bounded: each result against the reference."""
    case = probe.case.replace(seed=probe.case.seed + 1)
    other, grad_output = probe.inputs_of(case), case.grad_output()
    probe.gradients(probe.case.grad_output())
    computed = probe.gradients(grad_output, other, how=Backward("reused"))
    yield from RightGradients(other, grad_output).judge(computed, "for other numbers in the same memory")


def _comparable(inputs: Inputs, gradients: Gradients) -> bool:
    """Return False where a gradient is not finite: NaN never equals itself, and other checks claim finite gradients."""
    return representable(inputs, gradients.values()) and all(
        np.isfinite(gradient).all() for gradient in gradients.values()
    )

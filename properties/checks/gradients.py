"""Gradients: against the reference, and laws that need no reference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.bounds import Bound
from trueband.properties.bounds.tipping import gradients_may_tip, sum_of_parts_may_tip
from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.padding import PADDED_EXTENDED, contents, fill_masked
from trueband.properties.checks.right_gradients import RightGradients, representable
from trueband.properties.checks.same import gradient_again, judge_same
from trueband.properties.results.verdict import Verdict, judge, judge_exact

BACKWARD = ["backward"]


@check(
    "the gradients of all inputs equal the reference's within the bounds of the case",
    Structure(takes=EVERY_KIND),
    BACKWARD,
    weight=8,
)
def check_gradients_match_reference(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case."""
    grad_output = probe.case.grad_output()
    yield from RightGradients(probe.inputs, grad_output).judge(probe.gradients(grad_output))


@check(
    "the gradient of the head mask equals the reference's within the bound of the case",
    Structure(require=frozenset({"head_mask"})),
    ["backward", "head_mask_gradient"],
)
def check_head_mask_gradient(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case. Only kernels that declare it are
    held to it: a kernel may take the head mask as a constant, as most do, and still be right. With values of 1 and a
    positive gradient of the output nothing cancels, and a term that is lost or counted twice is beyond the bound.
    """
    positive = probe.random.integers(1, 9, probe.inputs.shape) / 64
    ones = probe.inputs.map_arrays(np.ones_like, ["value", "value_global"])
    for inputs, grad_output in ((probe.inputs, probe.case.grad_output()), (ones, positive)):
        expected, bound = inputs.gradients(grad_output).head_mask, inputs.head_mask_gradient_bound(grad_output)
        if representable(inputs, [bound.total + np.abs(expected)]):
            names = ["query", "key", "value", "head_mask"]
            computed = probe.gradients(grad_output, inputs, names)["head_mask"]
            yield judge(computed, expected, bound, "gradient of head_mask")


@check(
    "gradients at masked tokens are exactly 0, whatever they hold",
    PADDED_EXTENDED,
    BACKWARD,
    weight=2,
)
def check_masked_gradients_are_zero(probe: Probe) -> Iterator[Verdict]:
    """Exact: the contract's definition, 0 is stored and not computed."""
    grad_output = probe.case.grad_output()
    for content in (1.0, np.nan) if probe.has("nan_padding") else (1.0,):
        for name, gradient in probe.gradients(grad_output, fill_masked(probe.inputs, content)).items():
            at_masked = np.where(probe.inputs.real_of(name)[:, None, :, None], 0.0, gradient)
            yield judge_exact(at_masked, np.zeros_like(at_masked), f"gradient of {name} at a masked token")


@check(
    "what masked tokens hold, and the gradient that reaches their rows, changes no gradient",
    PADDED_EXTENDED,
    BACKWARD,
    exact_with="deterministic_gradients",
)
def check_masked_rows_give_no_gradient(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic_gradients: what counts is the same in both calls; bounded without, where infinity, or a
    large number where nan_padding is not declared, is still seen.
    """
    grad_output = probe.case.grad_output()
    real = probe.inputs.real_rows[:, None, :, None]
    counted = np.where(real, grad_output, 0.0)
    before, bounds = probe.gradients(counted), probe.inputs.gradient_bounds(counted)
    after = probe.gradients(np.where(real, grad_output, 8.0), fill_masked(probe.inputs, contents(probe)[-2]))
    for name, gradient in after.items():
        what, compared = f"gradient of {name}", "the same gradient with other numbers in masked tokens"
        yield judge_same(
            probe,
            gradient,
            before[name],
            bounds[name].scaled(2),
            what,
            compared,
            "deterministic_gradients",
            again=gradient_again(probe, name, counted),
        )


@check(
    "a row's gradient reaches exactly no token that the row does not attend",
    Structure(takes=EVERY_KIND - {"gqa", "offset"}),
    BACKWARD,
)
def check_gradient_support(probe: Probe) -> Iterator[Verdict]:
    """Exact: a sum of products with 0 is 0 in any order, and the contract's weight of an unattended key is 0."""
    inputs, grad_output, row = _one_row(probe)
    visible = inputs.visible[:, :, row, :, None]
    computed = probe.gradients(grad_output)
    for name in inputs.floating:
        allowed = np.arange(inputs.shape[2])[:, None] == row if name.startswith("query") else visible
        outside = np.where(allowed, 0.0, computed[name])
        yield judge_exact(outside, np.zeros_like(outside), f"gradient of {name} outside of row {row}")


@check(
    "the gradients of the values add up to the gradient of the output",
    Structure(takes=EVERY_KIND - {"gqa", "offset", "sinks"}),
    BACKWARD,
)
def check_value_gradient_mass(probe: Probe) -> Iterator[Verdict]:
    """Bounded: an identity of exact arithmetic, judged by the errors of all gradients."""
    inputs, grad_output = probe.inputs.with_arrays(head_mask=None), probe.case.grad_output()
    bounds, computed = inputs.gradient_bounds(grad_output), probe.gradients(grad_output, inputs)
    names = [name for name in inputs.floating if name.startswith("value")]
    total = sum(computed[name].sum(axis=2) for name in names)
    mass = np.where(inputs.real[:, None, :, None], grad_output, 0.0).sum(axis=2)
    yield judge(total, mass, _summed(inputs, bounds, names), "sum over tokens of the gradient of value")


@check(
    "a row's gradients of the scores sum to 0: so do its gradients of the keys",
    Structure(takes=EVERY_KIND - {"gqa", "offset", "sinks", "softcap"}),
    BACKWARD,
)
def check_key_gradients_cancel(probe: Probe) -> Iterator[Verdict]:
    """Bounded: an identity of exact arithmetic, judged by the errors of all gradients."""
    inputs, grad_output, _ = _one_row(probe)
    bounds, computed = inputs.gradient_bounds(grad_output), probe.gradients(grad_output)
    names = [name for name in inputs.floating if name.startswith("key")]
    total = sum(computed[name].sum(axis=2) for name in names)
    yield judge(total, np.zeros_like(total), _summed(inputs, bounds, names), "sum over tokens of the gradient of key")


@check(
    "twice the gradient of the output gives twice the gradients, but for what underflows",
    needs=BACKWARD,
    exact_with="deterministic_gradients",
)
def check_gradients_are_linear(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic_gradients: a power of two commutes with every rounding of the same operations, where
    nothing underflows or is tipped by what does; bounded without.
    """
    inputs, grad_output = probe.inputs, probe.case.grad_output()
    once, twice = probe.gradients(grad_output), probe.gradients(2 * grad_output)
    if not representable(inputs, list(once.values())):
        return
    bounds = inputs.gradient_bounds(grad_output)
    may_tip = gradients_may_tip(inputs.arguments, grad_output, inputs.precision)
    parts_may_tip = sum_of_parts_may_tip(inputs.arguments, inputs.precision)
    for name in inputs.floating:
        # Twice what underflows in the first, and once what underflows in the second.
        rounding = Bound({"underflow": 3 * bounds[name].terms["underflow"]})
        if parts_may_tip and f"{name}_global" not in inputs.arrays:
            rounding += Bound({"output": 2 * inputs.precision.output * np.abs(twice[name])})
        both = bounds[name].scaled(4)
        if may_tip[name.removesuffix("_global")]:
            rounding = both
        compared = "twice the gradient of the output"
        yield judge_same(
            probe,
            twice[name],
            2 * once[name],
            both,
            f"gradient of {name}",
            compared,
            "deterministic_gradients",
            rounding=rounding,
            again=gradient_again(probe, name, grad_output, 2.0),
        )


@check(
    "without a global token the gradients of the global projections are exactly 0",
    needs=["backward", "separate_globals"],
)
def check_unused_global_gradients(probe: Probe) -> Iterator[Verdict]:
    """Exact: nothing depends on them, and a sum of nothing is 0."""
    inputs = probe.inputs
    own = {f"{name}_global": inputs.arrays[name] for name in ("query", "key", "value")}
    inputs = inputs.with_arrays(global_attention_mask=np.zeros(inputs.real.shape, dtype=bool), **own)
    computed = probe.gradients(probe.case.grad_output(), inputs)
    for name in own:
        yield judge_exact(computed[name], np.zeros_like(computed[name]), f"gradient of {name}")


def _one_row(probe: Probe) -> tuple[Inputs, np.ndarray, int]:
    """Return a gradient of the output that is 0 except in one row of every sequence."""
    row = int(probe.random.integers(probe.inputs.shape[2]))
    grad_output = np.zeros(probe.inputs.output_shape)
    grad_output[:, :, row] = probe.case.grad_output()[:, :, row]
    return probe.inputs, grad_output, row


def _summed(inputs: Inputs, bounds: dict[str, Bound], names: list[str]) -> Bound:
    """Return the bound on the sum of some gradients over the tokens."""
    return Bound({name: bounds[name].total.sum(axis=2) for name in names})

"""A term that underflows in one call and not in the other tips the rounding of a sum that lies halfway: no fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueband.properties.bounds import Precision
from trueband.properties.bounds.tipping import gradients_may_tip, output_may_tip
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target, load_target
from trueband.properties.cases.case import Case
from trueband.properties.checks import CHECKS
from trueband.properties.running.engine import reproduce

pytestmark = pytest.mark.evidence

# Three keys of which one weighs e^-67, and one 0.881: -3 times that lies halfway between two numbers of float32.
HALFWAY = Case(tokens=8, window=4, head_dim=64, heads=2, causal=True, scale=1.0, family="integer", seed=1000000300)


def in_order(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: int,
    attention_mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
    rounded: float = 0.0,
) -> Any:
    """A correct kernel in float32: products are added one after the other, the lightest key first."""
    batch, heads, tokens, head_dim = query.shape
    output = np.zeros_like(value)
    factor = np.float32(head_dim**-0.5 if scale is None else scale)
    for at in np.ndindex(batch, heads, tokens):
        first, last = max(0, at[2] - window), at[2] + 1 if causal else min(tokens, at[2] + window + 1)
        own = key[at[0], at[1], first:last] @ query[at] * factor
        weights = np.exp(own - own.max())
        weights /= weights.sum()
        total = np.zeros(head_dim, np.float32)
        for j in np.argsort(weights):
            total += weights[j] * value[at[0], at[1], first + j]
        output[at] = total * np.float32(1 + rounded)
    return output


KERNEL = Target(in_order, features=frozenset({"causal", "scale", "deterministic"}), library="numpy")


def test_the_sum_does_tip_and_that_is_no_fault() -> None:
    inputs, runner = HALFWAY.inputs(), Runner(KERNEL)
    once = runner.call(inputs.arrays, inputs.options, "float32")
    scaled = inputs.map_arrays(lambda array: array * 2.0**-60, ["value"])
    small = runner.call(scaled.arrays, scaled.options, "float32")
    assert (once * 2.0**-60 != small).any()
    may_tip = np.broadcast_to(output_may_tip(inputs.arguments, inputs.precision, 2.0**-60), once.shape)
    assert may_tip[once * 2.0**-60 != small].all()
    for name in ("powers_of_two", "homogeneous_in_values"):
        record = reproduce({"check": name, "case": HALFWAY.to_dict()}, "in order", runner)
        assert record.passed, record.message


@pytest.mark.parametrize("name", ["powers_of_two", "homogeneous_in_values"])
def test_elsewhere_calls_agree_bit_for_bit(name: str) -> None:
    """A kernel whose last bit depends on the size of the values is told in nearly every case."""

    def wrong(query: Any, key: Any, value: Any, **options: Any) -> Any:
        return in_order(query, key, value, **options, rounded=2.0**-23 if np.abs(value).max() > 8 else 0.0)

    runner = Runner(replace(KERNEL, function=wrong))
    for seed in range(10):
        case = Case(tokens=6, window=2, head_dim=4, family="normal", seed=seed)
        assert CHECKS[name].applies_to(runner.features)
        assert reproduce({"check": name, "case": case.to_dict()}, "in order", Runner(KERNEL)).passed
        assert not reproduce({"check": name, "case": case.to_dict()}, "wrong", runner).passed


def test_gradients_of_two_kinds_of_rows_are_rounded_apart() -> None:
    """The global rows' part of a gradient of the values is subnormal in float16; found by a campaign."""
    kernel = Path(__file__).parents[3] / "tools/dense_softmax.py"
    runner = Runner(load_target(f"{kernel}:kernel"))
    case = Case(
        tokens=259,
        window=56,
        head_dim=4,
        batch=3,
        heads=2,
        global_=((181, 196), tuple(range(259)), ()),
        family="integer",
        seed=1000000143,
        dtype="float16",
    )
    inputs, grad_output = case.inputs(), case.grad_output()
    once, twice = (
        runner.gradients(inputs.arrays, inputs.options, "float16", times * grad_output, ["value"]) for times in (1, 2)
    )
    assert (twice["value"] != 2 * once["value"]).any()
    record = reproduce({"check": "gradients_are_linear", "case": case.to_dict()}, "dense", runner)
    assert record.passed, record.message


def test_gradients() -> None:
    few = Case(tokens=2, window=1, head_dim=1, family="normal", seed=1)
    arguments, grad_output = few.inputs().arguments, few.grad_output()
    for dtype in ("float64", "float32", "bfloat16"):
        assert not any(gradients_may_tip(arguments, grad_output, Precision.of(dtype)).values())
    # The gradients of the scores are stored in float16, which holds nothing between 0 and 2^-24.
    may_tip = gradients_may_tip(arguments, grad_output, Precision.of("float16"))
    assert may_tip == {"query": True, "key": True, "value": False}
    far = gradients_may_tip(HALFWAY.inputs().arguments, HALFWAY.grad_output(), Precision.of("float32"))
    assert far == {"query": True, "key": True, "value": True}

"""The bounds: never exceeded by correct arithmetic of any order, and close to what correct arithmetic does."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from trueband.properties.bounds import DTYPES, Bound, Precision, attention_bound, attention_gradient_bounds
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import choose_case
from trueband.properties.results.verdict import judge
from trueband.reference.attention import band_attention, local_rows

PLAIN = frozenset({"padding", "causal", "scale"})


def tiled(
    case: Case, tile: int, accumulator: torch.dtype | None = None, inputs: Inputs | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Online softmax over tiles of keys, probabilities stored in the dtype; backward from the stored log-sum-exp."""
    inputs, dtype = inputs or case.inputs(), getattr(torch, case.dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    arguments = inputs.arguments
    visible = torch.from_numpy(local_rows(arguments).visible)
    query, key, value = (torch.from_numpy(x).to(wide) for x in (arguments.query, arguments.key, arguments.value))
    scores = (query @ key.transpose(-1, -2) * arguments.scale).masked_fill(~visible, -math.inf)
    top = torch.full((*scores.shape[:-1], 1), -math.inf, dtype=wide)
    total, mixed = torch.zeros_like(top), torch.zeros_like(query)
    for start in range(0, scores.shape[-1], tile):
        part = scores[..., start : start + tile]
        highest = torch.maximum(top, part.amax(-1, keepdim=True))
        safe = torch.where(highest == -math.inf, 0.0, highest)
        weights, shrink = torch.exp(part - safe), torch.exp(top - safe)
        total = total * shrink + weights.sum(-1, keepdim=True)
        mixed = mixed * shrink + weights.to(dtype).to(wide) @ value[..., start : start + tile, :]
        if accumulator is not None:
            mixed = mixed.to(accumulator).to(wide)
        top = highest
    live = total > 0
    output = torch.where(live, mixed / torch.where(live, total, 1.0), 0.0).to(dtype)

    real = torch.from_numpy(inputs.real)[:, None, :, None]
    upstream = torch.where(real, torch.from_numpy(case.grad_output()), 0.0).to(wide)
    log_sum_exp = torch.where(live, top + torch.log(torch.where(live, total, 1.0)), 0.0)
    p = torch.where(visible, torch.exp(scores - log_sum_exp), 0.0)
    delta = (upstream * output.to(wide)).sum(-1, keepdim=True)
    grad_s = (p * (upstream @ value.transpose(-1, -2) - delta)).to(dtype).to(wide)
    gradients = {
        "query": grad_s @ key * arguments.scale,
        "key": grad_s.transpose(-1, -2) @ query * arguments.scale,
        "value": p.to(dtype).to(wide).transpose(-1, -2) @ upstream,
    }
    return output.double().numpy(), {name: grad.to(dtype).double().numpy() for name, grad in gradients.items()}


@pytest.mark.evidence
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_correct_kernel_exceeds_them_and_some_come_near(dtype: str) -> None:
    worst = dict.fromkeys(("output", "query", "key", "value"), 0.0)

    # Drawn without Hypothesis, whose draws depend on its version: how near the bounds come must not.
    for number in range(400):
        case = choose_case(RandomChoices(random.Random(f"{dtype} {number}")), dtype, PLAIN)
        inputs, grad_output = case.inputs(), case.grad_output()
        exact, bounds = inputs.gradients(grad_output), inputs.gradient_bounds(grad_output)
        for tile in (1, 16, 1024):
            output, gradients = tiled(case, tile)
            verdict = judge(output, inputs.output, inputs.bound)
            assert verdict.passed, (str(verdict), case)
            worst["output"] = max(worst["output"], verdict.ratio)
            for name, gradient in gradients.items():
                expected = getattr(exact, name)
                if dtype == "float16" and np.abs(expected).max() > 2.0**14:
                    continue
                verdict = judge(gradient, expected, bounds[name], f"gradient of {name}")
                assert verdict.passed, (str(verdict), case)
                worst[name] = max(worst[name], verdict.ratio)
    # In half precision what is rounded last dominates, and rounds alike on every machine. How near the bound of every
    # sum comes in the wide formats is a matter of the machine's order.
    if dtype in ("bfloat16", "float16"):
        assert min(worst.values()) > 0.4, worst


@pytest.mark.parametrize(
    ("dtype", "sums"),
    [("bfloat16", "bfloat16"), ("float16", "float16"), ("float32", "bfloat16"), ("float64", "float32")],
)
def test_an_accumulator_that_is_too_narrow_exceeds_them(dtype: str, sums: str) -> None:
    """Named wrong implementation: sums kept in a narrower format."""
    found = False
    for seed in range(20):
        case = Case(tokens=200, window=64, head_dim=16, heads=2, family="normal", seed=seed, dtype=dtype)
        output, _ = tiled(case, 4, getattr(torch, sums))
        found |= not judge(output, case.inputs().output, case.inputs().bound).passed
    assert found


def test_float16_needs_the_terms_of_underflow() -> None:
    """Named wrong bound: without the underflow terms a correct float16 kernel exceeds it."""
    exceeded = False
    for step in range(40):
        # One key takes all the weight and has the value 0; what is left underflows in float16.
        key = np.full((1, 1, 8, 1), -11.0 - step / 32)
        key[..., 0, :] = 0
        value = np.where(key == 0, 0.0, 1.0)
        case = Case(tokens=8, window=7, scale=1.0, dtype="float16")
        inputs = case.inputs().with_arrays(query=np.ones_like(key), key=key, value=value)
        output, _ = tiled(case, 8, inputs=inputs)
        ratio = np.abs(output - inputs.output) / (inputs.bound.total - inputs.bound.terms["underflow"])
        exceeded |= bool(ratio.max() > 1)
        assert judge(output, inputs.output, inputs.bound).passed
    assert exceeded


def test_normalized_probabilities_may_be_stored_in_float16_however_many_keys_share_the_weight() -> None:
    """Named wrong bound: what underflows in a probability, divided by the number of keys that share the weight."""
    exceeded = False
    for step in range(20):
        # A third of the keys take all the weight and have the value 0; what is left underflows in float16.
        key = np.full((1, 1, 600, 1), -11.0 - step / 32)
        key[..., :200, :] = 0
        value = np.where(key == 0, 0.0, 1.0)
        case = Case(tokens=600, window=599, scale=1.0, dtype="float16")
        inputs = case.inputs().with_arrays(query=np.ones_like(key), key=key, value=value)
        p = local_rows(inputs.arguments).probabilities.astype(np.float16).astype(np.float32)
        output = (p @ value.astype(np.float32)).astype(np.float16)
        assert judge(output, inputs.output, inputs.bound).passed
        shared = inputs.bound.terms["underflow"] * (1 - 1 / 200)
        exceeded |= not judge(output, inputs.output, Bound({"": inputs.bound.total - shared})).passed
    assert exceeded


def test_masked_rows_have_no_slack() -> None:
    case = Case(tokens=5, window=1, head_dim=2, masked=((1, 4),), global_=((0,),), family="normal")
    assert (case.inputs().bound.total[0, 0, [1, 4]] == 0).all()
    assert (case.inputs().bound.total[0, 0, [0, 2, 3]] > 0).all()


def test_a_key_not_attended_adds_nothing() -> None:
    near, far = (Case(tokens=n, window=1, head_dim=2, family="normal").inputs() for n in (9, 9))
    far = far.map_arrays(lambda x: np.where(np.arange(9)[:, None] > 4, 1e6, x), ["key", "value"])
    assert np.array_equal(near.bound.total[:, :, :4], far.bound.total[:, :, :4])


def test_scores_beyond_the_first_order_are_bounded_by_the_values() -> None:
    inputs = Case(tokens=6, window=5, head_dim=64, family="normal").inputs()
    inputs = inputs.map_arrays(lambda x: x * 2.0**12, ["query", "key"])
    largest = 2 * np.abs(inputs.arrays["value"]).max()
    assert inputs.bound.total.max() < largest * 1.001


def test_an_unknown_dtype_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"dtype: expected one of float64, .*got 'int8'"):
        Precision.of("int8")


def test_gradients_without_projections_of_their_own_are_bounded_together() -> None:
    inputs = Case(tokens=6, window=1, head_dim=2, global_=((2,),), family="normal").inputs()
    grad_output = np.ones(inputs.shape)
    together = attention_gradient_bounds(inputs.arguments, grad_output, inputs.precision, (False, False, False))
    apart = attention_gradient_bounds(inputs.arguments, grad_output, inputs.precision)
    assert set(together) == {"query", "key", "value"}
    for name, bound in together.items():
        assert (bound.total >= apart[name].total).all()
    assert attention_bound(inputs.arguments, inputs.precision).total.shape == inputs.shape


def test_a_head_mask_makes_no_smaller_what_underflows() -> None:
    """Named wrong bound: the head mask multiplies the underflow, too. A kernel may store p times the head mask."""
    factor = 1.375 * 2.0**-10
    column = lambda *numbers: np.array(numbers).reshape(1, 1, -1, 1)  # noqa: E731
    arrays = {"query": column(1.0, 1.0), "key": column(0.0, -9.703125), "value": column(0.0, 60_000.0)}
    inputs = Inputs({**arrays, "head_mask": np.array([factor])}, {"window": 2, "scale": 1.0}, "float16")
    weights = band_attention(**inputs.arrays, **inputs.options).probabilities
    computed = weights.astype(np.float16).astype(float) @ arrays["value"]
    verdict = judge(computed.astype(np.float16), inputs.output, inputs.bound)
    assert verdict.passed
    wrong = {name: term * (factor if name == "underflow" else 1.0) for name, term in inputs.bound.terms.items()}
    assert not judge(computed.astype(np.float16), inputs.output, Bound(wrong, inputs.bound.keys)).passed

    grad_output = column(60_000.0, 60_000.0)
    bound = inputs.gradient_bounds(grad_output)["value"]
    gradient = weights.astype(np.float16).astype(float).swapaxes(-1, -2) @ grad_output
    expected = inputs.gradients(grad_output).value
    assert judge(gradient, expected, bound).passed
    assert abs(gradient - expected).max() > factor * bound.terms["underflow"].max()

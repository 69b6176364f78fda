"""The vector-Jacobian product against differences in 50 digits, judged by the bound on its float64 rounding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trueband.properties.bounds import (
    Bound,
    Precision,
    attention_bound,
    attention_gradient_bounds,
    score_option_gradient_bounds,
)
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference import BandAttentionGradients, band_attention_vjp
from trueband.reference.arguments import check_arguments
from trueband.reference.attention import local_rows
from trueband.reference.attention_vjp import rows_vjp

Float = NDArray[np.float64]
UNIT = 2.0**-53
ALONE = dataclasses.replace(Precision.of("float64"), accumulator=UNIT)
LOCAL = ("query", "key", "value")


def grad_output_of(example: Any) -> Float:
    shape = *example.inputs["query"].shape[:3], example.inputs["value"].shape[3]
    return np.random.default_rng(99).normal(size=shape)


def grad_lse_of(example: Any) -> Float | None:
    """None where the example does not ask for lse."""
    if not example.options.get("return_lse"):
        return None
    return np.random.default_rng(98).normal(size=example.inputs["query"].shape[:3])


def gradients_of(example: Any, **changed: Any) -> BandAttentionGradients:
    query, key, value = example.positional
    options = {"grad_lse": grad_lse_of(example), **example.keywords, **changed}
    return band_attention_vjp(query, key, value, grad_output_of(example), **options)


def bounds_of(example: Any) -> dict[str, Bound]:
    arguments = check_arguments(*example.positional, **example.keywords)
    own = tuple(f"{name}_global" in example.inputs for name in LOCAL)
    grads = grad_output_of(example), grad_lse_of(example)
    bounds = attention_gradient_bounds(arguments, grads[0], ALONE, own, grads[1])  # type: ignore[arg-type]
    return bounds | score_option_gradient_bounds(arguments, grads[0], ALONE, grads[1])


def head_mask_bound(example: Any) -> Bound:
    """Of sum(output before the head mask * grad_output): the output's own error, and a sum of N rounded products."""
    arguments = check_arguments(*example.positional, **{**example.keywords, "head_mask": None})
    forward, size = attention_bound(arguments, ALONE).total, np.abs(grad_output_of(example))
    largest = forward + np.abs(exact_size(example))
    terms = size.size // size.shape[1]
    return Bound(
        {
            "output": (forward * size).sum(axis=(0, 2, 3)),
            "sum": (terms + 1) * UNIT * (largest * size).sum(axis=(0, 2, 3)),
        }
    )


def exact_size(example: Any) -> Float:
    """|output| is at most the largest value of its channel in its head: enough for the bound on a sum."""
    values = [np.abs(array).max(axis=2, keepdims=True) for name, array in example.inputs.items() if "value" in name]
    return np.broadcast_to(np.maximum.reduce(values), example.inputs["value"].shape)


Compare = Callable[[Any, str, Float], Verdict]


@pytest.fixture
def compare(exact_gradient_of: Callable[..., Any], difference: Callable[[Any, Any], Float]) -> Compare:
    def against_exact(example: Any, name: str, gradient: Float) -> Verdict:
        error = difference(gradient, exact_gradient_of(example, grad_output_of(example), name, grad_lse_of(example)))
        bound = head_mask_bound(example) if name == "head_mask" else bounds_of(example)[name]
        return judge(error, np.zeros_like(error), bound, f"gradient of {name}")

    return against_exact


@pytest.mark.evidence
def test_gradients_are_exact_to_their_rounding(example: Any, compare: Compare) -> None:
    gradients = gradients_of(example)
    for name in (*example.inputs, *({"sinks", "slopes"} & example.options.keys())):
        verdict = compare(example, name, getattr(gradients, name))
        assert verdict.passed, str(verdict)


@pytest.mark.parametrize("name", ["head mask", "everything at once", "sinks"])
def test_gradient_of_the_head_mask(name: str, examples: dict[str, Any], compare: Compare) -> None:
    verdict = compare(examples[name], "head_mask", gradients_of(examples[name]).head_mask)
    assert verdict.passed, str(verdict)


def test_inputs_that_were_not_given_have_no_gradient(examples: dict[str, Any]) -> None:
    shared = gradients_of(examples["globals without inputs of their own"])
    assert (shared.query_global, shared.key_global, shared.value_global) == (None, None, None)
    for name in (f"{local}_global" for local in LOCAL):
        example = examples["globals"]
        alone = gradients_of(example, **{name: None})
        missing = [each for each in LOCAL if getattr(alone, f"{each}_global") is None]
        assert missing == [name.removesuffix("_global")]


def moves_rows(example: Any) -> bool:
    """A common vector in all keys of a row changes the weight of its sink, its lse, and what a softcap cuts off."""
    return bool({"sinks", "softcap", "return_lse"} & example.options.keys())


def test_scores_move_no_row_as_a_whole(example: Any) -> None:
    """sum_j dS_ij = 0 without sinks, softcap and lse: the same vector added to all keys changes nothing, so the
    gradients of the keys sum to 0.
    """
    gradients, bounds = gradients_of(example), bounds_of(example)
    total = gradients.key.sum(axis=2)
    rounding = UNIT * gradients.key.shape[2] * np.abs(gradients.key).sum(axis=2)
    bound = Bound({"key": bounds["key"].total.sum(axis=2), "sum": rounding})
    verdict = judge(total, np.zeros_like(total), bound, "sum of the gradients of the keys")
    assert verdict.passed != moves_rows(example), str(verdict)


def without_row_sum(example: Any, name: str) -> Float:
    """The gradient of exp instead of the softmax: dS = p dP."""
    a = check_arguments(*example.positional, **example.keywords)
    p = local_rows(a).probabilities
    grad_s = p * ((grad_output_of(example) * a.head_mask[:, None, None]) @ a.value.swapaxes(-1, -2))
    return a.scale * (grad_s @ a.key if name == "query" else grad_s.swapaxes(-1, -2) @ a.query)


def other_options(**options: Any) -> Callable[[Any, str], Float]:
    return lambda example, name: getattr(gradients_of(example, **options), name)


def without_scale(example: Any, name: str) -> Float:
    return getattr(gradients_of(example), name) / check_arguments(*example.positional, **example.keywords).scale


def reused_for_global_rows(example: Any, name: str) -> Float:
    """Only the local rows' part, where the rows of global tokens share the inputs."""
    own = {f"{each}_global": example.inputs[each] for each in LOCAL}
    return getattr(gradients_of(example, **own), name)


def one_of_each_group(example: Any, name: str) -> Float:
    """The gradient through the first query head that reads each head of keys."""
    query, key, value = example.positional
    first, grad = slice(None, None, query.shape[1] // key.shape[1]), grad_output_of(example)
    gradients = band_attention_vjp(query[:, first], key, value, grad[:, first], **example.keywords)
    return np.asarray(getattr(gradients, name))


def score_gradients(example: Any) -> tuple[Any, Float]:
    """The checked arguments, and dS."""
    a = check_arguments(*example.positional, **example.keywords)
    lse = grad_lse_of(example)
    return a, rows_vjp(local_rows(a), a.query, a.key, a.value, grad_output_of(example), a.scale, lse).scores


def without_damping(example: Any, name: str) -> Float:
    a, grad_s = score_gradients(example)
    return a.scale * (grad_s @ a.key if name == "query" else grad_s.swapaxes(-1, -2) @ a.query)


def slopes_by_position(example: Any, name: str) -> Float:
    a, grad_s = score_gradients(example)
    return np.asarray(-(grad_s * np.arange(a.key.shape[2])).sum(axis=(0, 2, 3)))


WRONG: dict[str, tuple[str, str, Callable[[Any, str], Float]]] = {
    "query without the row sum": ("window", "query", without_row_sum),
    "key without the row sum": ("window", "key", without_row_sum),
    "query without the scale": ("window", "query", without_scale),
    "key without the scale": ("scale", "key", without_scale),
    "value without the head mask": ("head mask", "value", other_options(head_mask=None)),
    "query without the head mask": ("head mask", "query", other_options(head_mask=None)),
    "value with a window too wide": ("window", "value", other_options(window=3)),
    "key without the global rows": ("globals without inputs of their own", "key", reused_for_global_rows),
    "value through padding": ("padding", "value", other_options(attention_mask=None)),
    "key of one query head": ("grouped heads", "key", lambda e, _: one_of_each_group(e, "key")),
    "value of one query head": ("grouped heads", "value", lambda e, _: one_of_each_group(e, "value")),
    "query without the derivative of the softcap": ("softcap", "query", without_damping),
    "key without the derivative of the softcap": ("softcap", "key", without_damping),
    "key without lse": ("lse", "key", other_options(grad_lse=None)),
    "sinks without lse": ("sinks", "sinks", other_options(grad_lse=None)),
    "no gradient of sinks": ("sinks", "sinks", lambda e, _: np.zeros(2)),
    "query as without sinks": ("sinks", "query", other_options(sinks=None)),
    "slopes of the other sign": ("slopes", "slopes", lambda e, _: -np.asarray(gradients_of(e).slopes)),
    "slopes by position": ("slopes", "slopes", slopes_by_position),
    "head mask times itself": (
        "head mask",
        "head_mask",
        lambda e, _: gradients_of(e).head_mask * e.options["head_mask"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_is_rejected(name: str, examples: dict[str, Any], compare: Compare) -> None:
    which, of, wrong = WRONG[name]
    example = examples[which]
    assert compare(example, of, getattr(gradients_of(example), of)).passed
    assert not compare(example, of, wrong(example, of)).passed

"""The reference against 50 digits, judged by the bound on its own float64 rounding; wrong operators are rejected."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference import band_attention
from trueband.reference.arguments import check_arguments
from trueband.reference.attention import global_rows, local_rows, masked_softmax
from trueband.reference.masks import band

Float = NDArray[np.float64]
# What one float64 computation rounds, against exact numbers (and not against another float64 computation).
ALONE = dataclasses.replace(Precision.of("float64"), accumulator=2.0**-53)


@pytest.fixture(scope="session")
def compare(exactly: Callable[[Any], Any], difference: Callable[[Any, Any], Float]) -> Callable[[Any, Float], Verdict]:
    """Verdict on an output of an example: its difference from the exact output, subtracted in 50 digits."""

    def against_exact(example: Any, output: Float) -> Verdict:
        bound = attention_bound(check_arguments(*example.positional, **example.keywords), ALONE)
        error = difference(output, exactly(example))
        return judge(error, np.zeros_like(error), bound)

    return against_exact


def test_output_is_exact_to_its_rounding(example: Any, compare: Callable[[Any, Float], Verdict]) -> None:
    verdict = compare(example, band_attention(*example.positional, **example.keywords).output)
    assert verdict.passed, str(verdict)


@st.composite
def structures(draw: st.DrawFn) -> tuple[tuple[int, int, int, int], int, dict[str, Any]]:
    """(shape, seed, options) of a small example; its numbers come from the seed."""
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    batch, heads, n, _ = shape
    table = st.lists(st.booleans(), min_size=batch * n, max_size=batch * n).map(
        lambda flags: np.array(flags).reshape(batch, n)
    )
    options = {
        "window": draw(st.integers(0, 7)),
        "dilation": draw(st.lists(st.integers(1, 3), min_size=heads, max_size=heads)),
        "attention_mask": draw(st.none() | table),
        "separate": draw(st.booleans()),
    }
    if draw(st.booleans()):
        options["causal"] = True
    else:
        options["global_attention_mask"] = draw(st.none() | table)
    return shape, draw(st.integers(0, 9)), options


@given(structure=structures())
def test_any_structure(
    structure: Any, new_example: Callable[..., Any], compare: Callable[[Any, Float], Verdict]
) -> None:
    shape, seed, options = structure
    example = new_example("any", seed, shape, **options)
    verdict = compare(example, band_attention(*example.positional, **example.keywords).output)
    assert verdict.passed, str(verdict)


def test_probabilities_weigh_the_values_to_the_output(example: Any) -> None:
    """Rows sum to the head mask, weigh the values of their kind, and are exactly 0 where nothing is attended."""
    output, probabilities = band_attention(*example.positional, **example.keywords)
    arguments = check_arguments(*example.positional, **example.keywords)
    is_global = arguments.is_global[:, None, :, None]
    weighed = np.where(is_global, probabilities @ arguments.value_global, probabilities @ arguments.value)
    bound = attention_bound(arguments, ALONE)
    verdict = judge(weighed, output, bound + bound)
    assert verdict.passed, str(verdict)
    attended = (local_rows(arguments).visible | global_rows(arguments).visible) & (
        arguments.head_mask[:, None, None] != 0
    )
    assert np.array_equal(probabilities != 0, attended)


def changed(**options: Any) -> Callable[[Any], Float]:
    return lambda example: band_attention(*example.positional, **{**example.keywords, **options}).output


def one_key_more(example: Any) -> Float:
    return changed(window=example.options["window"] + 1)(example)


def twice_in_the_window(example: Any) -> Float:
    """A global key inside the window counts once for the window and once for being global."""
    a = check_arguments(*example.positional, **example.keywords)
    bands = np.stack([band(a.shape[2], a.window, dilation, a.causal) for dilation in a.dilations])
    local = local_rows(a)
    doubled = np.where(bands & a.is_global[:, None, None, :], np.log(2), 0.0)
    return masked_softmax(local.scores + doubled) @ a.value + global_rows(a).output


def local_rows_read_global_keys(example: Any) -> Float:
    is_global = example.options["global_attention_mask"][:, None, :, None]
    keywords = example.keywords
    query, key, value = example.positional
    return band_attention(query, np.where(is_global, keywords["key_global"], key), value, **keywords).output


def global_rows_read_local_inputs(example: Any) -> Float:
    return band_attention(*example.positional, **example.options).output


def filler_instead_of_masking(example: Any) -> Float:
    """Masked keys get a large negative score instead of none: masked rows then see something."""
    a = check_arguments(*example.positional, **example.keywords)
    scores = local_rows(a).scores
    return masked_softmax(np.where(scores == -np.inf, -1e4, scores)) @ a.value


def single_precision(example: Any) -> Float:
    inputs = [array.astype(np.float32) for array in example.positional]
    return band_attention(*inputs, **example.options).output


WRONG: dict[str, tuple[str, Callable[[Any], Float]]] = {
    "one key more on each side": ("window", one_key_more),
    "offsets between the dilated ones": ("dilation", changed(dilation=1)),
    "first dilation for all heads": ("dilation of each head", changed(dilation=1)),
    "sees the future": ("causal", changed(causal=False)),
    "sees padding": ("padding", changed(attention_mask=None)),
    "large negative score for masked keys": ("padding", filler_instead_of_masking),
    "forgets the global tokens": ("globals", changed(global_attention_mask=None)),
    "global key in the window counts twice": ("globals inside the window", twice_in_the_window),
    "local rows read key_global": ("globals", local_rows_read_global_keys),
    "global rows read query, key, value": ("globals", global_rows_read_local_inputs),
    "forgets the head mask": ("head mask", changed(head_mask=None)),
    "scale of another head dim": ("scale", changed(scale=None)),
    "inputs rounded to float32": ("window", single_precision),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_operator_is_rejected(
    name: str, examples: dict[str, Any], compare: Callable[[Any, Float], Verdict]
) -> None:
    example = examples[WRONG[name][0]]
    assert compare(example, band_attention(*example.positional, **example.keywords).output).passed
    assert not compare(example, WRONG[name][1](example)).passed

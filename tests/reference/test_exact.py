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

from trueband.properties.bounds import Precision, attention_bound, lse_bound
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference import band_attention
from trueband.reference.arguments import check_arguments
from trueband.reference.attention import global_rows, local_rows
from trueband.reference.masks import band
from trueband.reference.softmax import masked_softmax

Float = NDArray[np.float64]
# What one float64 computation rounds, against exact numbers (and not against another float64 computation).
ALONE = dataclasses.replace(Precision.of("float64"), accumulator=2.0**-53)


@pytest.fixture(scope="session")
def compare(
    exact_output_of: Callable[[Any], Any], difference: Callable[[Any, Any], Float]
) -> Callable[[Any, Float], Verdict]:
    """Verdict on an output of an example: its difference from the exact output, subtracted in 50 digits."""

    def against_exact(example: Any, output: Float) -> Verdict:
        bound = attention_bound(check_arguments(*example.positional, **example.keywords), ALONE)
        error = difference(output, exact_output_of(example))
        return judge(error, np.zeros_like(error), bound)

    return against_exact


def test_output_is_exact_to_its_rounding(example: Any, compare: Callable[[Any, Float], Verdict]) -> None:
    verdict = compare(example, band_attention(*example.positional, **example.keywords).output)
    assert verdict.passed, str(verdict)


def lse_verdict(example: Any, lse: Float, exact: Any, difference: Callable[[Any, Any], Float]) -> Verdict:
    """-inf is compared as it is, all else by its difference from the exact lse."""
    infinite = np.vectorize(lambda x: float(x) == -np.inf, otypes=[bool])(exact)
    assert np.array_equal(lse == -np.inf, infinite)
    bound = lse_bound(check_arguments(*example.positional, **example.keywords), ALONE).at(~infinite)
    error = difference(lse[~infinite], exact[~infinite])
    return judge(error, np.zeros_like(error), bound)


def test_lse_is_exact_to_its_rounding(
    example: Any, exact_lse_of: Callable[[Any], Any], difference: Callable[[Any, Any], Float]
) -> None:
    lse = band_attention(*example.positional, **{**example.keywords, "return_lse": True}).lse
    exact = exact_lse_of(example)
    verdict = lse_verdict(example, lse, exact, difference)
    assert verdict.passed, str(verdict)
    for wrong in (lse / np.log(2), lse + 2.0**-40):  # in base 2, and of narrower sums
        finite = np.isfinite(lse)
        bound = lse_bound(check_arguments(*example.positional, **example.keywords), ALONE).at(finite)
        assert not finite.any() or not judge(wrong[finite], lse[finite], bound).passed


@st.composite
def structures(draw: st.DrawFn) -> tuple[tuple[int, int, int, int], int, dict[str, Any]]:
    """(shape, seed, options) of a small example; its numbers come from the seed."""
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    batch, heads, m, _ = shape
    plain = draw(st.booleans())  # with global tokens, or with what is not defined with them
    n = m if plain else draw(st.integers(1, 5))
    step = st.none() | st.integers(0, 7)
    table = st.lists(st.booleans(), min_size=batch * n, max_size=batch * n).map(
        lambda flags: np.array(flags).reshape(batch, n)
    )
    options = {
        "window": draw(st.integers(0, 7) | st.tuples(step, step)),
        "key_heads": draw(st.sampled_from([k for k in range(1, heads + 1) if heads % k == 0])),
        "value_dim": draw(st.integers(1, 3)),
        "softcap": draw(st.none() | st.sampled_from([0.5, 3.0])),
        "dilation": draw(st.lists(st.integers(1, 3), min_size=heads, max_size=heads)),
        "attention_mask": draw(st.none() | table),
        "separate": draw(st.booleans()),
    }
    if plain:
        options["global_attention_mask"] = draw(st.none() | table)
        return shape, draw(st.integers(0, 9)), options
    per_head = st.none() | st.lists(st.sampled_from([-1.0, 0.25, 2.0]), min_size=heads, max_size=heads).map(np.array)
    offsets = st.lists(st.integers(-2, n + 1), min_size=batch, max_size=batch)
    options |= {"causal": draw(st.booleans()), "keys": n, "sinks": draw(per_head), "slopes": draw(per_head)}
    if options["slopes"] is not None:
        options["dilation"] = 1
    if m <= n and draw(st.booleans()):
        options["offset"] = draw(st.integers(0, n - m))
        ids = st.lists(st.integers(0, 2), min_size=batch * n, max_size=batch * n)
        options["segments"] = np.array(draw(ids)).reshape(batch, n)
    else:
        options["offset"] = draw(st.integers(-2, n + 1) | offsets.map(np.array))
    return shape, draw(st.integers(0, 9)), options


@given(structure=structures())
def test_any_structure(
    structure: Any,
    new_example: Callable[..., Any],
    compare: Callable[[Any, Float], Verdict],
    exact_lse_of: Callable[[Any], Any],
    difference: Callable[[Any, Any], Float],
) -> None:
    shape, seed, options = structure
    example = new_example("any", seed, shape, **options)
    output, _, lse = band_attention(*example.positional, **example.keywords, return_lse=True)
    verdict = compare(example, output)
    assert verdict.passed, str(verdict)
    verdict = lse_verdict(example, lse, exact_lse_of(example), difference)
    assert verdict.passed, str(verdict)


def test_probabilities_weigh_the_values_to_the_output(example: Any) -> None:
    """Rows sum to the head mask, weigh the values of their kind, and are exactly 0 where nothing is attended."""
    output, probabilities = band_attention(*example.positional, **example.keywords)[:2]
    arguments = check_arguments(*example.positional, **example.keywords)
    is_global = arguments.global_queries[:, None, :, None]
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


def by_turns(example: Any) -> Float:
    """Query head x reads head x % k."""
    query, key, value = example.positional
    turns = np.arange(query.shape[1]) % key.shape[1]
    return band_attention(query, key[:, turns], value[:, turns], **example.keywords).output


def slopes_by_position(example: Any) -> Float:
    """The bias grows with the key's position: the same as by distance only where no key is ahead."""
    a = check_arguments(*example.positional, **example.keywords)
    rows = local_rows(a)
    assert a.slopes is not None
    bias = a.slopes[:, None, None] * (np.arange(a.shape[2]) + a.distances)
    return masked_softmax(rows.scores + bias) @ a.value


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
    "heads of keys by turns": ("grouped heads", by_turns),
    "left and right exchanged": ("left and right", changed(window=(1, 2))),
    "a limit to the left": ("no limit to the left", changed(window=(3, 0))),
    "causal widens a window": ("causal, whatever is right of it", changed(window=(1, 1), causal=False)),
    "aligned at the first token": ("fewer queries than keys", changed(offset=0)),
    "offset of the first sequence for all": ("an offset for each sequence", changed(offset=2)),
    "segments leak": ("segments", changed(segments=None)),
    "no softcap": ("softcap", changed(softcap=None)),
    "no softcap in global rows": ("softcap with globals", changed(softcap=None)),
    "no sinks": ("sinks", changed(sinks=None)),
    "no slopes": ("slopes", changed(slopes=None)),
    "slopes by position": ("slopes", slopes_by_position),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_operator_is_rejected(
    name: str, examples: dict[str, Any], compare: Callable[[Any, Float], Verdict]
) -> None:
    example = examples[WRONG[name][0]]
    assert compare(example, band_attention(*example.positional, **example.keywords).output).passed
    assert not compare(example, WRONG[name][1](example)).passed

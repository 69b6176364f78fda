"""Small examples worked out by hand. Queries are 0, so that a row's output is the plain mean of the values it sees.

Exact equality where every mean is over 1, 2 or 4 values; otherwise the nearest float64 of a fraction, within the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.results.verdict import judge, judge_exact
from trueband.reference import band_attention, band_attention_vjp
from trueband.reference.arguments import check_arguments

Array = NDArray[Any]


def tokens(*numbers: float) -> Array:
    """(1, 1, n, 1)."""
    return np.array(numbers, dtype=np.float64).reshape(1, 1, -1, 1)


def mask(letters: str) -> Array:
    return np.array([[letter == "x" for letter in letters]])


VALUES = tokens(1, 2, 4, 8)
OTHERS = tokens(16, 32, 64, 128)

MEANS: dict[str, tuple[dict[str, Any], list[float | Fraction]]] = {
    "only itself": ({"window": 0}, [1, 2, 4, 8]),
    "itself and the one before": ({"window": 1, "causal": True}, [1, 1.5, 3, 6]),
    "all": ({"window": 3}, [3.75, 3.75, 3.75, 3.75]),
    "every second one before": ({"window": 1, "dilation": 2, "causal": True}, [1, 2, 2.5, 5]),
    "dilation wider than the sequence": ({"window": 9, "dilation": 4}, [1, 2, 4, 8]),
    "padding in the middle": ({"window": 1, "attention_mask": mask("xx.x")}, [1.5, 1.5, 0, 8]),
    "all padding": ({"window": 1, "attention_mask": mask("....")}, [0, 0, 0, 0]),
    "global token first": ({"window": 0, "global_attention_mask": mask("x...")}, [3.75, 1.5, 2.5, 4.5]),
    "global rows read value_global, local rows do not": (
        {"window": 0, "global_attention_mask": mask("x..."), "value_global": OTHERS},
        [60, 1.5, 2.5, 4.5],
    ),
    "global rows read real tokens only": (
        {"window": 0, "global_attention_mask": mask("x..."), "attention_mask": mask("xx..")},
        [1.5, 1.5, 0, 0],
    ),
    "global flag on padding": (
        {"window": 0, "global_attention_mask": mask("x..x"), "attention_mask": mask("xxx.")},
        [Fraction(7, 3), 1.5, 2.5, 0],
    ),
    "global key inside the window": (
        {"window": 1, "global_attention_mask": mask(".x..")},
        [1.5, 3.75, Fraction(14, 3), Fraction(14, 3)],
    ),
    "three in the window": ({"window": 1}, [1.5, Fraction(7, 3), Fraction(14, 3), 6]),
    "two global tokens": (
        {"window": 0, "global_attention_mask": mask("x..x"), "value_global": OTHERS},
        [60, Fraction(11, 3), Fraction(13, 3), 60],
    ),
    "head mask": ({"window": 0, "head_mask": np.array([-0.5])}, [-0.5, -1, -2, -4]),
}


@pytest.mark.parametrize("name", MEANS)
def test_means_of_the_values_a_row_sees(name: str) -> None:
    options, means = MEANS[name]
    output = band_attention(0 * VALUES, VALUES, VALUES, **options).output
    expected = tokens(*map(float, means))
    if not any(isinstance(mean, Fraction) for mean in means):
        verdict = judge_exact(output, expected)
    else:
        arguments = check_arguments(0 * VALUES, VALUES, VALUES, **options)
        verdict = judge(output, expected, attention_bound(arguments, Precision.of("float64")))
    assert verdict.passed, str(verdict)


def test_scale_is_one_over_the_root_of_head_dim() -> None:
    query, key = np.random.default_rng(1).normal(size=(2, 1, 1, 5, 4))
    assert np.array_equal(
        band_attention(query, key, key, window=2).output, band_attention(query, key, key, window=2, scale=0.5).output
    )


@pytest.mark.parametrize("sign", [-1, 1])
def test_scores_of_any_size_do_not_overflow(sign: float) -> None:
    """exp(1000) is not a float64: the key ahead by 1000 takes the whole row."""
    key = sign * tokens(0, 1000, 2000, 3000)
    output = band_attention(0 * key + 1, key, VALUES, window=3, scale=1.0).output
    assert output.ravel().tolist() == ([8] * 4 if sign > 0 else [1] * 4)


GRADIENTS: dict[str, tuple[dict[str, Array], dict[str, list[float]]]] = {
    # p = 1/2; dV = p dO; dP = (1, 3); dS = p (dP - 2) = (-1/2, 1/2); dQ_0 = -1/2 * 2 + 1/2 * 6; dK = dS * 0
    "equal scores from queries 0": (
        {"query": tokens(0, 0), "key": tokens(2, 6), "value": tokens(1, 3), "grad_output": tokens(1, 0)},
        {"query": [2, 0], "key": [0, 0], "value": [0.5, 0.5], "head_mask": [2]},
    ),
    # the same dS = (-1/2, 1/2) in row 0; dQ_0 = -1/2 * 1 + 1/2 * 1; dK = dS * 4
    "equal scores from equal keys": (
        {"query": tokens(4, 5), "key": tokens(1, 1), "value": tokens(1, 3), "grad_output": tokens(1, 0)},
        {"query": [0, 0], "key": [-2, 2], "value": [0.5, 0.5], "head_mask": [2]},
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    inputs, expected = GRADIENTS[name]
    gradients = band_attention_vjp(**inputs, window=1, scale=1.0)
    assert {each: getattr(gradients, each).ravel().tolist() for each in expected} == expected


def test_gradients_of_a_global_row_go_to_its_own_inputs() -> None:
    zero, one = tokens(0, 0), tokens(1, 3)
    gradients = band_attention_vjp(
        zero,
        zero,
        one,
        tokens(1, 8),
        window=0,
        scale=1.0,
        global_attention_mask=mask("x."),
        query_global=zero,
        key_global=tokens(2, 6),
        value_global=one,
    )
    # row 0 is global: as in "equal scores from queries 0"; row 1 is local and sees both: p = 1/2
    assert gradients.query_global is not None
    assert gradients.key_global is not None
    assert gradients.value_global is not None
    assert gradients.query_global.ravel().tolist() == [2, 0]
    assert gradients.key_global.ravel().tolist() == [0, 0]
    assert gradients.value_global.ravel().tolist() == [0.5, 0.5]
    assert gradients.query.ravel().tolist() == [0, 0]
    assert gradients.value.ravel().tolist() == [4, 4]


def sums_instead_of_means(query: Array, key: Array, value: Array, **options: Any) -> Array:
    _, probabilities = band_attention(query, key, value, **options)
    return np.asarray((probabilities != 0) @ value)


def two_sided_window(query: Array, key: Array, value: Array, window: int, **options: Any) -> Array:
    return band_attention(query, key, value, window=2 * window, **options).output


@pytest.mark.parametrize("wrong", [sums_instead_of_means, two_sided_window])
def test_a_wrong_operator_is_rejected(wrong: Callable[..., Array]) -> None:
    options, means = MEANS["itself and the one before"]
    assert not judge_exact(wrong(0 * VALUES, VALUES, VALUES, **options), tokens(*map(float, means))).passed

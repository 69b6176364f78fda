"""What came with the second edition of the contract, by hand; and that a call without it has the bits it always had.

Queries are 0 where nothing else is said, so that a row's output is the plain mean of the values it sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.results.verdict import judge
from trueband.reference import BandAttention, BandAttentionLse, band_attention, band_attention_vjp
from trueband.reference.arguments import check_arguments
from trueband.reference.softmax import masked_softmax

Array = NDArray[Any]
VALUES = (1.0, 2.0, 4.0, 8.0)


def tokens(*numbers: float) -> Array:
    """(1, 1, n, 1)."""
    return np.array(numbers, dtype=np.float64).reshape(1, 1, -1, 1)


def means(queries: int = 4, **options: Any) -> list[float]:
    """The output of queries 0 over keys and values 1, 2, 4, 8."""
    keys = tokens(*VALUES)
    return band_attention(np.zeros((1, 1, queries, 1)), keys, keys, **options).output.ravel().tolist()


SEEN: dict[str, tuple[dict[str, Any], list[float]]] = {
    "one to the left": ({"window": (1, 0)}, [1, 1.5, 3, 6]),
    "one to the right": ({"window": (0, 1)}, [1.5, 3, 6, 8]),
    "one step of two to the right": ({"window": (0, 1), "dilation": 2}, [2.5, 5, 4, 8]),
    "all to the left": (
        {"window": (None, 0), "attention_mask": np.array([[True, True, False, True]])},
        [1, 1.5, 0, 11 / 3],
    ),
    "all to the right": ({"window": (0, None)}, [3.75, 14 / 3, 6, 8]),
    "all": ({"window": (None, None)}, [3.75] * 4),
    "causal takes the right side away": ({"window": (1, None), "causal": True}, [1, 1.5, 3, 6]),
    "causal does not widen": ({"window": (0, 0), "causal": True}, [1, 2, 4, 8]),
    "the last two tokens": ({"queries": 2, "window": 1, "causal": True, "offset": 2}, [3, 6]),
    "the window ends with the keys": ({"queries": 2, "window": 1, "offset": 3}, [6, 8]),
    "before the keys and behind them": (
        {"queries": 7, "window": (1, 1), "offset": -2},
        [0, 1, 1.5, 7 / 3, 14 / 3, 6, 8],
    ),
    "far from the keys": ({"queries": 2, "window": 3, "offset": 2**62}, [0, 0]),
    "a query behind the keys is real": (
        {"queries": 2, "window": (2, 0), "offset": 3, "attention_mask": np.array([[True, True, True, False]])},
        [0, 4],
    ),
    "two documents": ({"window": (None, 0), "segments": np.array([[5, 5, 0, 0]])}, [1, 1.5, 4, 6]),
    "one document in two places": ({"window": 3, "segments": np.array([[1, 0, 0, 1]])}, [4.5, 3, 3, 4.5]),
    "a window in a document": ({"window": 1, "segments": np.array([[0, 0, 0, 1]])}, [1.5, 7 / 3, 3, 8]),
    "documents, one query": ({"queries": 1, "window": 3, "offset": 2, "segments": np.array([[0, 1, 1, 0]])}, [3]),
    "a sink takes the weight of one key": ({"window": 0, "sinks": np.zeros(1)}, [0.5, 1, 2, 4]),
    "a sink takes the weight of three keys": ({"window": 0, "sinks": np.array([math.log(3)])}, [0.25, 0.5, 1, 2]),
    "a sink so large that nothing is left": ({"window": 3, "sinks": np.array([1e4])}, [0] * 4),
}


@pytest.mark.parametrize("name", SEEN)
def test_means_of_the_values_a_row_sees(name: str) -> None:
    """Means over 1, 2 and 4 values are exact, the others the nearest float64 within the bound."""
    options, expected = SEEN[name]
    queries = options.get("queries", 4)
    keys, call = tokens(*VALUES), {key: option for key, option in options.items() if key != "queries"}
    bound = attention_bound(check_arguments(np.zeros((1, 1, queries, 1)), keys, keys, **call), Precision.of("float64"))
    verdict = judge(tokens(*means(**options)), tokens(*expected), bound)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("wrong", [{"window": (1, 1)}, {"window": (0, 1)}, {"window": (2, 0)}, {"window": 1}])
def test_another_window_is_rejected(wrong: dict[str, Any]) -> None:
    assert means(**wrong) != SEEN["one to the left"][1]


def test_each_group_of_query_heads_reads_its_head_of_keys() -> None:
    """Query heads 0 and 1 read head 0, heads 2 and 3 head 1; the value has a head dim of its own."""
    value = np.array([1.0, 10.0]).reshape(1, 2, 1, 1) * np.array([1.0, 2.0, 3.0])
    output = band_attention(np.zeros((1, 4, 1, 2)), np.zeros((1, 2, 1, 2)), value, window=0).output
    assert output.tolist() == [[[[1, 2, 3]], [[1, 2, 3]], [[10, 20, 30]], [[10, 20, 30]]]]


def test_softcap_and_slopes_by_hand() -> None:
    """One query of 1 at token 1: products 0, 2, -4; c = 2, slope 1/2."""
    keys, value = tokens(0, 2, -4), np.eye(3).reshape(1, 1, 3, 3)
    options = {"window": 2, "offset": 1, "scale": 1.0, "softcap": 2.0, "slopes": np.array([0.5])}
    scores = np.array([0 - 0.5, 2 * np.tanh(1.0) - 0, 2 * np.tanh(-2.0) - 0.5])
    output = band_attention(tokens(1), keys, value, **options).output
    assert np.array_equal(output.ravel(), masked_softmax(scores))


def test_lse_by_hand() -> None:
    """Keys 0: every score is 0, and lse the logarithm of how many keys a row sees, and its sink."""
    query, key = np.zeros((1, 1, 6, 1)), np.zeros((1, 1, 4, 1))
    options: dict[str, Any] = {"window": (1, 0), "offset": -1, "attention_mask": np.array([[True, True, False, True]])}
    plain = band_attention(query, key, key, **options, return_lse=True)
    assert isinstance(plain, BandAttentionLse)
    assert plain.lse.ravel().tolist() == [-np.inf, 0, math.log(2), -np.inf, 0, 0]
    sunk = band_attention(query, key, key, **options, sinks=np.zeros(1), return_lse=True)
    assert sunk.lse.ravel().tolist() == [0, math.log(2), math.log(3), -np.inf, math.log(2), math.log(2)]
    assert sunk.output.ravel()[0] == 0
    far = band_attention(query, key, key, window=0, offset=9, sinks=np.array([-3.5]), return_lse=True)
    assert far.lse.ravel().tolist() == [-3.5] * 6


def test_the_result_is_a_pair_unless_lse_is_asked_for() -> None:
    x = tokens(*VALUES)
    output, probabilities = band_attention(x, x, x, window=1)
    assert type(band_attention(x, x, x, window=1, return_lse=False)) is BandAttention
    with_lse = band_attention(x, x, x, window=1, return_lse=True)
    assert np.array_equal(with_lse.output, output)
    assert np.array_equal(with_lse.probabilities, probabilities)


def test_gradients_of_a_sink_by_hand() -> None:
    """Scores and sink 0: p = 1/3 for two keys and the sink. Values 3 and 6, dO = 1: D = 3, dS = p (dP - D + dl)."""
    query, key, value = tokens(0), tokens(3, 9), tokens(3, 6)
    options: dict[str, Any] = {"window": 1, "scale": 1.0, "sinks": np.zeros(1)}
    alone = band_attention_vjp(query, key, value, tokens(1), **options)
    assert alone.sinks is not None
    assert alone.sinks.tolist() == [-1]
    assert alone.query.ravel().tolist() == [9]  # (0 * 3 + 3 * 9) / 3
    both = band_attention_vjp(query, key, value, tokens(1), grad_lse=np.full((1, 1, 1), 6.0), **options)
    assert both.sinks is not None
    assert both.sinks.tolist() == [1]
    assert both.query.ravel().tolist() == [33]  # (6 * 3 + 9 * 9) / 3


def test_gradient_of_a_slope_by_hand() -> None:
    """Two keys at distances 0 and 1, scores 0: p = 1/2, values 2 and 6, dO = 1: dS = -1 and 1; dslope = -1."""
    gradients = band_attention_vjp(tokens(0), tokens(0, 0), tokens(2, 6), tokens(1), window=1, slopes=np.zeros(1))
    assert gradients.slopes is not None
    assert gradients.slopes.tolist() == [-1]
    assert gradients.sinks is None


def test_gradient_through_a_softcap_by_hand() -> None:
    """Products 0 and 2 for a query of 1, c = 1: dT = dS (1 - tanh(2)^2) at the second key, dS at the first."""
    query, key, value = tokens(1), tokens(0, 2), tokens(0, 1)
    p = masked_softmax(np.array([0, np.tanh(2.0)]))
    grad_s = p * (np.array([0, 1]) - p[1])
    expected = grad_s * (1 - np.tanh(np.array([0, 2.0])) ** 2)
    gradients = band_attention_vjp(query, key, value, tokens(1), window=1, scale=1.0, softcap=1.0)
    assert np.array_equal(gradients.key.ravel(), expected)
    assert not np.array_equal(gradients.key.ravel(), grad_s)


def test_heads_of_keys_get_the_sum_over_their_group() -> None:
    value, grad = np.zeros((1, 2, 1, 1)), np.array([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1, 1)
    gradients = band_attention_vjp(np.zeros((1, 4, 1, 1)), value, value, grad, window=0)
    assert gradients.value.ravel().tolist() == [3, 12]
    assert gradients.query.shape == (1, 4, 1, 1)


def test_rows_without_keys_give_exactly_nothing_and_their_sink_gets_what_lse_gives() -> None:
    query, key = np.ones((1, 1, 3, 2)), np.ones((1, 1, 2, 2))
    grad, grad_lse = np.ones((1, 1, 3, 2)), np.array([1.0, 2.0, 4.0]).reshape(1, 1, 3)
    for options in ({}, {"sinks": np.ones(1)}):
        gradients = band_attention_vjp(query, key, key, grad, grad_lse=grad_lse, window=0, offset=5, **options)
        assert not any(each.any() for each in gradients[:3])
        assert not gradients.head_mask.any()
        assert gradients.sinks is None or gradients.sinks.tolist() == [7]


def test_what_a_gradient_of_lse_holds_in_a_masked_row_changes_nothing() -> None:
    x, mask = np.ones((1, 1, 2, 1)), np.array([[True, False]])
    found = [
        band_attention_vjp(
            x, x, x, x, grad_lse=np.array([[[1.0, hidden]]]), window=1, attention_mask=mask, sinks=np.ones(1)
        )
        for hidden in (0.0, np.nan)
    ]
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True) if one is not None)


def plain_formula(example: Any) -> tuple[Array, Array]:
    """Output and probabilities of the local and the global rows as the first edition computed them, step by step."""
    a = check_arguments(*example.positional, **example.keywords)
    n = a.shape[2]
    offset = np.arange(n)[:, None] - np.arange(n)[None, :]
    bands = []
    for dilation in a.dilations:
        seen = (np.abs(offset) <= example.options["window"] * dilation) & (offset % dilation == 0)
        bands.append(seen & (offset >= 0) if a.causal else seen)
    of_keys, is_local = a.real[:, None, None, :], (a.real & ~a.is_global)[:, None, :, None]
    local = (np.stack(bands)[None] | a.is_global[:, None, None, :]) & of_keys & is_local
    far = np.repeat((a.is_global[:, :, None] & a.real[:, None, :])[:, None], a.shape[1], axis=1)
    weights_of_heads, parts = a.head_mask[:, None, None], []
    for visible, query, key, value in (
        (local, a.query, a.key, a.value),
        (far, a.query_global, a.key_global, a.value_global),
    ):
        scores = np.where(visible, a.scale * (query @ key.swapaxes(-1, -2)), -np.inf)
        row_max = scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores - np.where(row_max == -np.inf, 0.0, row_max))
        total = weights.sum(axis=-1, keepdims=True)
        p = weights / np.where(total == 0, 1.0, total)
        parts.append(((p @ value) * weights_of_heads, p))
    return parts[0][0] + parts[1][0], (parts[0][1] + parts[1][1]) * weights_of_heads


FIRST_EDITION = (
    "window",
    "window 0",
    "window wider than the sequence",
    "causal",
    "dilation of each head",
    "padding",
    "globals",
    "globals inside the window",
    "all tokens global",
    "head mask",
    "scale",
    "a fully masked sequence",
    "everything at once",
)


@pytest.mark.parametrize("name", FIRST_EDITION)
def test_a_call_that_uses_nothing_new_gives_the_same_bits(name: str, examples: dict[str, Any]) -> None:
    example = examples[name]
    found = band_attention(*example.positional, **example.keywords)
    for array, expected in zip(found, plain_formula(example), strict=True):
        assert array.tobytes() == expected.tobytes()


def test_bits_are_compared(examples: dict[str, Any]) -> None:
    """Named wrong implementation: a softcap so large that it changes roundings alone."""
    example = examples["window"]
    found = band_attention(*example.positional, **example.keywords, softcap=1e6).output
    assert found.tobytes() != plain_formula(example)[0].tobytes()


@pytest.mark.parametrize(
    "same",
    [
        lambda window: {"window": (window, window)},
        lambda window: {"window": window, "offset": 0},
        lambda window: {"window": window, "offset": np.zeros(2, dtype=np.int64)},
        lambda window: {"window": window, "segments": np.zeros((2, 8), dtype=np.int64)},
        lambda window: {"window": window, "slopes": np.zeros(2)},
        lambda window: {"window": window, "return_lse": True},
    ],
)
def test_a_new_argument_that_changes_nothing_changes_no_bit(same: Callable[[int], dict[str, Any]]) -> None:
    query, key, value = np.random.default_rng(5).normal(size=(3, 2, 2, 8, 3))
    expected = band_attention(query, key, value, window=2).output
    assert band_attention(query, key, value, **same(2)).output.tobytes() == expected.tobytes()


def test_many_queries_at_once_are_the_same_as_each_alone() -> None:
    """A cache: token by token at its own offset, each step equals the row of the whole."""
    query, key, value = np.random.default_rng(6).integers(-2, 3, size=(3, 1, 2, 7, 2)).astype(float)
    whole = band_attention(query, key, value, window=(3, 0), scale=1.0, return_lse=True)
    for i in range(7):
        step = band_attention(
            query[:, :, i : i + 1],
            key[:, :, : i + 1],
            value[:, :, : i + 1],
            window=(3, None),
            offset=i,
            scale=1.0,
            return_lse=True,
        )
        seen = whole.probabilities[:, :, i : i + 1, : i + 1]
        assert np.array_equal(seen != 0, step.probabilities != 0)

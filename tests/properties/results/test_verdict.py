"""The one comparison: element by element, NaN never passes, the worst element is told."""

from __future__ import annotations

import numpy as np
import pytest

from trueband.properties.bounds import Bound
from trueband.properties.checks.check import claim
from trueband.properties.results.verdict import judge, judge_exact


def bound_of(*values: float) -> Bound:
    return Bound({"large": np.array(values) * 0.75, "small": np.array(values) * 0.25}, np.array([4, 5, 6]))


def test_within_the_bound_passes_and_tells_the_worst_element() -> None:
    verdict = judge([1.0, 2.5, 3.0], [1.0, 2.0, 3.0], bound_of(0.0, 1.0, 1.0))
    assert verdict.passed
    assert (verdict.index, verdict.value, verdict.expected) == ((1,), 2.5, 2.0)
    assert (verdict.error, verdict.bound, verdict.ratio) == (0.5, 1.0, 0.5)
    assert (verdict.term, verdict.keys) == ("large", 5)


def test_one_element_beyond_its_bound_fails() -> None:
    verdict = judge([1.0, 2.0, 3.5], [1.0, 2.0, 3.0], bound_of(9.0, 9.0, 0.25))
    assert not verdict.passed
    assert verdict.index == (2,)
    assert verdict.ratio == 2.0


@pytest.mark.parametrize(("value", "expected"), [(np.nan, 1.0), (1.0, np.nan), (np.nan, np.nan), (np.inf, 1.0)])
def test_what_is_not_a_number_never_passes(value: float, expected: float) -> None:
    verdict = judge(
        [value, 0.0, 0.0],
        [expected, 0.0, 0.0],
        bound_of(np.inf, 1.0, 1.0) if np.isinf(value) else bound_of(1.0, 1.0, 1.0),
    )
    assert not verdict.passed
    assert verdict.ratio == np.inf


def test_any_error_exceeds_a_bound_of_zero() -> None:
    assert judge_exact([0.0, -0.0, 2.0], [0.0, 0.0, 2.0]).passed
    assert not judge_exact([5e-324], [0.0]).passed
    assert not judge_exact([np.nan], [np.nan]).passed


def test_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        judge([1.0], [1.0, 2.0], Bound({"one": np.ones(2)}))


def test_a_verdict_reads_as_a_line() -> None:
    line = str(judge([1.0, 2.0, 3.5], [1.0, 2.0, 3.0], bound_of(9.0, 9.0, 0.25)))
    for part in ("output[2] = 3.5", "expected 3", "error 0.5", "EXCEEDS", "0.25", "large", "error/bound 2", "6 keys"):
        assert part in line


def test_a_mean_over_the_tensor_would_be_seen() -> None:
    """Named wrong implementation: judging the mean error lets one wrong element pass."""
    actual, expected, bound = np.array([0.0, 0.0, 2.0]), np.zeros(3), bound_of(1.0, 1.0, 1.0)
    assert np.abs(actual - expected).mean() <= bound.total.mean()
    assert not judge(actual, expected, bound).passed


def test_a_result_that_is_not_finite_is_told_as_that() -> None:
    line = str(judge([np.nan], [0.5], Bound({"one": np.ones(1)})))
    assert line == "output[0] = nan, expected 0.5 within 1: it is not finite"


def test_what_nothing_can_equal_is_told_as_that() -> None:
    line = str(judge([0.5], [np.nan], Bound({"one": np.ones(1)}), "output with the keys shifted", "as without it"))
    assert (
        line == "output with the keys shifted at [0] = 0.5, but the number it is compared with (as without it) is nan"
    )


def test_what_is_not_the_reference_is_named() -> None:
    line = str(judge([2.0], [0.5], Bound({"one": np.ones(1)}), "output of token 3", "as alone"))
    assert line.startswith("output of token 3 at [0] = 2, expected 0.5 as alone: error 1.5 EXCEEDS bound 1 ")


def test_a_claim_is_told_in_its_own_words() -> None:
    assert str(claim(False, "expected 3 rows, got 2")) == "expected 3 rows, got 2"

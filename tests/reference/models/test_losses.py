"""Losses against 50 digits, and their labels."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.losses import (
    binary_cross_entropy_bound,
    cross_entropy_bound,
    mean_squared_error_bound,
)
from trueband.properties.results.verdict import judge
from trueband.reference.losses import (
    binary_cross_entropy,
    classification_loss,
    cross_entropy,
    mean_squared_error,
    next_token_cross_entropy,
    span_loss,
    token_loss,
)

FLOAT64 = Precision.of("float64")
RNG = np.random.default_rng(0)
LOGITS = 5 * RNG.standard_normal((4, 6))
LABELS = np.array([5, -100, 0, 2])


def exact_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    with mpmath.workdps(50):
        losses = [
            mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(x)) for x in row)) - mpmath.mpf(row[label])
            for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
            if label != -100
        ]
        return float(mpmath.fsum(losses) / len(losses))


def test_cross_entropy_is_exact_to_float64() -> None:
    bound = cross_entropy_bound(LOGITS, 3, FLOAT64)
    verdict = judge(cross_entropy(LOGITS, LABELS), exact_cross_entropy(LOGITS, LABELS), bound)
    assert verdict.passed, verdict
    all_counted = float(np.mean([cross_entropy(LOGITS[i : i + 1], np.maximum(LABELS[i : i + 1], 0)) for i in range(4)]))
    assert not judge(all_counted, exact_cross_entropy(LOGITS, LABELS), bound).passed  # the wrong one: -100 counted


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, 0.0], [-1e4, 1e4]])
    labels = np.array([1, 1])
    assert judge(cross_entropy(logits, labels), 5e3, cross_entropy_bound(logits, 2, FLOAT64)).passed
    assert binary_cross_entropy(logits, np.array([[0.0, 1.0], [1.0, 1.0]])) == (1e4 + math.log(2) + 1e4) / 4


def test_no_label_that_counts_is_nan() -> None:
    assert math.isnan(cross_entropy(LOGITS, np.full(4, -100)))


def test_the_next_token_is_the_label() -> None:
    logits, labels = LOGITS.reshape(2, 2, 6), np.array([[9, 3], [9, 1]])  # the first label is never asked for
    assert next_token_cross_entropy(logits, labels) == cross_entropy(logits[:, 0], np.array([3, 1]))
    assert token_loss(logits, np.array([[2, 3], [4, 1]]), 6, next_token=True) == next_token_cross_entropy(
        logits, labels
    )


def test_binary_cross_entropy_is_exact_to_float64() -> None:
    labels = RNG.uniform(size=LOGITS.shape)
    with mpmath.workdps(50):
        terms = [
            mpmath.log(1 + mpmath.exp(mpmath.mpf(x))) - mpmath.mpf(x) * mpmath.mpf(y)
            for x, y in zip(LOGITS.ravel().tolist(), labels.ravel().tolist(), strict=True)
        ]
        expected = float(mpmath.fsum(terms) / len(terms))
    bound = binary_cross_entropy_bound(LOGITS, FLOAT64)
    assert judge(binary_cross_entropy(LOGITS, labels), expected, bound).passed
    assert not judge(binary_cross_entropy(LOGITS, labels[::-1]), expected, bound).passed  # the wrong one


@pytest.mark.parametrize("error", [1e-3, 1.0])
def test_an_error_of_the_logits_is_carried(error: float) -> None:
    """Worst cases: every logit moves away from its label, and the label's own the other way."""
    moved_by, classes = Bound({"logits": np.full(LOGITS.shape, error)}), np.array([5, 1, 0, 2])
    own = np.eye(6)[classes]
    apart = LOGITS + error * (1 - 2 * own)
    bound = cross_entropy_bound(LOGITS, 4, FLOAT64, moved_by)
    assert judge(cross_entropy(apart, classes), cross_entropy(LOGITS, classes), bound).passed
    assert not judge(
        cross_entropy(apart, classes), cross_entropy(LOGITS, classes), cross_entropy_bound(LOGITS, 4, FLOAT64)
    ).passed
    losses: list[tuple[Any, Any]] = [
        (binary_cross_entropy, lambda *e: binary_cross_entropy_bound(LOGITS, FLOAT64, *e)),
        (mean_squared_error, lambda *e: mean_squared_error_bound(LOGITS, own, FLOAT64, *e)),
    ]
    for loss, bound_of in losses:
        assert judge(loss(apart, own), loss(LOGITS, own), bound_of(moved_by)).passed
        assert not judge(loss(apart, own), loss(LOGITS, own), bound_of()).passed


def test_mean_squared_error_is_exact_to_float64() -> None:
    labels = RNG.standard_normal(LOGITS.shape)
    with mpmath.workdps(50):
        terms = [(mpmath.mpf(x) - mpmath.mpf(y)) ** 2 for x, y in zip(LOGITS.flat, labels.flat, strict=True)]
        expected = float(mpmath.fsum(terms) / len(terms))
    assert judge(mean_squared_error(LOGITS, labels), expected, mean_squared_error_bound(LOGITS, labels, FLOAT64)).passed


def test_mean_squared_error_by_hand() -> None:
    assert mean_squared_error(np.array([[1.0, 2.0]]), np.array([[3.0, 2.5]])) == 2.125


def test_the_problem_follows_from_labels() -> None:
    logits = LOGITS[:, :3]
    classes, floats = np.array([2, 0, 1, 1]), RNG.uniform(size=(4, 3))
    assert classification_loss(logits, classes, 3, None) == cross_entropy(logits, classes)
    assert classification_loss(logits, floats, 3, None) == binary_cross_entropy(logits, floats)
    assert classification_loss(logits, floats, 3, "regression") == mean_squared_error(logits, floats)
    assert classification_loss(logits[:, :1], floats[:, 0], 1, None) == mean_squared_error(logits[:, :1], floats[:, :1])
    assert classification_loss(logits, None, 3, None) is None


def test_positions_outside_do_not_count() -> None:
    start, end = LOGITS[:2], LOGITS[2:]
    loss = span_loss(start, end, np.array([1, 6]), np.array([[99], [-3]]))
    assert loss == (cross_entropy(start[:1], np.array([1])) + cross_entropy(end[1:], np.array([0]))) / 2
    assert span_loss(start, end, np.array([1, 2]), None) is None


@pytest.mark.parametrize(
    ("error", "message", "labels"),
    [
        (ValueError, r"labels: expected shape \(4,\), got \(4, 1\)", LABELS[:, None]),
        (ValueError, "labels: expected ids from 0 to 5, or -100, got 6", LABELS + 1),
        (TypeError, "labels: expected a numpy array of numbers, got list", [1, 2, 3, 4]),
        (TypeError, "labels: expected a numpy array of integers, got float64", np.ones(4)),
    ],
)
def test_refused_classes(error: type[Exception], message: str, labels: Any) -> None:
    with pytest.raises(error, match=message):
        classification_loss(LOGITS, labels, 6, "single_label_classification")


def test_refused_values() -> None:
    with pytest.raises(ValueError, match=r"labels: expected shape \(batch, labels\) = \(4, 6\), got \(4,\)"):
        classification_loss(LOGITS, np.ones(4), 6, None)
    with pytest.raises(ValueError, match=r"end_positions: expected shape \(batch,\) = \(4,\), got \(3,\)"):
        span_loss(LOGITS, LOGITS, np.ones(4, dtype=int), np.ones(3, dtype=int))
    with pytest.raises(TypeError, match="start_positions: expected a numpy array of integers, got float64"):
        span_loss(LOGITS, LOGITS, np.ones(4), np.ones(4))

"""Losses of the heads, and the checks of their labels. b batch, n tokens, C classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float

IGNORED = -100  # a label that does not count


def cross_entropy(logits: Float, labels: NDArray[Any], ignored: int = IGNORED) -> float:
    """Mean over the labels that count of log sum_c exp(l_c) - l_label; NaN when none counts.

    logits (..., C), labels (...).

    >>> round(cross_entropy(np.log([[1.0, 3.0], [5.0, 5.0]]), np.array([1, -100])), 6)  # -log(3/4)
    0.287682
    """
    rows, flat = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    losses = [log_sum_exp(row) - row[label] for row, label in zip(rows, flat, strict=True) if label != ignored]
    return float(np.mean(losses)) if losses else math.nan


def log_sum_exp(x: Float) -> Float:
    """log sum exp over the last axis."""
    largest = x.max(axis=-1)
    return largest + np.log(np.exp(x - largest[..., None]).sum(axis=-1))


def next_token_cross_entropy(logits: Float, labels: NDArray[Any]) -> float:
    """Of a causal model: the logits of token i against the label of token i + 1. logits (b, n, V), labels (b, n)."""
    return cross_entropy(logits[:, :-1], labels[:, 1:])


def mean_squared_error(logits: Float, labels: NDArray[Any]) -> float:
    """Mean of (l - y)^2 over all elements of one shape."""
    return float(np.mean((logits - labels) ** 2))


def binary_cross_entropy(logits: Float, labels: NDArray[Any]) -> float:
    """Mean of log(1 + exp(l)) - l y over all elements of one shape, labels from 0 to 1."""
    return float(np.mean(np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits))) - logits * labels))


def classification_loss(logits: Float, labels: Any, num_labels: int, problem_type: str | None) -> float | None:
    """Loss of a sequence classification; None without labels. logits (b, C).

    Without a `problem_type`: regression for one label, else by the dtype of the labels: integers name one class each,
    floats say for each class how far it applies.

    Raises:
        ValueError, TypeError: labels of another shape or dtype, or out of range.
    """
    if labels is None:
        return None
    _check_array("labels", labels)
    batch, integers = len(logits), np.issubdtype(labels.dtype, np.integer)
    if problem_type is None:
        problem_type = "regression" if num_labels == 1 else "single_label" if integers else "multi_label"
    if problem_type.startswith("single_label"):
        return cross_entropy(logits, check_labels(labels, (batch,), num_labels))
    if problem_type == "regression" and labels.shape == (batch,) and num_labels == 1:
        labels = labels[:, None]
    if labels.shape != logits.shape:
        raise ValueError(f"labels: expected shape (batch, labels) = {logits.shape}, got {labels.shape}")
    labels = labels.astype(np.float64)
    return mean_squared_error(logits, labels) if problem_type == "regression" else binary_cross_entropy(logits, labels)


def token_loss(logits: Float, labels: Any, num_classes: int, *, next_token: bool = False) -> float | None:
    """Mean cross-entropy over the tokens that count; None without labels. logits (b, n, C), labels (b, n)."""
    if labels is None:
        return None
    check_labels(labels, logits.shape[:2], num_classes)
    return next_token_cross_entropy(logits, labels) if next_token else cross_entropy(logits, labels)


def span_loss(start_logits: Float, end_logits: Float, start_positions: Any, end_positions: Any) -> float | None:
    """Mean of the cross-entropies of start and end; None unless both positions are given. logits (b, n).

    Positions (b,) or (b, 1); one behind the last token does not count, a negative one is token 0.
    """
    if start_positions is None or end_positions is None:
        return None
    batch, tokens = start_logits.shape
    losses = []
    for name, logits, positions in (
        ("start_positions", start_logits, start_positions),
        ("end_positions", end_logits, end_positions),
    ):
        _check_array(name, positions, np.integer)
        if positions.shape not in ((batch,), (batch, 1)):
            raise ValueError(f"{name}: expected shape (batch,) = ({batch},), got {positions.shape}")
        losses.append(cross_entropy(logits, np.clip(positions.reshape(batch), 0, tokens), ignored=tokens))
    return (losses[0] + losses[1]) / 2


def check_labels(labels: Any, shape: tuple[int, ...], num_classes: int) -> NDArray[Any]:
    """Integers of a shape, from 0 to num_classes - 1 or -100."""
    _check_array("labels", labels, np.integer)
    if labels.shape != shape:
        raise ValueError(f"labels: expected shape {shape}, got {labels.shape}")
    outside = labels[(labels != IGNORED) & ((labels < 0) | (labels >= num_classes))]
    if outside.size:
        raise ValueError(f"labels: expected ids from 0 to {num_classes - 1}, or {IGNORED}, got {outside[0]}")
    return np.asarray(labels)


def _check_array(name: str, value: Any, kind: type = np.number) -> None:
    what = "integers" if kind is np.integer else "numbers"
    if not isinstance(value, np.ndarray) or not np.issubdtype(value.dtype, kind):
        got = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name}: expected a numpy array of {what}, got {got}")

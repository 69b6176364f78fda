"""The losses of `losses` with their gradients. Every function returns the loss and dL/dlogits.

b batch, n tokens, C classes. Labels are taken as checked by `losses`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.layers_vjp import one_hot, rows
from trueband.reference.losses import IGNORED, log_sum_exp

LossAndGradient = tuple[Any, Float]


def cross_entropy(logits: Float, labels: NDArray[Any], ignored: int = IGNORED) -> LossAndGradient:
    """L = mean over the labels that count of log sum_c exp(l_c) - l_label;  dl_c = (softmax(l)_c - [c = label]) / N."""
    flat, wanted = rows(logits), labels.reshape(-1)
    counts = wanted != ignored
    target = one_hot(np.where(counts, wanted, -1), flat.shape[-1])
    normalizer = log_sum_exp(flat)
    loss = (np.where(counts, normalizer, 0.0) - (flat * target).sum(axis=-1)).sum() / counts.sum()
    softmax = np.exp(flat - normalizer[:, None])
    gradient = np.where(counts[:, None], softmax - target, 0.0) / counts.sum()
    return loss, gradient.reshape(logits.shape)


def next_token_cross_entropy(logits: Float, labels: NDArray[Any]) -> LossAndGradient:
    """Of a causal model: the last token predicts nothing, and its logits have the gradient 0."""
    shifted = np.concatenate([labels[:, 1:], np.full_like(labels[:, :1], IGNORED)], axis=1)
    return cross_entropy(logits, shifted)


def mean_squared_error(logits: Float, labels: NDArray[Any]) -> LossAndGradient:
    """L = mean of (l - y)^2;  dl = 2 (l - y) / N."""
    difference = logits - labels
    return (difference**2).mean(), 2 * difference / difference.size


def binary_cross_entropy(logits: Float, labels: NDArray[Any]) -> LossAndGradient:
    """L = mean of log(1 + exp(l)) - l y;  dl = (1 / (1 + exp(-l)) - y) / N."""
    size = np.abs(logits)
    loss = (np.maximum(logits, 0.0) + np.log1p(np.exp(-size)) - logits * labels).mean()
    sigmoid = 0.5 * (1 + np.tanh(logits / 2))
    return loss, (sigmoid - labels) / logits.size


def classification_loss(logits: Float, labels: Any, num_labels: int, problem_type: str | None) -> LossAndGradient:
    """Of a sequence classification, the kind as in `losses.classification_loss`. logits (b, C)."""
    integers = np.issubdtype(labels.dtype, np.integer)
    if problem_type is None:
        problem_type = "regression" if num_labels == 1 else "single_label" if integers else "multi_label"
    if problem_type.startswith("single_label"):
        return cross_entropy(logits, labels)
    labels = labels.reshape(logits.shape).astype(np.float64)
    return mean_squared_error(logits, labels) if problem_type == "regression" else binary_cross_entropy(logits, labels)


def span_loss(logits: Float, start_positions: Any, end_positions: Any) -> LossAndGradient:
    """Mean of the cross-entropies of start and end. logits (b, n, 2), positions (b,); see `losses.span_loss`."""
    tokens = logits.shape[1]
    ends = [
        cross_entropy(logits[..., i], np.clip(positions.reshape(-1), 0, tokens), ignored=tokens)
        for i, positions in enumerate((start_positions, end_positions))
    ]
    return (ends[0][0] + ends[1][0]) / 2, np.stack([gradient / 2 for _, gradient in ends], axis=-1)

"""Losses of the heads, and the checks of their labels. b batch, n tokens, C classes.

Half types are brought to float32. Losses are None without labels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from trueband.optimized.attention.arguments import check_device, check_tensor
from trueband.optimized.layers.inputs import Maybe, checked_ids

IGNORED = -100  # a label that does not count
INTEGERS = (torch.int64, torch.int32)


def check_labels(labels: Any, tokens: Tensor | None, classes: int) -> Tensor | None:
    """Labels (b, n): ids of the classes, or -100 for tokens that do not count. `tokens`: (b, n) or (b, n, D)."""
    if labels is None or tokens is None:  # without tokens the model will say so
        return None
    return check_class_ids(labels, (tokens.shape[0], tokens.shape[1]), "(batch, tokens)", classes)


def check_class_ids(labels: Any, shape: tuple[int, ...], what: str, classes: int) -> Tensor:
    """Integers of that shape: 0 .. classes - 1, or -100."""
    check_tensor("labels", labels)
    if labels.dtype not in INTEGERS:
        raise TypeError(f"labels: expected dtype int64 or int32, got {labels.dtype}")
    if tuple(labels.shape) != shape:
        raise ValueError(f"labels: expected shape {what} = {shape}, got {tuple(labels.shape)}")
    counted = labels != IGNORED
    ids = checked_ids(labels.where(counted, 0), "labels", classes)
    result: Tensor = ids.where(counted, IGNORED).long()
    return result


def check_classification_labels(labels: Any, batch: int, classes: int, problem_type: str | None) -> Tensor | None:
    """(b,) or (b, 1) class ids of one class each; (b, C) floats of many, or of a regression, (b,) if C = 1."""
    if labels is None:
        return None
    check_tensor("labels", labels)
    if kind_of(labels, classes, problem_type) == "single_label_classification":
        labels = labels.flatten() if tuple(labels.shape) == (batch, 1) else labels
        return check_class_ids(labels, (batch,), "(batch,)", classes)
    if classes == 1 and tuple(labels.shape) == (batch,):
        labels = labels[:, None]
    if tuple(labels.shape) != (batch, classes):
        raise ValueError(f"labels: expected shape (batch, labels) = {(batch, classes)}, got {tuple(labels.shape)}")
    checked: Tensor = labels
    return checked


def kind_of(labels: Tensor, classes: int, problem_type: str | None) -> str:
    """The configuration's, or: regression for one label, else by the dtype of the labels."""
    if problem_type is not None:
        return problem_type
    if classes == 1:
        return "regression"
    return "single_label_classification" if labels.dtype in INTEGERS else "multi_label_classification"


def token_loss(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """Mean cross-entropy over the labels that count. logits (b, n, C), labels (b, n)."""
    if labels is None:
        return None
    return cross_entropy(widened(logits).flatten(0, -2), labels.flatten(), ignore_index=IGNORED)


def next_token_loss(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """The loss of a causal model: token i predicts label i + 1."""
    return None if labels is None else token_loss(logits[:, :-1], labels[:, 1:])


def classification_loss(logits: Tensor, labels: Tensor | None, problem_type: str | None) -> Tensor | None:
    """logits (b, C), labels as `check_classification_labels` returns them."""
    if labels is None:
        return None
    kind, wide = kind_of(labels, logits.shape[1], problem_type), widened(logits)
    if kind == "single_label_classification":
        return cross_entropy(wide, labels, ignore_index=IGNORED)
    loss = mse_loss if kind == "regression" else binary_cross_entropy_with_logits
    return loss(wide, labels.to(wide.dtype))


def check_positions(name: str, positions: Any, like: Tensor) -> Tensor | None:
    """(b,) or (b, 1) integers. `like`: (b, n) or (b, n, D)."""
    if positions is None:
        return None
    check_tensor(name, positions)
    if positions.dtype not in INTEGERS:
        raise TypeError(f"{name}: expected dtype int64 or int32, got {positions.dtype}")
    if tuple(positions.shape) not in ((like.shape[0],), (like.shape[0], 1)):
        raise ValueError(f"{name}: expected shape (batch,) = ({like.shape[0]},), got {tuple(positions.shape)}")
    check_device(name, positions, like.device)
    return positions.flatten().long()


def check_span(start: Maybe, end: Maybe, tokens: Maybe) -> tuple[Maybe, Maybe]:
    """Both positions as (b,). `tokens`: (b, n) or (b, n, D)."""
    if tokens is None:  # without tokens the model will say so
        return start, end
    return check_positions("start_positions", start, tokens), check_positions("end_positions", end, tokens)


def span_loss(start_logits: Tensor, end_logits: Tensor, start: Tensor | None, end: Tensor | None) -> Tensor | None:
    """Mean of the cross-entropies of start and end; a position behind the last token does not count."""
    if start is None or end is None:
        return None
    tokens = start_logits.shape[1]
    losses = [
        cross_entropy(widened(logits), positions.clamp(0, tokens), ignore_index=tokens)
        for logits, positions in ((start_logits, start), (end_logits, end))
    ]
    return (losses[0] + losses[1]) / 2


def widened(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()

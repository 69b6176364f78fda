"""Heads that several models share. b batch, n tokens, C choices, D hidden size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.layers import State, linear

FOLDED = ("input_ids", "attention_mask", "global_attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


def span_logits(state: State, hidden_states: Float) -> tuple[Float, Float]:
    """Logits of the start and of the end of an answer: (b, n, D) -> twice (b, n)."""
    logits = linear(state, "qa_outputs", hidden_states)
    return logits[..., 0], logits[..., 1]


def fold_choices(input_ids: Any, options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Number of choices, and all inputs with every choice as a row of the batch: (b, C, n, ...) -> (b * C, n, ...)."""
    inputs = dict(options) | {"input_ids": input_ids}
    given = [name for name in FOLDED if inputs.get(name) is not None]
    leading: tuple[int, ...] | None = None
    for name in given:
        array = inputs[name]
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name}: expected a numpy array, got {type(array).__name__}")
        rank = 4 if name == "inputs_embeds" else 3
        if array.ndim != rank or leading not in (None, array.shape[:3]):
            expected = "(batch, choices, tokens)" if leading is None else f"{leading}"
            raise ValueError(f"{name}: expected shape {expected}, got {array.shape}")
        leading = array.shape[:3]
        inputs[name] = array.reshape(-1, *array.shape[2:])
    if leading is None:
        raise ValueError("input_ids: expected exactly one of input_ids and inputs_embeds, got neither")
    return leading[1], inputs


def choice_logits(state: State, pooled: Float, choices: int) -> Float:
    """One number for each choice: (b * C, D) -> (b, C)."""
    return linear(state, "classifier", pooled).reshape(-1, choices)

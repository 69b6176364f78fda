"""Heads on the outputs of XLM-RoBERTa and Longformer, some of which LED has too.

Options: `state`, weights under the Hub's names; `model`, the output of the model inside; `labels`, None: no loss.
Shapes: b batch, n tokens, C classes or choices, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.embeddings import Config
from trueband.reference.layers import State, classification_head, linear, lm_head
from trueband.reference.losses import check_labels, classification_loss, cross_entropy, span_loss, token_loss
from trueband.reference.outputs import HeadOutput, ModelOutput, QuestionAnsweringOutput

Labels = NDArray[Any] | None
FOLDED = ("input_ids", "attention_mask", "global_attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


def head_output(loss: float | None, logits: Float, model: ModelOutput) -> HeadOutput:
    """What a head returns: its own, and the model's hidden states and attentions."""
    return HeadOutput(loss, logits, *model[2:])


def language_model(
    state: State, config: Config, model: ModelOutput, labels: Labels, prefix: str, *, next_token: bool = False
) -> HeadOutput:
    """Logits (b, n, vocabulary). labels (b, n): ids, or -100. `prefix`: of the model's keys."""
    logits = lm_head(state, model.last_hidden_state, config.layer_norm_eps, prefix)
    return head_output(token_loss(logits, labels, config.vocab_size, next_token=next_token), logits, model)


def sequence_classification(state: State, config: Config, model: ModelOutput, labels: Labels) -> HeadOutput:
    """Logits (b, C) from the first token. labels (b,) class ids, or (b, C) floats, or (b,) floats for C = 1."""
    logits = classification_head(state, "classifier", model.last_hidden_state[:, 0])
    return head_output(classification_loss(logits, labels, config.num_labels, config.problem_type), logits, model)


def token_classification(state: State, config: Config, model: ModelOutput, labels: Labels) -> HeadOutput:
    """Logits (b, n, C). labels (b, n), -100 for tokens that do not count."""
    logits = linear(state, "classifier", model.last_hidden_state)
    return head_output(token_loss(logits, labels, config.num_labels), logits, model)


def multiple_choice(state: State, model: ModelOutput, choices: int, labels: Labels) -> HeadOutput:
    """Logits (b, C), one number for each of b * C sequences. labels (b,): the right choice."""
    assert model.pooler_output is not None
    logits = linear(state, "classifier", model.pooler_output).reshape(-1, choices)
    if labels is not None:
        check_labels(labels, logits.shape[:1], choices)
    return head_output(None if labels is None else cross_entropy(logits, labels), logits, model)


def question_answering(
    state: State, model: ModelOutput, start_positions: Labels, end_positions: Labels
) -> QuestionAnsweringOutput:
    """Logits (b, n) of the start and of the end of the answer. Positions (b,)."""
    start, end = span_logits(state, model.last_hidden_state)
    loss = span_loss(start, end, start_positions, end_positions)
    return QuestionAnsweringOutput(loss, start, end, model.hidden_states, model.attentions, model.global_attentions)


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

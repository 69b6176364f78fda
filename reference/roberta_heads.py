"""Heads of RoBERTa and XLM-RoBERTa, beside the language models of `roberta`.

Keys of the model under "roberta."; options are those of `roberta_model`.
Shapes: b batch, n tokens, C classes or choices, D hidden size.
"""

from __future__ import annotations

from typing import Any

from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import Ids
from trueband.reference.heads import (
    Labels,
    fold_choices,
    multiple_choice,
    question_answering,
    sequence_classification,
    token_classification,
)
from trueband.reference.layers import State
from trueband.reference.outputs import HeadOutput, QuestionAnsweringOutput
from trueband.reference.roberta import headless


def roberta_sequence_classification(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, C) from the first token. labels (b,) class ids, or (b, C) floats, or (b,) floats for C = 1."""
    return sequence_classification(state, config, headless(state, config, input_ids, options), labels)


def roberta_multiple_choice(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, C): inputs (b, C, n), every choice a sequence of its own. labels (b,): the right choice.

    Hidden states and attentions are those of b * C sequences.
    """
    choices, folded = fold_choices(input_ids, options)
    model = headless(state, config, folded.pop("input_ids"), folded, pool=True)
    return multiple_choice(state, model, choices, labels)


def roberta_token_classification(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, n, C). labels (b, n), -100 for tokens that do not count."""
    return token_classification(state, config, headless(state, config, input_ids, options), labels)


def roberta_question_answering(
    state: State,
    config: XLMRobertaConfig,
    input_ids: Ids | None = None,
    *,
    start_positions: Labels = None,
    end_positions: Labels = None,
    **options: Any,
) -> QuestionAnsweringOutput:
    """Logits (b, n) of the start and of the end of the answer. Positions (b,)."""
    model = headless(state, config, input_ids, options)
    return question_answering(state, model, start_positions, end_positions)

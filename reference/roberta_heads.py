"""Heads of RoBERTa and XLM-RoBERTa, beside the language models of `roberta`.

Keys of the model under "roberta."; options are those of `roberta_model`.
Shapes: b batch, n tokens, C classes or choices, D hidden size.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import Ids
from trueband.reference.heads import choice_logits, fold_choices, span_logits
from trueband.reference.layers import State, classification_head, linear
from trueband.reference.losses import check_labels, classification_loss, cross_entropy, span_loss, token_loss
from trueband.reference.outputs import HeadOutput, QuestionAnsweringOutput
from trueband.reference.roberta import head_output, headless

Labels = NDArray[Any] | None


def roberta_sequence_classification(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, C) from the first token. labels (b,) class ids, or (b, C) floats, or (b,) floats for C = 1."""
    model = headless(state, config, input_ids, options)
    logits = classification_head(state, "classifier", model.last_hidden_state[:, 0])
    return head_output(classification_loss(logits, labels, config.num_labels, config.problem_type), logits, model)


def roberta_multiple_choice(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, C): inputs (b, C, n), every choice a sequence of its own. labels (b,): the right choice.

    Hidden states and attentions are those of b * C sequences.
    """
    choices, folded = fold_choices(input_ids, options)
    model = headless(state, config, folded.pop("input_ids"), folded, pool=True)
    assert model.pooler_output is not None
    logits = choice_logits(state, model.pooler_output, choices)
    if labels is not None:
        check_labels(labels, logits.shape[:1], choices)
    return head_output(None if labels is None else cross_entropy(logits, labels), logits, model)


def roberta_token_classification(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, n, C). labels (b, n), -100 for tokens that do not count."""
    model = headless(state, config, input_ids, options)
    logits = linear(state, "classifier", model.last_hidden_state)
    return head_output(token_loss(logits, labels, config.num_labels), logits, model)


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
    start, end = span_logits(state, model.last_hidden_state)
    loss = span_loss(start, end, start_positions, end_positions)
    return QuestionAnsweringOutput(loss, start, end, model.hidden_states, model.attentions)

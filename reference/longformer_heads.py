"""Heads of Longformer, beside `longformer_masked_lm`, and the tokens that are global for each task (paper, section 4).

Keys of the model under "longformer."; options are those of `longformer_model`. A `global_attention_mask` that is given
replaces the task's own. Shapes: b batch, n tokens, C classes or choices, D hidden size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.config import LongformerConfig
from trueband.reference.embeddings import Ids, check_ids
from trueband.reference.heads import choice_logits, fold_choices, span_logits
from trueband.reference.layers import State, classification_head, linear
from trueband.reference.longformer import head_output, headless
from trueband.reference.losses import check_labels, classification_loss, cross_entropy, span_loss, token_loss
from trueband.reference.masks import Bool
from trueband.reference.outputs import HeadOutput, QuestionAnsweringOutput

Labels = NDArray[Any] | None
SEPARATORS = 3  # <s> question </s> </s> context </s>


def longformer_sequence_classification(
    state: State, config: LongformerConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, C) from the first token, which is global. labels (b,) class ids, or floats (b, C)."""
    inputs = input_ids if input_ids is not None else options.get("inputs_embeds")
    if options.get("global_attention_mask") is None and inputs is not None and inputs.ndim >= 2:
        options["global_attention_mask"] = np.zeros(inputs.shape[:2], dtype=bool)
        options["global_attention_mask"][:, 0] = True
    model = headless(state, config, input_ids, options)
    logits = classification_head(state, "classifier", model.last_hidden_state[:, 0])
    return head_output(classification_loss(logits, labels, config.num_labels, config.problem_type), logits, model)


def longformer_question_answering(
    state: State,
    config: LongformerConfig,
    input_ids: Ids | None = None,
    *,
    start_positions: Labels = None,
    end_positions: Labels = None,
    **options: Any,
) -> QuestionAnsweringOutput:
    """Logits (b, n) of the start and of the end of the answer. Positions (b,).

    The question is global: every token before the first separator. From `inputs_embeds` nothing is.
    """
    if options.get("global_attention_mask") is None and input_ids is not None:
        check_ids("input_ids", input_ids, None, config.vocab_size)
        first = first_separator(input_ids, config.sep_token_id)
        options["global_attention_mask"] = np.arange(input_ids.shape[1]) < first[:, None]
    model = headless(state, config, input_ids, options)
    start, end = span_logits(state, model.last_hidden_state)
    loss = span_loss(start, end, start_positions, end_positions)
    return QuestionAnsweringOutput(
        loss, start, end, model.hidden_states, model.attentions, model.global_attentions
    )  # fmt: skip


def longformer_token_classification(
    state: State, config: LongformerConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, n, C); nothing is global. labels (b, n), -100 for tokens that do not count."""
    model = headless(state, config, input_ids, options)
    logits = linear(state, "classifier", model.last_hidden_state)
    return head_output(token_loss(logits, labels, config.num_labels), logits, model)


def longformer_multiple_choice(
    state: State, config: LongformerConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, C): inputs (b, C, n), every choice a sequence of its own. labels (b,): the right choice.

    The choice is global: every token behind the two separators that end the question. From `inputs_embeds` nothing
    is. Hidden states and attentions are those of b * C sequences.
    """
    choices, folded = fold_choices(input_ids, options)
    ids = folded.pop("input_ids")
    if folded.get("global_attention_mask") is None and ids is not None:
        folded["global_attention_mask"] = behind_the_question(
            check_ids("input_ids", ids, None, config.vocab_size), config.sep_token_id
        )
    model = headless(state, config, ids, folded, pool=True)
    assert model.pooler_output is not None
    logits = choice_logits(state, model.pooler_output, choices)
    if labels is not None:
        check_labels(labels, logits.shape[:1], choices)
    return head_output(None if labels is None else cross_entropy(logits, labels), logits, model)


def behind_the_question(input_ids: Ids, sep_token_id: int) -> Bool:
    """(b, n): True behind the two separators that end the question, the last separator and padding included."""
    return np.arange(input_ids.shape[1]) > first_separator(input_ids, sep_token_id)[:, None] + 1


def first_separator(input_ids: Ids, sep_token_id: int) -> NDArray[np.int64]:
    """(b,): position of the first separator of each row; ValueError unless every row has three of them."""
    is_separator = input_ids == sep_token_id
    for row, count in enumerate(is_separator.sum(axis=1)):
        if count != SEPARATORS:
            raise ValueError(
                f"input_ids: expected {SEPARATORS} separators (id {sep_token_id}) in every row, or a "
                f"global_attention_mask, got {count} in row {row}"
            )
    return is_separator.argmax(axis=1)

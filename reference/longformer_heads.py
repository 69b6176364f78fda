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
from trueband.reference.heads import (
    Labels,
    fold_choices,
    multiple_choice,
    question_answering,
    sequence_classification,
    token_classification,
)
from trueband.reference.layers import State
from trueband.reference.longformer import headless
from trueband.reference.masks import Bool
from trueband.reference.outputs import HeadOutput, QuestionAnsweringOutput

SEPARATORS = 3  # <s> question </s> </s> context </s>


def longformer_sequence_classification(
    state: State, config: LongformerConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, C) from the first token, which is global. labels (b,) class ids, or floats (b, C)."""
    inputs = input_ids if input_ids is not None else options.get("inputs_embeds")
    if options.get("global_attention_mask") is None and inputs is not None and inputs.ndim >= 2:
        options["global_attention_mask"] = np.zeros(inputs.shape[:2], dtype=bool)
        options["global_attention_mask"][:, 0] = True
    return sequence_classification(state, config, headless(state, config, input_ids, options), labels)


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
    return question_answering(state, model, start_positions, end_positions)


def longformer_token_classification(
    state: State, config: LongformerConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, n, C); nothing is global. labels (b, n), -100 for tokens that do not count."""
    return token_classification(state, config, headless(state, config, input_ids, options), labels)


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
    return multiple_choice(state, model, choices, labels)


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

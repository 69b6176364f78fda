"""Heads of LED for sequence classification and question answering, on the decoder's states.

The decoder reads the input, shifted to the right, unless it is given something else. Keys of the model under "led.";
options are those of `led_model`. Shapes: b batch, n tokens, C classes, D hidden size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.reference.config import LEDConfig
from trueband.reference.embeddings import Ids, check_ids
from trueband.reference.heads import Labels, span_logits
from trueband.reference.layers import State, classification_head
from trueband.reference.led import headless
from trueband.reference.losses import classification_loss, span_loss
from trueband.reference.outputs import Seq2SeqHeadOutput, Seq2SeqQuestionAnsweringOutput


def led_sequence_classification(
    state: State, config: LEDConfig, input_ids: Ids, *, labels: Labels = None, **options: Any
) -> Seq2SeqHeadOutput:
    """Logits (b, C) from the decoder's state where `input_ids` has its last end token.

    labels (b,) class ids, or floats (b, C). The decoder must read as many tokens as the encoder.

    Raises:
        ValueError: rows without an end token, or with different numbers of them.
    """
    if options.get("inputs_embeds") is not None or input_ids is None:
        raise ValueError("input_ids: expected ids (the end token is looked for in them), got inputs_embeds")
    is_end = check_ids("input_ids", input_ids, None, config.vocab_size) == config.eos_token_id
    counts = is_end.sum(axis=1)
    if counts.min() == 0 or counts.min() != counts.max():
        raise ValueError(
            f"input_ids: expected the same number of end tokens (id {config.eos_token_id}), at least one, "
            f"in every row, got {counts.tolist()}"
        )
    model = headless(state, config, input_ids, options)
    states = model.last_hidden_state
    if states.shape[1] != input_ids.shape[1]:
        name = "decoder_inputs_embeds" if options.get("decoder_input_ids") is None else "decoder_input_ids"
        raise ValueError(f"{name}: expected as many tokens as input_ids, {input_ids.shape[1]}, got {states.shape[1]}")
    last = [int(np.flatnonzero(row)[-1]) for row in is_end]
    logits = classification_head(state, "classification_head", states[np.arange(len(last)), last])
    loss = classification_loss(logits, labels, config.num_labels, config.problem_type)
    return Seq2SeqHeadOutput(loss, logits, *model[1:])


def led_question_answering(
    state: State,
    config: LEDConfig,
    input_ids: Ids | None = None,
    *,
    start_positions: Labels = None,
    end_positions: Labels = None,
    **options: Any,
) -> Seq2SeqQuestionAnsweringOutput:
    """Logits (b, m) of the start and of the end of the answer. Positions (b,)."""
    model = headless(state, config, input_ids, options)
    start, end = span_logits(state, model.last_hidden_state)
    loss = span_loss(start, end, start_positions, end_positions)
    return Seq2SeqQuestionAnsweringOutput(loss, start, end, *model[1:])

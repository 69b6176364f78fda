"""Witnesses that are encoder-decoders, as plain callables or import strings (`trueband.golden.witness.resolve`).

    seq2seq(config, state, input_ids, attention_mask=None, global_attention_mask=None, decoder_input_ids=None)
        -> {"encoder_last_hidden_state": array, "logits": array}

config: the fields of an LED's `config.json`. state: float32 arrays under the Hub's keys of LEDForConditionalGeneration,
tied arrays once. input_ids and the masks: (b, n) integers, masks of 0 and 1. decoder_input_ids: (b, m); without them,
or without layers in the decoder, only the encoder counts. encoder_last_hidden_state (b, n, D), logits
(b, m, vocabulary); in the dtype they were computed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.golden.weights.fairseq import Checkpoint
from trueband.reference.config import LEDConfig
from trueband.reference.led import led_conditional_generation

Array = NDArray[Any]
Seq2SeqWitness = Callable[..., Mapping[str, Any]]  # the form "seq2seq" above


class Output(NamedTuple):
    """Attributes:
    encoder_last_hidden_state: (b, n, D) float64.
    logits: (b, m, vocabulary) float64.
    """

    encoder_last_hidden_state: NDArray[np.float64]
    logits: NDArray[np.float64]


def reference_seq2seq(
    config: dict[str, Any],
    state: dict[str, Array],
    input_ids: Array,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
    decoder_input_ids: Array | None = None,
) -> dict[str, Any]:
    """The reference, float64."""
    output = led_conditional_generation(
        state,
        LEDConfig.from_dict(config),
        input_ids,
        attention_mask=attention_mask,
        global_attention_mask=global_attention_mask,
        decoder_input_ids=decoder_input_ids,
    )
    return {"encoder_last_hidden_state": output.encoder_last_hidden_state, "logits": output.logits}


def run_seq2seq(
    witness: Seq2SeqWitness,
    checkpoint: Checkpoint,
    input_ids: Array,
    global_attention_mask: Array | None,
    decoder_input_ids: Array,
    attention_mask: Array | None = None,
) -> Output:
    """Runs a witness on copies of the inputs and checks the form of what it returns."""
    config, state = checkpoint
    mask, flags = (None if array is None else array.copy() for array in (attention_mask, global_attention_mask))
    result = witness(dict(config), dict(state), input_ids.copy(), mask, flags, decoder_input_ids.copy())
    shapes = {
        "encoder_last_hidden_state": (*input_ids.shape, config["d_model"]),
        "logits": (*decoder_input_ids.shape, config["vocab_size"]),
    }
    arrays = {name: np.asarray(result[name], dtype=np.float64) for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {arrays[name].shape}")
    return Output(**arrays)


def greedy(
    witness: Seq2SeqWitness,
    checkpoint: Checkpoint,
    input_ids: Array,
    global_attention_mask: Array | None,
    max_length: int,
) -> list[int]:
    """Ids of one text, start and end included: the best next token, again and again, from scratch each time."""
    start, end = checkpoint.config["decoder_start_token_id"], checkpoint.config["eos_token_id"]
    ids = [start]
    while ids[-1] != end and len(ids) < max_length:
        if len(ids) == max_length - 1:
            return [*ids, end]  # the end is forced
        logits = run_seq2seq(witness, checkpoint, input_ids, global_attention_mask, np.array([ids])).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids

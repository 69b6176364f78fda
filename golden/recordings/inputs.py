"""Inputs of a recorded model: which there are, and what the stages take of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.heads import token_of_texts
from trueband.golden.recordings.model import Recorded
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.led_decoder import shift_right
from trueband.reference.longformer_heads import behind_the_question, first_separator

Array = NDArray[Any]
Inputs = Mapping[str, Array]
STATES = "encoder_hidden_states"
ENCODER_INPUTS = ("input_ids", "attention_mask")
INPUTS = {
    "xlm-roberta": ENCODER_INPUTS,
    "longformer": (*ENCODER_INPUTS, "global_attention_mask"),
    "led": (*ENCODER_INPUTS, "global_attention_mask", "decoder_input_ids", "decoder_attention_mask"),
}
LIKE = {"decoder_attention_mask": "decoder_input_ids", "encoder_attention_mask": STATES}  # the others: input_ids


def check_inputs(model: Recorded, arrays: Inputs) -> dict[str, Array]:
    """int64 ids and masks of 0 and 1 by argument name, the decoder's ids among them; an encoder's states as float32.

    Raises:
        ValueError: no input_ids, an argument that the model does not have, shapes or values that it refuses.
    """
    allowed = INPUTS[model.family.name]
    if isinstance(model.config, XLMRobertaConfig) and model.config.add_cross_attention:
        allowed = (*allowed, STATES, "encoder_attention_mask")
    unknown = [name for name in arrays if name not in allowed]
    if unknown or "input_ids" not in arrays:
        got = f"also {', '.join(unknown)}" if unknown else f"only {', '.join(arrays) or 'nothing'}"
        raise ValueError(f"inputs: expected input_ids, and of {', '.join(allowed[1:])} what is needed, got {got}")
    inputs = {name: np.asarray(arrays[name]) for name in allowed if name in arrays}
    for name, array in inputs.items():
        inputs[name] = _states(model, array) if name == STATES else _integers(model, name, array)
    for name, array in inputs.items():
        _check_shape(name, array, inputs)
        if name != STATES:
            _check_values(name, array, model.config.vocab_size if name.endswith("input_ids") else 2)
    if isinstance(model.config, LEDConfig) and "decoder_input_ids" not in inputs:
        start = model.config.decoder_start_token_id
        inputs["decoder_input_ids"] = shift_right(inputs["input_ids"], model.config.pad_token_id, start)
    texts(model, inputs)  # what the head asks of the ids
    return inputs


def texts(model: Recorded, inputs: Inputs) -> dict[str, Array]:
    """Return what the stages take: every choice as a text, (b, C, n) -> (b * C, n), and global what the head says.

    Raises:
        ValueError: ids that the head does not take, such as a question without its separators.
    """
    flattened = {
        name: array if name == STATES else array.reshape(-1, array.shape[-1]) for name, array in inputs.items()
    }
    ids = flattened["input_ids"]
    if model.reads is not None and model.reads.reads == "token":
        token_of_texts(model.config, ids)
    if not isinstance(model.config, LongformerConfig) or "global_attention_mask" in flattened:
        return flattened
    place, separator = np.arange(ids.shape[1]), model.config.sep_token_id
    if model.head == "SequenceClassification":
        flattened["global_attention_mask"] = np.broadcast_to(place == 0, ids.shape).astype(np.int64)
    elif model.head == "QuestionAnswering":
        flattened["global_attention_mask"] = (place < first_separator(ids, separator)[:, None]).astype(np.int64)
    elif model.head == "MultipleChoice":
        flattened["global_attention_mask"] = behind_the_question(ids, separator).astype(np.int64)
    return flattened


def _integers(model: Recorded, name: str, array: Array) -> Array:
    shape = "(batch, choices, tokens)" if model.head == "MultipleChoice" else "(batch, tokens)"
    kinds = "biu" if name.endswith("input_ids") else "biuf"  # masks of 0.0 and 1.0 too
    if array.dtype.kind not in kinds or array.ndim != shape.count(",") + 1 or 0 in array.shape:
        raise ValueError(f"{name}: expected integers of shape {shape}, got {array.dtype} {array.shape}")
    if array.dtype.kind == "f":
        _check_values(name, array, 2)
    return array.astype(np.int64)


def _states(model: Recorded, array: Array) -> Array:
    size = model.config.hidden_size
    if array.dtype.kind not in "fiu" or array.ndim != 3 or 0 in array.shape or array.shape[2] != size:
        expected = f"expected numbers of shape (batch, tokens, {size})"
        raise ValueError(f"{STATES}: {expected}, got {array.dtype} {array.shape}")
    states = array.astype(np.float32)
    if not np.isfinite(states).all():
        raise ValueError(f"{STATES}: expected finite numbers of float32, got others")
    return states


def _check_shape(name: str, array: Array, inputs: Inputs) -> None:
    batch_only = name in ("decoder_input_ids", STATES)
    like = inputs.get("input_ids" if batch_only else LIKE.get(name, "input_ids"))
    if like is None:
        raise ValueError(f"{name}: expected {LIKE[name]} beside it, got none")
    if batch_only and array.shape[0] != like.shape[0]:
        raise ValueError(f"{name}: expected a batch of {like.shape[0]}, got {array.shape[0]}")
    shape = like.shape[:2] if LIKE.get(name) == STATES else like.shape
    if not batch_only and array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")


def _check_values(name: str, array: Array, limit: int) -> None:
    inside = (array >= 0) & (array < limit) & (array == np.floor(array))  # not NaN
    outside = array[~inside]
    if outside.size:
        what = f"ids below {limit}" if name.endswith("input_ids") else "0 and 1 only"
        raise ValueError(f"{name}: expected {what}, got {outside[0]}")

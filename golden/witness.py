"""Witnesses: implementations that the golden checks are run on, as plain callables or import strings.

    masked_lm(architecture, config, state, input_ids, attention_mask=None, global_attention_mask=None)
        -> {"hidden_states": [array, ...], "logits": array}

architecture: "roberta" or "longformer". config: the fields of `config.json`. state: float32 arrays under the Hub's
keys of the MaskedLM class. input_ids and the masks: (b, n) integers, masks of 0 and 1. hidden_states: after the
embeddings and after each layer, (b, n, D) each; logits (b, n, vocabulary); all in the dtype they were computed in.

    attention(query, key, value, *, window, attention_mask, global_attention_mask, query_global, ...) -> array

is the operator of the contract on NumPy arrays; a result with an attribute `output` will do as well.

    position_ids(padding_id, input_ids=None, inputs_embeds=None) -> (b, n) integers

is what XLM-RoBERTa adds positions by. `trueband.golden.seq2seq_witness` has the form "seq2seq".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.golden.weights.fairseq import Checkpoint
from trueband.reference.attention import band_attention
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import positions_from_embeddings, positions_from_ids
from trueband.reference.longformer import longformer_masked_lm
from trueband.reference.roberta import roberta_masked_lm

Array = NDArray[Any]

# The reference in every form.
REFERENCE = {
    "masked_lm": "trueband.golden.witness:reference_masked_lm",
    "seq2seq": "trueband.golden.seq2seq_witness:reference_seq2seq",
    "attention": "trueband.golden.witness:reference_attention",
    "position_ids": "trueband.golden.witness:reference_position_ids",
    "peer": "trueband.golden.recordings.peer:reference_outputs",
    "taps": "trueband.golden.recordings.reference:reference_taps",
}


# The forms "masked_lm" and "attention" above.
MaskedLMWitness = Callable[..., Mapping[str, Any]]
AttentionWitness = Callable[..., Any]


class Output(NamedTuple):
    """Attributes:
    hidden_states: L + 1 arrays (b, n, D).
    logits: (b, n, vocabulary).
    """

    hidden_states: list[Array]
    logits: Array


def reference_masked_lm(
    architecture: str,
    config: dict[str, Any],
    state: dict[str, Array],
    input_ids: Array,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
) -> dict[str, Any]:
    """The reference, float64."""
    if architecture == "longformer":
        result = longformer_masked_lm(
            state,
            LongformerConfig.from_dict(config),
            input_ids,
            attention_mask=attention_mask,
            global_attention_mask=global_attention_mask,
        )
    else:
        result = roberta_masked_lm(state, XLMRobertaConfig.from_dict(config), input_ids, attention_mask=attention_mask)
    return {"hidden_states": list(result.hidden_states), "logits": result.logits}


def reference_attention(query: Array, key: Array, value: Array, **options: Any) -> Array:
    """The reference's operator, output only."""
    return band_attention(query, key, value, **options).output


def reference_position_ids(
    padding_id: int, input_ids: Array | None = None, inputs_embeds: Array | None = None
) -> Array:
    """The reference's positions of ids, or of embeddings."""
    if input_ids is not None:
        return positions_from_ids(input_ids, padding_id)
    if inputs_embeds is None:
        raise ValueError("input_ids: expected them or inputs_embeds, got neither")
    batch, tokens = inputs_embeds.shape[:2]
    return positions_from_embeddings(batch, tokens, padding_id)


def resolve(witness: str | Callable[..., Any]) -> tuple[str, Callable[..., Any]]:
    """Name and callable of a witness given as an object or as "module:name".

    Raises:
        ValueError: not an import string, or nothing of that name there.
    """
    if not isinstance(witness, str):
        return getattr(witness, "__name__", repr(witness)), witness
    module, _, name = witness.partition(":")
    if not module or not name:
        raise ValueError(f'witness: expected a callable or "module:name", got {witness!r}')
    try:
        value = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f'witness: expected a callable or "module:name", got {witness!r} ({error})') from error
    return witness, value


def run_masked_lm(
    witness: MaskedLMWitness,
    architecture: str,
    checkpoint: Checkpoint,
    input_ids: Array,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
) -> Output:
    """Runs a witness on copies of the inputs and checks the form of what it returns."""
    config, state = checkpoint
    masks = [None if mask is None else mask.copy() for mask in (attention_mask, global_attention_mask)]
    result = witness(architecture, dict(config), dict(state), input_ids.copy(), *masks)
    hidden_states, logits = [np.asarray(state) for state in result["hidden_states"]], np.asarray(result["logits"])
    layers = config["num_hidden_layers"]
    if len(hidden_states) != layers + 1:
        raise ValueError(f"hidden_states: expected {layers + 1} arrays (embeddings, layers), got {len(hidden_states)}")
    for array, width, name in [
        *((states, config["hidden_size"], "hidden_states") for states in hidden_states),
        (logits, config["vocab_size"], "logits"),
    ]:
        if array.shape != (*input_ids.shape, width):
            raise ValueError(f"{name}: expected shape {(*input_ids.shape, width)}, got {array.shape}")
    return Output(hidden_states, logits)


def run_attention(witness: AttentionWitness, query: Array, key: Array, value: Array, **options: Any) -> Array:
    """The output of an attention witness in float64, (b, h, n, d)."""
    result = witness(query, key, value, **options)
    output = np.asarray(getattr(result, "output", result), dtype=np.float64)
    if output.shape != query.shape:
        raise ValueError(f"output: expected shape {query.shape}, got {output.shape}")
    return output

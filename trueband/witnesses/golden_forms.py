"""The optimized implementation as witnesses of the golden checks, NumPy in and out. torch is imported on the call.

The forms are those of `trueband.golden.witness`, `trueband.golden.seq2seq_witness` and
`trueband.golden.recordings.peer`. `trueband.witnesses.families` names these functions by import string.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.peer import flat
from trueband.reference.config import GenerationConfig, XLMRobertaConfig
from trueband.witnesses.building import build, widest_dtype

Array = NDArray[Any]
Arrays = dict[str, Array]


def optimized_masked_lm(
    architecture: str,
    config: dict[str, Any],
    state: Arrays,
    input_ids: Array,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
) -> dict[str, Any]:
    """Hidden states and logits of `trueband.optimized`, in the dtype of the weights.

    Raises:
        ValueError: an architecture other than "roberta" and "longformer"; weights that are not those of the model.
    """
    import torch

    masks = {"attention_mask": attention_mask}
    if architecture == "longformer":
        model = build("LongformerForMaskedLM", config, state, widest_dtype(state))
        masks["global_attention_mask"] = global_attention_mask
    elif architecture == "roberta":
        model = build("XLMRobertaForMaskedLM", config, state, widest_dtype(state))
    else:
        raise ValueError(f"architecture: expected 'roberta' or 'longformer', got {architecture!r}")
    with torch.no_grad():
        output = model(torch.tensor(input_ids), output_hidden_states=True, **_tensors(masks))
    return {"hidden_states": [states.numpy() for states in output.hidden_states], "logits": output.logits.numpy()}


def optimized_seq2seq(
    config: dict[str, Any],
    state: Arrays,
    input_ids: Array,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
    decoder_input_ids: Array | None = None,
) -> dict[str, Any]:
    """Encoder states and logits of LED in `trueband.optimized`, in the dtype of the weights.

    Raises:
        ValueError: weights that are not those of the model.
    """
    import torch

    model = build("LEDForConditionalGeneration", config, state, widest_dtype(state))
    arrays = {
        "attention_mask": attention_mask,
        "global_attention_mask": global_attention_mask,
        "decoder_input_ids": decoder_input_ids,
    }
    with torch.no_grad():
        output = model(torch.tensor(input_ids), **_tensors(arrays))
    return {
        "encoder_last_hidden_state": output.encoder_last_hidden_state.numpy(),
        "logits": np.asarray(output.logits.numpy()),
    }


def optimized_peer(
    model_class: str, config: dict[str, Any], state: Arrays, inputs: Arrays, generation: dict[str, Any] | None = None
) -> Arrays:
    """Compute all outputs of a class of `trueband.optimized` in float64, or what it generates.

    Raises:
        ValueError: weights that are not those of the model.
    """
    import torch

    model = build(model_class, config, state, "float64")
    with torch.no_grad():
        if generation is not None:
            every = GenerationConfig(**generation).to_dict()  # nothing is left to the checkpoint to say
            written = model.generate(**every, **_tensors(inputs))
            return {"sequences": np.asarray(written)}
        output = model(**_tensors(inputs), output_hidden_states=True, output_attentions=True)
    fields = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    return flat({name: value for name, value in fields.items() if name != "past_key_values"})


def optimized_attention(query: Array, key: Array, value: Array, **options: Any) -> Array:
    """`trueband.optimized.band_attention` on NumPy arrays: (b, h, n, d), in the dtype of query."""
    import torch

    from trueband.optimized import band_attention

    tensors: dict[str, Any] = {
        name: torch.tensor(option) if isinstance(option, np.ndarray) else option for name, option in options.items()
    }
    with torch.no_grad():
        output: Array = band_attention(torch.tensor(query), torch.tensor(key), torch.tensor(value), **tensors).numpy()
    return output


def optimized_position_ids(
    padding_id: int, input_ids: Array | None = None, inputs_embeds: Array | None = None
) -> Array:
    """Position ids as `trueband.optimized` gives them out, (b, n)."""
    import torch

    from trueband.optimized.models import XLMRobertaModel

    source: Array | None = input_ids if input_ids is not None else inputs_embeds
    if source is None:
        raise ValueError("input_ids: expected them or inputs_embeds, got neither")
    batch, tokens = source.shape[:2]
    largest = padding_id if input_ids is None else max(padding_id, int(input_ids.max()))
    config = XLMRobertaConfig.from_dict(
        {
            "vocab_size": largest + 1,
            "hidden_size": 1,
            "num_attention_heads": 1,
            "num_hidden_layers": 0,
            "intermediate_size": 1,
            "max_position_embeddings": padding_id + 1 + tokens,
            "type_vocab_size": 1,
            "pad_token_id": padding_id,
        }
    )
    ids = None if input_ids is None else torch.tensor(input_ids)
    positions = XLMRobertaModel(config).embeddings.positions(ids, None, (batch, tokens), 0, None)
    return np.asarray(positions)


def _tensors(arrays: Mapping[str, Array | None]) -> dict[str, Any]:
    import torch

    return {name: None if array is None else torch.tensor(array) for name, array in arrays.items()}

"""The optimized implementation as witnesses for the golden checks, NumPy in and out. torch is imported on the call.

The forms are those of `trueband.golden.witness`; golden itself knows this module by its import string only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.config import LongformerConfig, XLMRobertaConfig

Array = NDArray[Any]


def optimized_masked_lm(
    architecture: str,
    config: dict[str, Any],
    state: dict[str, Array],
    input_ids: Array,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
) -> dict[str, Any]:
    """Hidden states and logits of `trueband.optimized`, in the dtype of the weights.

    Raises:
        ValueError: an architecture other than "roberta" and "longformer".
        RuntimeError: weights under keys that the model does not have, or without some that it has.
    """
    import torch

    from trueband.optimized.models import LongformerForMaskedLM, XLMRobertaForMaskedLM

    masks = {"attention_mask": attention_mask}
    model: torch.nn.Module
    if architecture == "longformer":
        model = LongformerForMaskedLM(LongformerConfig.from_dict(config))
        masks["global_attention_mask"] = global_attention_mask
    elif architecture == "roberta":
        model = XLMRobertaForMaskedLM(XLMRobertaConfig.from_dict(config))
    else:
        raise ValueError(f"architecture: expected 'roberta' or 'longformer', got {architecture!r}")
    model.to(dtype_of(state))
    model.load_state_dict({name: torch.tensor(array) for name, array in state.items()}, strict=True)
    model.eval()
    tensors = {name: None if mask is None else torch.tensor(mask) for name, mask in masks.items()}
    with torch.no_grad():
        output = model(torch.tensor(input_ids), output_hidden_states=True, **tensors)
    return {"hidden_states": [each.numpy() for each in output.hidden_states], "logits": output.logits.numpy()}


def dtype_of(state: dict[str, Array]) -> Any:
    """torch's dtype of the weights: the widest of the arrays."""
    import torch

    return torch.from_numpy(np.empty(0, np.result_type(*(array.dtype for array in state.values())))).dtype


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

    given: Array | None = input_ids if input_ids is not None else inputs_embeds
    if given is None:
        raise ValueError("input_ids: expected them or inputs_embeds, got neither")
    batch, tokens = given.shape[:2]
    largest = padding_id if input_ids is None else max(padding_id, int(input_ids.max()))
    config = XLMRobertaConfig.from_dict(
        {
            "vocab_size": largest + 1, "hidden_size": 1, "num_attention_heads": 1, "num_hidden_layers": 0,
            "intermediate_size": 1, "max_position_embeddings": padding_id + 1 + tokens, "type_vocab_size": 1,
            "pad_token_id": padding_id,
        }
    )  # fmt: skip
    ids = None if input_ids is None else torch.tensor(input_ids)
    positions = XLMRobertaModel(config).embeddings.positions(ids, None, (batch, tokens), 0, None)
    return np.asarray(positions)

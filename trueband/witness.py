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
    model.load_state_dict({name: torch.tensor(array) for name, array in state.items()}, strict=True)
    model.eval()
    tensors = {name: None if mask is None else torch.tensor(mask) for name, mask in masks.items()}
    with torch.no_grad():
        output = model(torch.tensor(input_ids), output_hidden_states=True, **tensors)
    return {"hidden_states": [each.numpy() for each in output.hidden_states], "logits": output.logits.numpy()}


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

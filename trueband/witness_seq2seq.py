"""The optimized LED as a witness for the golden checks, NumPy in and out. torch is imported on the call.

The form is that of `trueband.golden.seq2seq_witness`; golden itself knows this module by its import string only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.config import LEDConfig
from trueband.witness import dtype_of

Array = NDArray[Any]


def optimized_seq2seq(
    config: dict[str, Any],
    state: dict[str, Array],
    input_ids: Array,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
    decoder_input_ids: Array | None = None,
) -> dict[str, Any]:
    """Encoder states and logits of `trueband.optimized`, in the dtype of the weights.

    Raises:
        ValueError: weights under keys that the model does not have, or without some that it has.
    """
    import torch

    from trueband.optimized.models import LEDForConditionalGeneration

    model = LEDForConditionalGeneration(LEDConfig.from_dict(config)).eval().to(dtype_of(state))
    missing, unexpected = model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    tied = {"lm_head.weight", "led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight"}
    if unexpected or set(missing) - tied:
        raise ValueError(f"state: expected the keys of an LED, got missing {missing}, unexpected {unexpected}")
    given = {
        "attention_mask": attention_mask, "global_attention_mask": global_attention_mask,
        "decoder_input_ids": decoder_input_ids,
    }  # fmt: skip
    tensors = {name: None if array is None else torch.tensor(array) for name, array in given.items()}
    with torch.no_grad():
        output = model(torch.tensor(input_ids), **tensors)
    return {
        "encoder_last_hidden_state": output.encoder_last_hidden_state.numpy(),
        "logits": np.asarray(output.logits.numpy()),
    }

"""Witnesses for the golden tests: the reference, the optimized implementation, and the peer library."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trueband.golden.witness import resolve


def peer_masked_lm(
    architecture: str,
    config: dict[str, Any],
    state: dict[str, np.ndarray],
    input_ids: np.ndarray,
    attention_mask: np.ndarray | None = None,
    global_attention_mask: np.ndarray | None = None,
) -> dict[str, Any]:
    """transformers on the same weights, float32."""
    masks: dict[str, Any] = {"attention_mask": attention_mask}
    model: Any
    if architecture == "longformer":
        model = transformers.LongformerForMaskedLM(transformers.LongformerConfig(**config))
        masks["global_attention_mask"] = global_attention_mask
    else:
        model = transformers.XLMRobertaForMaskedLM(transformers.XLMRobertaConfig(**config))
    model.load_state_dict({name: torch.tensor(array) for name, array in state.items()}, strict=True)
    tensors = {name: None if mask is None else torch.tensor(mask) for name, mask in masks.items()}
    with torch.no_grad():
        output = model.eval()(torch.tensor(input_ids), output_hidden_states=True, **tensors)
    tokens = input_ids.shape[1]  # the peer pads to a multiple of the window
    return {"hidden_states": [tap[:, :tokens].numpy() for tap in output.hidden_states], "logits": output.logits.numpy()}


@pytest.fixture(scope="session")
def witness() -> Callable[[str], Callable[..., Any]]:
    """Masked language models by a short name, or any witness by its import string."""
    names = {
        "reference": "trueband.golden.witness:reference_masked_lm",
        "optimized": "trueband.witness:optimized_masked_lm",
        "reference attention": "trueband.golden.witness:reference_attention",
        "optimized attention": "trueband.witness:optimized_attention",
    }
    return lambda name: peer_masked_lm if name == "peer" else resolve(names[name])[1]


@pytest.fixture(scope="session")
def checks() -> SimpleNamespace:
    """All golden checks by name."""
    from trueband.golden import ATTENTION_CHECKS, MASKED_LM_CHECKS

    return SimpleNamespace(
        masked_lm={check.name: check for check in MASKED_LM_CHECKS},
        attention={check.name: check for check in ATTENTION_CHECKS},
    )

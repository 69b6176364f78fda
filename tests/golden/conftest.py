"""Running goldens in tests: on the reference, on the optimized implementation, on the peer library, on wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trueband.golden import CHECKS, Context, GoldenRecord, open_store, run_golden
from trueband.golden.runners.checks import run_check
from trueband.witnesses.families import context_of


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


def peer_seq2seq(
    config: dict[str, Any], state: dict[str, np.ndarray], ids: Any, mask: Any, flagged: Any, decoder_ids: Any
) -> dict[str, Any]:
    """transformers on the same weights, float32."""
    model = transformers.LEDForConditionalGeneration(transformers.LEDConfig(**config)).eval()
    missing, unexpected = model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    assert not unexpected
    assert all("embed_tokens" in name or name == "lm_head.weight" for name in missing)  # tied
    real = torch.ones(ids.shape, dtype=torch.int64) if mask is None else torch.tensor(mask)
    with torch.no_grad():
        output = model(
            torch.tensor(ids),
            attention_mask=real,
            global_attention_mask=torch.tensor(flagged),
            decoder_input_ids=torch.tensor(decoder_ids),
        )
    states = output.encoder_last_hidden_state[:, : ids.shape[1]]
    return {"encoder_last_hidden_state": states.numpy(), "logits": output.logits.numpy()}


PEER: dict[str, Callable[..., Any]] = {"masked_lm": peer_masked_lm, "seq2seq": peer_seq2seq}


@pytest.fixture(scope="session")
def outcome_of() -> Callable[..., GoldenRecord]:
    """Runs a golden or a named check, by its name, on an implementation: a name, or witnesses by form."""
    named = {check.name: check for check in CHECKS}

    def run(name: str, who: str | dict[str, Any], label: str = "wrong") -> GoldenRecord:
        if isinstance(who, dict):
            context = Context(label, who)
        else:
            context = Context("peer", PEER) if who == "peer" else context_of(who)
        return run_check(named[name], context) if name in named else run_golden(open_store().golden(name), context)

    return run

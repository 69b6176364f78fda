"""Small models of the peer with random weights, texts for them, and their outputs; a part of `record_peer.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers


def model_of(name: str, config: dict[str, Any], seed: int) -> Any:
    """A model of the peer in float64 with random weights on the grid of float32."""
    family = next(each for each in ("LED", "Longformer", "XLMRoberta") if name.startswith(each))
    kind: Any = getattr(transformers, f"{family}Config")
    torch.manual_seed(seed)
    model = getattr(transformers, name)(kind(**config, attn_implementation="eager")).double().eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, dtype=torch.float32)
            norm = "norm" in parameter_name.lower() and parameter_name.endswith("weight")
            value = 1 + 0.2 * noise if norm else (0.5 if parameter.ndim == 2 else 0.1) * noise
            parameter.copy_(value)
        for buffer_name, buffer in model.named_buffers():
            if buffer_name == "final_logits_bias":
                buffer.copy_(torch.randn(buffer.shape, dtype=torch.float32))
    return model


def state_of(model: Any, prefix: str = "state") -> dict[str, torch.Tensor]:
    state = model.state_dict()
    assert all(torch.equal(value, value.float().double()) for value in state.values())
    return {f"{prefix}.{name}": value.float().clone() for name, value in state.items()}


def outputs_of(output: Any) -> dict[str, torch.Tensor]:
    """Every tensor of an output, those of tuples by number."""
    found: dict[str, torch.Tensor] = {}
    for name, value in output.items():
        if isinstance(value, torch.Tensor):
            found[f"output.{name}"] = value.detach().clone()
        elif name != "past_key_values":
            found |= {f"output.{name}.{i}": each.detach().clone() for i, each in enumerate(value)}
    return found


def text(rng: np.random.Generator, tokens: int, pads: tuple[int, ...], first: int = 3) -> dict[str, torch.Tensor]:
    """ids (b, n) without special tokens, so many pads behind each row, and the mask."""
    ids = rng.integers(first, 30, size=(len(pads), tokens))
    for row, count in enumerate(pads):
        ids[row, tokens - count :] = 1
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor((ids != 1).astype(np.int64))}


def run(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return outputs_of(model(**inputs, output_attentions=True, output_hidden_states=True, return_dict=True))


def record(name: str, config: dict[str, Any], inputs: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    model = model_of(name, config, seed)
    named = {f"input.{key}": value for key, value in inputs.items()}
    return state_of(model) | named | run(model, inputs)

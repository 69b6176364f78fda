"""Random layers and models of a test's dtype, a plain PyTorch encoder layer, and the peer."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

from trueband.properties.bounds import round_to

SHAPES = {
    "attention.self.query": (1, 1),
    "attention.self.key": (1, 1),
    "attention.self.value": (1, 1),
    "attention.self.query_global": (1, 1),
    "attention.self.key_global": (1, 1),
    "attention.self.value_global": (1, 1),
    "attention.output.dense": (1, 1),
    "intermediate.dense": (4, 1),
    "output.dense": (1, 4),
}
NORMS = ("attention.output.LayerNorm", "output.LayerNorm")


def random_layer(rng: np.random.Generator, hidden_size: int, dtype: str, name: str = "layer") -> dict[str, np.ndarray]:
    """Weights of variance 1 / fan-in, biases of size 0.02, on the grid of the dtype."""
    state = {}
    for part, (outputs, inputs) in SHAPES.items():
        shape = (outputs * hidden_size, inputs * hidden_size)
        state[f"{name}.{part}.weight"] = rng.standard_normal(shape) / math.sqrt(shape[1])
        state[f"{name}.{part}.bias"] = 0.02 * rng.standard_normal(shape[0])
    for part in NORMS:
        state[f"{name}.{part}.weight"] = 1 + 0.02 * rng.standard_normal(hidden_size)
        state[f"{name}.{part}.bias"] = 0.02 * rng.standard_normal(hidden_size)
    return {key: round_to(value, dtype) for key, value in state.items()}


def torch_layer(
    state: dict[str, np.ndarray],
    name: str,
    x: np.ndarray,
    heads: int,
    eps: float,
    dtype: str,
    local: np.ndarray,
    global_rows: np.ndarray | None = None,
    activation: Callable[[torch.Tensor], torch.Tensor] = functional.gelu,
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.matmul,
) -> np.ndarray:
    """A post-LN layer through plain PyTorch calls in `dtype`, the softmax in float32; masks (b, n, n), one key table
    for the local and one for the global rows. Independent of both witnesses.

    `product`: of matrices (..., m, k) and (..., k, n), in the accumulator's dtype.
    """
    kind = getattr(torch, dtype)
    statistics = torch.float64 if kind == torch.float64 else torch.float32
    weights = {key: torch.from_numpy(value).to(kind) for key, value in state.items()}

    def linear(part: str, value: torch.Tensor) -> torch.Tensor:
        weight, bias = weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"]
        if product is torch.matmul:
            return functional.linear(value, weight, bias)
        return (product(value.to(statistics), weight.to(statistics).T) + bias.to(statistics)).to(kind)

    def norm(part: str, value: torch.Tensor) -> torch.Tensor:
        gain, shift = weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"]
        return functional.layer_norm(value, (value.shape[-1],), gain, shift, eps)

    hidden = torch.from_numpy(x).to(kind)
    batch, tokens, size = hidden.shape
    context = torch.zeros(batch, tokens, size, dtype=statistics)
    for suffix, table in (("", local), ("_global", global_rows)):
        if table is None:
            continue
        q, k, v = (
            linear(f"attention.self.{part}{suffix}", hidden).view(batch, tokens, heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        seen = torch.from_numpy(table)[:, None]
        scores = product(q.to(statistics), k.to(statistics).transpose(-1, -2)) / math.sqrt(q.shape[-1])
        p = torch.softmax(scores.masked_fill(~seen, -math.inf), dim=-1).masked_fill(~seen, 0.0)
        p = p.to(kind).to(statistics)
        context += product(p, v.to(statistics)).transpose(1, 2).reshape(batch, tokens, size)
    attended = norm("attention.output.LayerNorm", hidden + linear("attention.output.dense", context.to(kind)))
    outer = linear("output.dense", activation(linear("intermediate.dense", attended)))
    return norm("output.LayerNorm", attended + outer).double().numpy()


@pytest.fixture(scope="session")
def encoder() -> SimpleNamespace:
    return SimpleNamespace(random_layer=random_layer, torch_layer=torch_layer)


def peer(name: str, config: Any, dtype: str = "float64", seed: int = 11) -> Any:
    """A model of the peer with random weights, in evaluation mode. Its biases start at 0, where no fault would show:
    they are moved."""
    torch.manual_seed(seed)
    model: Any = getattr(transformers, name)(config)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    for buffer_name, buffer in model.named_buffers():
        if buffer_name == "final_logits_bias":
            buffer.data += torch.randn_like(buffer)
    return model.to(getattr(torch, dtype)).eval()


def run(model: Any, **inputs: Any) -> Any:
    """The peer on arrays; arrays out."""
    given = {name: torch.tensor(value) if isinstance(value, np.ndarray) else value for name, value in inputs.items()}
    with torch.no_grad():
        output = model(**given)
    return SimpleNamespace(**{name: numbers(value) for name, value in output.items() if name != "past_key_values"})


def numbers(value: Any) -> Any:
    return tuple(numbers(each) for each in value) if isinstance(value, tuple) else value.double().numpy()


def state_of(model: Any) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="session")
def peers() -> SimpleNamespace:
    return SimpleNamespace(peer=peer, run=run, state_of=state_of)

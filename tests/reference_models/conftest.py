"""Random layers and models of a test's dtype, a plain PyTorch encoder layer, the peer, and moments to judge them by."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

from trueband.properties.bounds import Bound, Precision, round_to
from trueband.properties.bounds.variance import (
    Moments,
    attention_moments,
    gelu_moments,
    known,
    layer_norm_moments,
    linear_moments,
    sum_moments,
)
from trueband.reference.layers import merge_heads, split_heads

SHAPES = {
    "attention.self.query": (1, 1), "attention.self.key": (1, 1), "attention.self.value": (1, 1),
    "attention.self.query_global": (1, 1), "attention.self.key_global": (1, 1), "attention.self.value_global": (1, 1),
    "attention.output.dense": (1, 1), "intermediate.dense": (4, 1), "output.dense": (1, 4),
}  # fmt: skip
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
) -> np.ndarray:
    """A post-LN layer through plain PyTorch calls in `dtype`, the softmax in float32; masks (b, n, n), one key table
    for the local and one for the global rows. Independent of both witnesses."""
    kind = getattr(torch, dtype)
    weights = {key: torch.from_numpy(value).to(kind) for key, value in state.items()}

    def linear(part: str, value: torch.Tensor) -> torch.Tensor:
        return functional.linear(value, weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"])

    def norm(part: str, value: torch.Tensor) -> torch.Tensor:
        gain, shift = weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"]
        return functional.layer_norm(value, (value.shape[-1],), gain, shift, eps)

    hidden = torch.from_numpy(x).to(kind)
    batch, tokens, size = hidden.shape
    statistics = torch.float64 if kind == torch.float64 else torch.float32
    context = torch.zeros(batch, tokens, size, dtype=statistics)
    for suffix, table in (("", local), ("_global", global_rows)):
        if table is None:
            continue
        q, k, v = (
            linear(f"attention.self.{part}{suffix}", hidden).view(batch, tokens, heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        seen = torch.from_numpy(table)[:, None]
        scores = (q.to(statistics) @ k.to(statistics).transpose(-1, -2)) / math.sqrt(q.shape[-1])
        p = torch.softmax(scores.masked_fill(~seen, -math.inf), dim=-1).masked_fill(~seen, 0.0)
        p = p.to(kind).to(statistics)
        context += (p @ v.to(statistics)).transpose(1, 2).reshape(batch, tokens, size)
    attended = norm("attention.output.LayerNorm", hidden + linear("attention.output.dense", context.to(kind)))
    outer = linear("output.dense", activation(linear("intermediate.dense", attended)))
    return norm("output.LayerNorm", attended + outer).double().numpy()


@pytest.fixture(scope="session")
def encoder() -> SimpleNamespace:
    return SimpleNamespace(random_layer=random_layer, torch_layer=torch_layer)


# Second moments carried through whole models, from the parts in trueband.properties.bounds. Each layer is told by the
# names of its parts; a decoder of RoBERTa and one of LED are the same layers under other names.

PARTS: dict[str, dict[str, Any]] = {
    "roberta": {
        "self": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "self_out": "attention.output.dense", "self_norm": "attention.output.LayerNorm",
        "cross": ("crossattention.self.query", "crossattention.self.key", "crossattention.self.value"),
        "cross_out": "crossattention.output.dense", "cross_norm": "crossattention.output.LayerNorm",
        "inner": "intermediate.dense", "outer": "output.dense", "norm": "output.LayerNorm",
    },
    "led": {
        "self": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "self_out": "self_attn.out_proj", "self_norm": "self_attn_layer_norm",
        "cross": ("encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj"),
        "cross_out": "encoder_attn.out_proj", "cross_norm": "encoder_attn_layer_norm",
        "inner": "fc1", "outer": "fc2", "norm": "final_layer_norm",
    },
}  # fmt: skip
EPS = 1e-5


class Layer(NamedTuple):
    """A decoder's (or an encoder's) layer in one precision: names of its parts and its weights."""

    state: dict[str, np.ndarray]
    name: str
    kind: str
    heads: int
    precision: Precision

    def linear(self, part: str, x: Moments) -> Moments:
        name = f"{self.name}.{part}"
        return linear_moments(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], self.precision)

    def norm(self, part: str, x: Moments) -> Moments:
        name = f"{self.name}.{PARTS[self.kind][part]}"
        gain, shift = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return layer_norm_moments(x, gain, shift, EPS, self.precision)

    def attention(self, which: str, rows: Moments, keys: Moments, visible: np.ndarray) -> tuple[Moments, Moments]:
        """Context (b, m, D) and probabilities (b, h, m, n); visible (b, m, n)."""
        parts = PARTS[self.kind][which]
        query, key, value = (
            split(self.linear(part, x), self.heads) for part, x in zip(parts, (rows, keys, keys), strict=True)
        )
        seen = np.broadcast_to(visible[:, None], (len(visible), self.heads, *visible.shape[1:]))
        scale = 1 / math.sqrt(query.value.shape[-1])
        every_key = np.broadcast_to(np.eye(visible.shape[2]), (*seen.shape[:2], visible.shape[2], visible.shape[2]))
        context = attention_moments(query, key, value, seen, scale, self.precision)
        probabilities = attention_moments(query, key, known(every_key), seen, scale, self.precision)
        return Moments(merge_heads(context.value), merge_heads(context.variance)), probabilities

    def output(
        self, x: Moments, visible: np.ndarray, encoded: Moments | None = None, seen: np.ndarray | None = None
    ) -> Moments:
        """Of the layer, (b, m, D); with cross-attention where `encoded` (b, n, D) is given, seen (b, m, n)."""
        context, _ = self.attention("self", x, x, visible)
        x = self.attended("self", x, context)
        if encoded is not None:
            assert seen is not None
            context, _ = self.attention("cross", x, encoded, seen)
            x = self.attended("cross", x, context)
        return self.fed_forward(x)

    def attended(self, which: str, x: Moments, context: Moments) -> Moments:
        projected = self.linear(PARTS[self.kind][f"{which}_out"], context)
        return self.norm(f"{which}_norm", sum_moments(x, projected, self.precision))

    def fed_forward(self, x: Moments) -> Moments:
        names = PARTS[self.kind]
        inner = gelu_moments(self.linear(names["inner"], x), self.precision)
        return self.norm("norm", sum_moments(x, self.linear(names["outer"], inner), self.precision))


def split(x: Moments, heads: int) -> Moments:
    return Moments(split_heads(x.value, heads), split_heads(x.variance, heads))


def tanh_moments(x: Moments, precision: Precision) -> Moments:
    """tanh' = 1 - tanh^2; 4 units in the last place for the function itself."""
    y = np.tanh(x.value)
    return Moments(y, (1 - y**2) ** 2 * x.variance + (4 * precision.accumulator * y) ** 2)


def started(value: np.ndarray, bound: Bound) -> Moments:
    """A result with a hard bound, as the start of a chain: the bound counts as one standard deviation."""
    return Moments(value, bound.total**2)


def cross_entropy_bound(logits: np.ndarray, count: int, precision: Precision, error: Bound | None = None) -> Bound:
    """Bound on a mean of `count` cross-entropies of rows (..., C), at their worst row.

    With s the largest distance of a logit from the row's maximum and u the accumulator's roundoff: each difference and
    each exponential (1 + 3) u s + 4 u, the sum C u, the logarithm 2 u log C, the last difference and the mean
    (count + 2) u times the loss, which is s + log C at most. An error e of the logits counts twice.
    """
    classes, u = logits.shape[-1], precision.accumulator
    spread = float((logits.max(axis=-1) - logits.min(axis=-1)).max()) + math.log(classes)
    rounding = u * (4 * spread + 4 + classes + 2 * math.log(classes) + (count + 2) * spread)
    carried = 0.0 if error is None else 2 * float(error.total.max())
    return Bound({"rounding": np.array(rounding), "logits": np.array(carried)})


@pytest.fixture(scope="session")
def carried() -> SimpleNamespace:
    return SimpleNamespace(
        Layer=Layer, tanh_moments=tanh_moments, started=started, cross_entropy_bound=cross_entropy_bound
    )  # fmt: skip


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

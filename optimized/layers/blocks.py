"""The parts that every RoBERTa-type encoder is made of; the attention itself is given. All map (b, n, D) to (b, n, D).

Module names are those of the Hub's state dicts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from trueband.optimized.layers.activations import activation
from trueband.optimized.layers.base import Stack
from trueband.optimized.layers.inputs import Config

if TYPE_CHECKING:
    from trueband.optimized.layers.full_attention import SelfAttention


class Attended(NamedTuple):
    """The result of an attention.

    Attributes:
        context: (b, n, D), before the output projection.
        attentions: probabilities, or None when they were not asked for.
        global_attentions: those of the rows of global tokens, or None.
        key, value: (b, h, n, d) that were attended, for a cache; None where there is none.
    """

    context: Tensor
    attentions: Tensor | None = None
    global_attentions: Tensor | None = None
    key: Tensor | None = None
    value: Tensor | None = None


Part = TypeVar("Part", bound=nn.Module)
Attend = Callable[[nn.Module, Tensor, int], Attended]  # of a module, the hidden states and the number of the layer


class Residual(nn.Module):
    """LayerNorm(residual + dropout(dense(x)))."""

    def __init__(self, config: Config, features: int) -> None:
        super().__init__()
        self.dense = nn.Linear(features, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(residual + self.dropout(self.dense(x)))
        return result


class Intermediate(nn.Module):
    """activation(dense(x)): (b, n, D) -> (b, n, F)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = activation("hidden_act", config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.dense(x))


class AttentionBlock(nn.Module):
    """Attention and what follows it: `self` and `output` in the state dict."""

    self: SelfAttention  # read as an attribute: torch.export of torch 2.6 does not trace get_submodule

    def __init__(self, config: Config, attention: SelfAttention) -> None:
        super().__init__()
        self.add_module("self", attention)
        self.output = Residual(config, attention.heads * attention.head_dim)


class EncoderLayer(nn.Module):
    """A post-LN layer: attention, cross-attention in some decoders, feed-forward, each with residual and LayerNorm."""

    def __init__(self, config: Config, attention: SelfAttention, cross: SelfAttention | None = None) -> None:
        super().__init__()
        self.attention = AttentionBlock(config, attention)
        if cross is not None:
            self.crossattention = AttentionBlock(config, cross)
        self.intermediate = Intermediate(config)
        self.output = Residual(config, config.intermediate_size)
        self.chunk = getattr(config, "chunk_size_feed_forward", 0)

    def forward(
        self, hidden_states: Tensor, number: int, attend: Attend, attend_across: Attend | None = None
    ) -> tuple[Tensor, Attended, Attended | None]:
        """The layer's output and its attentions; `attend` and `attend_across` call them on the hidden states."""
        attended = attend(self.attention.self, hidden_states, number)
        x, across = self.attention.output(attended.context, hidden_states), None
        if attend_across is not None:
            across = attend_across(self.crossattention.self, x, number)
            x = self.crossattention.output(across.context, x)
        return self.feed_forward(x), attended, across

    def feed_forward(self, x: Tensor) -> Tensor:
        """Apply the feed-forward to all tokens at once, or to `chunk_size_feed_forward` at a time, in less memory."""
        parts = x.split(self.chunk, dim=1) if self.chunk else (x,)
        return torch.cat([self.output(self.intermediate(part), part) for part in parts], dim=1)


class Encoder(Stack):
    """A stack of layers: `layer` in the state dict. `attention(i)` and `cross()` make the attentions of layer i."""

    def __init__(
        self,
        config: Config,
        attention: Callable[[int], SelfAttention],
        cross: Callable[[], SelfAttention | None] = lambda: None,
    ) -> None:
        super().__init__()
        layers = range(config.num_hidden_layers)
        self.layer = nn.ModuleList(EncoderLayer(config, attention(i), cross()) for i in layers)

    def forward(
        self, hidden_states: Tensor, attend: Attend, attend_across: Attend | None = None
    ) -> tuple[list[Tensor], list[Attended], list[Attended | None]]:
        """L + 1 hidden states, L attentions, L cross-attentions."""
        states, attended, crossed = [hidden_states], [], []
        for i, layer in enumerate(self.layer):
            output, own, across = self.run(layer, states[-1], i, attend, attend_across)
            states.append(output)
            attended.append(own)
            crossed.append(across)
        return states, attended, crossed


class Pooler(nn.Module):
    """tanh(dense(x_0)): of the first token only. (b, n, D) -> (b, D)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        result: Tensor = self.dense(hidden_states[:, 0]).tanh()
        return result


def attention_fields(attended: list[Attended], requested: bool) -> dict[str, Any]:
    """Collect the attentions of a banded encoder's layers under the names of the output's fields."""
    with_global = requested and bool(attended) and attended[0].global_attentions is not None
    return {
        "attentions": tuple(layer.attentions for layer in attended) if requested else None,
        "global_attentions": tuple(layer.global_attentions for layer in attended) if with_global else None,
    }


def initialize(module: Part, std: float) -> Part:
    """The module, with fresh weights: normal matrices and tables, zero biases and padding rows, identity LayerNorms."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            part.reset_parameters()
            nn.init.normal_(part.weight, std=std)
            if part.padding_idx is not None:
                nn.init.zeros_(part.weight[part.padding_idx])
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()
    return module

"""The parts that every RoBERTa-type encoder is made of; the attention itself is given. All map (b, n, D) to (b, n, D).

Module names are those of the Hub's state dicts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import gelu

from trueband.optimized.models.inputs import Config


class Attended(NamedTuple):
    """What a self-attention returns.

    Attributes:
        context: (b, n, D), before the output projection.
        attentions: probabilities, or None when they were not asked for.
        global_attentions: those of the rows of global tokens, or None.
    """

    context: Tensor
    attentions: Tensor | None = None
    global_attentions: Tensor | None = None


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
    """gelu(dense(x)), the exact form: (b, n, D) -> (b, n, F)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        return gelu(self.dense(x))


class AttentionBlock(nn.Module):
    """Self-attention and what follows it: `self` and `output` in the state dict."""

    def __init__(self, config: Config, attention: nn.Module) -> None:
        super().__init__()
        self.add_module("self", attention)
        self.output = Residual(config, config.hidden_size)


class EncoderLayer(nn.Module):
    """A post-LN layer: attention, then feed-forward, each followed by dropout, residual and LayerNorm."""

    def __init__(self, config: Config, attention: nn.Module) -> None:
        super().__init__()
        self.attention = AttentionBlock(config, attention)
        self.intermediate = Intermediate(config)
        self.output = Residual(config, config.intermediate_size)

    def forward(
        self, hidden_states: Tensor, attend: Callable[[nn.Module, Tensor], Attended]
    ) -> tuple[Tensor, Attended]:
        """The layer's output and its attention; `attend` calls the self-attention on the hidden states."""
        attended = attend(self.attention.get_submodule("self"), hidden_states)
        middle = self.attention.output(attended.context, hidden_states)
        return self.output(self.intermediate(middle), middle), attended


class Encoder(nn.Module):
    """A stack of layers: `layer` in the state dict. `attention(i)` makes the self-attention of layer i."""

    def __init__(self, config: Config, attention: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(EncoderLayer(config, attention(i)) for i in range(config.num_hidden_layers))

    def forward(
        self, hidden_states: Tensor, attend: Callable[[nn.Module, Tensor, int], Attended]
    ) -> tuple[list[Tensor], list[Attended]]:
        """L + 1 hidden states, L attentions; `attend(module, hidden_states, i)` is the attention of layer i."""
        states, attended = [hidden_states], []
        for i, layer in enumerate(self.layer):
            output, own = layer(states[-1], lambda module, x, i=i: attend(module, x, i))
            states.append(output)
            attended.append(own)
        return states, attended


class Pooler(nn.Module):
    """tanh(dense(x_0)): of the first token only. (b, n, D) -> (b, D)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        result: Tensor = self.dense(hidden_states[:, 0]).tanh()
        return result


def initialize(module: nn.Module, std: float) -> None:
    """Fresh weights: normal matrices and tables, zero biases and padding rows, identity LayerNorms."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=std)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            part.reset_parameters()
            nn.init.normal_(part.weight, std=std)
            if part.padding_idx is not None:
                nn.init.zeros_(part.weight[part.padding_idx])
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()

"""The common part of LED's encoder and decoder: the embeddings, and layers that are dropped in training.

Shapes: b batch, n tokens, D hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from trueband.optimized.layers.activations import activation
from trueband.optimized.layers.base import Stack
from trueband.optimized.layers.inputs import check_embeddings, check_ids, check_one_input, device_of
from trueband.reference.config import LEDConfig


class LEDStack(Stack):
    """`embed_tokens` are given when they are shared."""

    argument_prefix = ""  # of the arguments that errors name

    def __init__(self, config: LEDConfig, embed_tokens: nn.Embedding | None, positions: int, layerdrop: float) -> None:
        super().__init__()
        activation("activation_function", config.activation_function)
        self.config, self.positions, self.layerdrop = config, positions, layerdrop
        if embed_tokens is None:
            embed_tokens = nn.Embedding(config.vocab_size, config.d_model, config.pad_token_id)
        self.embed_tokens = embed_tokens
        self.embed_positions = nn.Embedding(positions, config.d_model)
        self.layernorm_embedding = nn.LayerNorm(config.d_model)

    def embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None, past: int = 0) -> Tensor:
        """dropout(LayerNorm(word + position)): (b, n) or (b, n, D) -> (b, n, D).

        Positions are past, past + 1, ... whatever is padding: padding on the left changes results, by design.
        """
        names = [f"{self.argument_prefix}{name}" for name in ("input_ids", "inputs_embeds")]
        check_one_input(names[0], input_ids, names[1], inputs_embeds)
        weight = self.embed_tokens.weight
        if input_ids is not None:
            input_ids = check_ids(names[0], input_ids, None, self.config.vocab_size, weight.device)
        else:
            check_embeddings(names[1], inputs_embeds, weight)
        source = input_ids if input_ids is not None else inputs_embeds
        assert source is not None
        tokens, name = source.shape[1], names[0] if inputs_embeds is None else names[1]
        if past + tokens > self.positions:
            raise ValueError(f"{name}: expected at most {self.positions} tokens, got {past + tokens}")
        words = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        embedded = words + self.embed_positions(torch.arange(past, past + tokens, device=device_of(weight, source)))
        return dropout(self.layernorm_embedding(embedded), self.config.dropout, self.training)

    def drops_layer(self) -> bool:
        """Return whether a layer is skipped: in training, with probability `layerdrop`. Call it once for each layer."""
        return self.training and self.layerdrop > 0 and bool(torch.rand(()) < self.layerdrop)

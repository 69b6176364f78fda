"""Sliding-window self-attention with global tokens, as in Longformer and the encoder of LED (arXiv 2004.05150).

Shapes: b batch, h heads, n tokens, d head dim, D = h * d hidden size, x most globals in a row of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trueband.optimized.attention.api import dropout_seed, find_implementation
from trueband.optimized.attention.operators.probabilities import global_probabilities, local_probabilities
from trueband.optimized.attention.operators.projected_op import projected_op
from trueband.optimized.layers.blocks import Attended
from trueband.optimized.layers.full_attention import SelfAttention
from trueband.reference.config import LEDConfig, LongformerConfig


class BandSelfAttention(SelfAttention):
    """Global tokens have projections of their own, which are applied for them only."""

    def __init__(self, config: LongformerConfig | LEDConfig, layer: int) -> None:
        size, heads = config.hidden_size, config.num_attention_heads
        super().__init__(size, heads, size // heads, config.attention_probs_dropout_prob)
        self.query_global, self.key_global, self.value_global = (nn.Linear(size, size) for _ in range(3))
        self.window = config.window(layer)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        global_attention_mask: Tensor | None,
        head_mask: Tensor | None,
        output_attentions: bool,
    ) -> Attended:
        """(b, n, D) -> context (b, n, D) and, when asked for, attentions (b, h, n, x + 2 * window + 1) and
        global_attentions (b, h, n, x), None when no token is global. Masks are bool.
        """
        query, value = (self.split(part(hidden_states)) for part in (self.query, self.value))
        key = self.keys(hidden_states)
        dropout_p = self.current_dropout()
        masks = (head_mask, attention_mask, global_attention_mask)
        seed = dropout_seed(dropout_p)
        dilations = [1] * self.heads
        attend = find_implementation("auto", query, dropout_p)
        local = attend(
            query,
            key,
            value,
            None,
            None,
            None,
            *masks,
            seed,
            self.window,
            dilations,
            False,
            self.scale,
            dropout_p,
            False,
        )
        context = local.transpose(1, 2).flatten(2)
        attentions, global_attentions = None, None
        if output_attentions:
            attentions = local_probabilities(query, key, *masks, seed, self.window, self.scale, dropout_p)
        if global_attention_mask is not None:
            # Under autocast the projections above are of a lower precision: these follow them.
            states, projections = hidden_states.to(query.dtype), self.global_projections(query)
            seed = dropout_seed(dropout_p)
            options = (*masks, seed, self.heads, self.scale, dropout_p)
            context = context + projected_op(states, *projections, *options)
            if output_attentions:
                global_attentions = global_probabilities(states, projections, *options)
        return Attended(context, attentions, global_attentions)

    def keys(self, hidden_states: Tensor) -> Tensor:
        """Keys (b, h, n, d), stored channel by channel as the operator reads them, which saves it a copy.

        What somebody has put in place of the projection, such as an adapter of low rank, is called as it is.
        """
        if type(self.key) is not nn.Linear:
            return self.split(self.key(hidden_states))
        weight, bias = self.key.weight.expand(hidden_states.shape[0], -1, -1), self.key.bias.unsqueeze(-1)
        projected = torch.baddbmm(bias, weight, hidden_states.mT)  # (b, D, n)
        return projected.unflatten(1, (self.heads, -1)).transpose(-1, -2)

    def global_projections(self, like: Tensor) -> list[Tensor]:
        """Weights and biases of query, key and value of the global rows, in the dtype of `like`."""
        parts = (self.query_global, self.key_global, self.value_global)
        return [tensor.to(like.dtype) for part in parts for tensor in (part.weight, part.bias)]

"""Sliding-window self-attention with global tokens, as in Longformer and the encoder of LED (arXiv 2004.05150).

Shapes: b batch, h heads, n tokens, d head dim, D = h * d hidden size, x most globals in a row of the batch.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from trueband.optimized.attention.api import dropout_seed, find_implementation
from trueband.optimized.attention.operators.probabilities import (
    full_probabilities,
    global_probabilities,
    local_probabilities,
)
from trueband.optimized.attention.operators.projected_op import projected_op
from trueband.optimized.layers.attended_values import along, carried, global_context, global_places, local_context
from trueband.optimized.layers.blocks import Attended
from trueband.optimized.layers.full_attention import SelfAttention
from trueband.optimized.layers.plain import is_plain
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
        rest = (*masks, seed, self.window, dilations, False, self.scale, dropout_p)
        by_call = global_attention_mask is not None and not self.projects_plainly()
        if by_call and not output_attentions:
            own = self.called_projections(hidden_states, query)
            return Attended(attend(query, key, value, *own, *rest, True).transpose(1, 2).flatten(2))
        local = attend(query, key, value, None, None, None, *rest, False)
        places, attentions, global_attentions = None, None, None
        if output_attentions:
            places = None if global_attention_mask is None else global_places(attention_mask, global_attention_mask)
            attentions = local_probabilities(query, key, *masks, seed, self.window, self.scale, dropout_p)
            local = carried(local, partial(local_context, attentions, value, attention_mask, places))
        context = local.transpose(1, 2).flatten(2)
        if global_attention_mask is None:
            return Attended(context, attentions)
        seed = dropout_seed(dropout_p)
        if by_call:
            assert places is not None
            added, global_attentions = self.called_rows(
                hidden_states, query, places, head_mask, attention_mask, global_attention_mask, seed
            )
            return Attended(context + added.transpose(1, 2).flatten(2), attentions, global_attentions)
        # Under autocast the projections above are of a lower precision: these follow them.
        states, projections = hidden_states.to(query.dtype), self.global_projections(query)
        options = (*masks, seed, self.heads, self.scale, dropout_p)
        added = projected_op(states, *projections, *options)
        if output_attentions:
            global_attentions = global_probabilities(states, projections, *options)
        if global_attentions is not None:
            assert places is not None
            table, own_value = global_attentions, self.split(self.value_global(hidden_states)).to(query.dtype)
            added = carried(
                added,
                lambda: global_context(table, own_value, attention_mask, places).transpose(1, 2).flatten(2),
            )
        return Attended(context + added, attentions, global_attentions)

    def called_rows(
        self,
        hidden_states: Tensor,
        like: Tensor,
        places: Tensor,
        head_mask: Tensor | None,
        attention_mask: Tensor | None,
        global_attention_mask: Tensor,
        seed: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Rows of global tokens (b, h, n, d), 0 elsewhere, and their attentions (b, h, n, x), by the modules' calls."""
        query, key, value = self.called_projections(hidden_states, like)
        if not places.shape[1]:
            return torch.zeros_like(query), None
        flags = global_attention_mask if attention_mask is None else global_attention_mask & attention_mask
        there = flags.gather(1, places)[:, None, :, None]
        options = (head_mask, attention_mask, seed, self.scale, self.current_dropout(), False)
        table = (full_probabilities(query.gather(2, along(places, query)), key, *options) * there).mT
        return global_context(table, value, attention_mask, places), table

    def keys(self, hidden_states: Tensor) -> Tensor:
        """Keys (b, h, n, d), stored channel by channel as the operator reads them, which saves it a copy.

        What somebody has put in place of the projection, such as an adapter of low rank, is called as it is.
        """
        if not is_plain(self.key):
            return self.split(self.key(hidden_states))
        weight, bias = self.key.weight.expand(hidden_states.shape[0], -1, -1), self.key.bias.unsqueeze(-1)
        projected = torch.baddbmm(bias, weight, hidden_states.mT)  # (b, D, n)
        return projected.unflatten(1, (self.heads, -1)).transpose(-1, -2)

    def projects_plainly(self) -> bool:
        """Whether the weights of the global projections may be read: see `is_plain`."""
        return all(is_plain(part) for part in (self.query_global, self.key_global, self.value_global))

    def called_projections(self, hidden_states: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of the global projections for all tokens, (b, h, n, d), in the dtype of `like`."""
        parts = (self.query_global, self.key_global, self.value_global)
        query, key, value = (self.split(part(hidden_states)).to(like.dtype) for part in parts)
        return query, key, value

    def global_projections(self, like: Tensor) -> list[Tensor]:
        """Weights and biases of query, key and value of the global rows, in the dtype of `like`."""
        parts = (self.query_global, self.key_global, self.value_global)
        return [tensor.to(like.dtype) for part in parts for tensor in (part.weight, part.bias)]

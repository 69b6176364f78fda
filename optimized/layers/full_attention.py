"""Full attention, as in RoBERTa and XLM-RoBERTa: of a sequence to itself, and of a decoder to an encoder.

Shapes: b batch, h heads, t queries, n keys, d head dim, D hidden size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trueband.optimized.attention.api import dropout_seed
from trueband.optimized.attention.operators.full_op import full_op
from trueband.optimized.attention.operators.probabilities import full_probabilities, relative_probabilities
from trueband.optimized.attention.operators.relative_op import relative_op
from trueband.optimized.layers.attended_values import carried, full_context
from trueband.optimized.layers.blocks import Attended
from trueband.optimized.layers.cache import grown
from trueband.optimized.layers.plain import untouched
from trueband.reference.config import XLMRobertaConfig

Past = tuple[Tensor | None, Tensor | None] | None  # key and value of the tokens read before


def full_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    head_mask: Tensor | None,
    dropout_p: float,
    causal: bool,
    output_attentions: bool,
) -> Attended:
    """(b, h, t, d) on (b, h, n, d) -> context (b, t, h * d), attentions (b, h, t, n) when asked for, key and value."""
    seed = dropout_seed(dropout_p)
    options = (head_mask, attention_mask, seed, 1 / math.sqrt(query.shape[-1]), dropout_p, causal)
    context = full_op(query, key, value, *options)
    attentions = full_probabilities(query, key, *options) if output_attentions else None
    return attended(context, attentions, key, value, attention_mask)


def attended(
    context: Tensor, attentions: Tensor | None, key: Tensor, value: Tensor, attention_mask: Tensor | None
) -> Attended:
    """The result of an operator (b, h, t, d), with the history of the attentions where these are returned."""
    if attentions is not None:
        given = attentions
        context = carried(context, lambda: full_context(given, value, attention_mask))
    return Attended(context.transpose(1, 2).flatten(2), attentions, None, key, value)


class SelfAttention(nn.Module):
    """The projections of every self-attention. `heads` of size `head_dim` each, D = `size`."""

    def __init__(self, size: int, heads: int, head_dim: int, dropout_p: float) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.scale = 1 / math.sqrt(head_dim)
        self.dropout_p = dropout_p
        self.query, self.key, self.value = (nn.Linear(size, heads * head_dim) for _ in range(3))

    def split(self, projected: Tensor) -> Tensor:
        """(b, n, h * d) -> (b, h, n, d)."""
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def project(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, n, D) -> query, key, value (b, h, n, d)."""
        query, key, value = (self.split(part(hidden_states)) for part in (self.query, self.key, self.value))
        return query, key, value

    def current_dropout(self) -> float:
        return self.dropout_p if self.training else 0.0


class FullSelfAttention(SelfAttention):
    """Every token, padding included, attends every real token, in a decoder up to itself; those that see none get 0."""

    def __init__(self, config: XLMRobertaConfig, layer: int) -> None:
        heads = len(config.kept_heads(layer))
        super().__init__(config.hidden_size, heads, config.head_dim, config.attention_probs_dropout_prob)
        self.causal = config.is_decoder
        self.of_keys = config.position_embedding_type == "relative_key_query"
        if not config.absolute_positions:
            self.distance_embedding = nn.Embedding(2 * config.max_position_embeddings - 1, config.head_dim)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        head_mask: Tensor | None,
        output_attentions: bool,
        past: Past = None,
    ) -> Attended:
        """(b, t, D) -> context (b, t, h * d) and, when asked for, attentions (b, h, t, n), n with those of the past."""
        query, key, value = self.project(hidden_states)
        if past is not None and past[0] is not None and past[1] is not None:
            key, value = grown(past[0], key), grown(past[1], value)
        dropout_p = self.current_dropout()
        if not hasattr(self, "distance_embedding"):
            options = (attention_mask, head_mask, dropout_p, self.causal, output_attentions)
            return full_attention(query, key, value, *options)
        distances = self.distances(query.device).to(query.dtype)
        rest = (head_mask, attention_mask, dropout_seed(dropout_p), self.scale, dropout_p, self.causal, self.of_keys)
        context = relative_op(query, key, value, distances, *rest)
        attentions = relative_probabilities(query, key, distances, *rest) if output_attentions else None
        return attended(context, attentions, key, value, attention_mask)

    def distances(self, device: torch.device) -> Tensor:
        """The table of distances; asked of the module where somebody is called along with it."""
        table = self.distance_embedding
        if type(table) is nn.Embedding and untouched(table) and "weight" in table._parameters:
            return table.weight
        every: Tensor = table(torch.arange(table.num_embeddings, device=device))
        return every


class CrossAttention(SelfAttention):
    """The attention of the decoder's tokens to the real tokens of an encoder. Positions do not enter."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        heads = config.num_attention_heads
        super().__init__(config.hidden_size, heads, config.head_dim, config.attention_probs_dropout_prob)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None,
        head_mask: Tensor | None,
        output_attentions: bool,
        past: Past = None,
    ) -> Attended:
        """(b, t, D) on (b, n, D) -> context (b, t, D). `past`: key and value of the encoder, projected before."""
        key, value = (None, None) if past is None else past
        if key is None or value is None:
            key, value = (self.split(part(encoder_hidden_states)) for part in (self.key, self.value))
        query = self.split(self.query(hidden_states))
        dropout_p = self.current_dropout()
        return full_attention(query, key, value, attention_mask, head_mask, dropout_p, False, output_attentions)

"""Full self-attention, as in RoBERTa and XLM-RoBERTa. b batch, h heads, n tokens, d head dim, D = h * d hidden size."""

from __future__ import annotations

import math

from torch import Tensor, nn

from trueband.optimized.attention.api import dropout_seed
from trueband.optimized.attention.full_op import full_op
from trueband.optimized.attention.probabilities import full_probabilities
from trueband.optimized.models.inputs import Config
from trueband.optimized.models.layers import Attended


class SelfAttention(nn.Module):
    """The projections of every self-attention."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.scale = 1 / math.sqrt(config.head_dim)
        self.dropout_p = config.attention_probs_dropout_prob
        self.query, self.key, self.value = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, size)

    def project(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, n, D) -> query, key, value (b, h, n, d)."""
        query, key, value = (
            part(hidden_states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        return query, key, value

    def current_dropout(self) -> float:
        return self.dropout_p if self.training else 0.0


class FullSelfAttention(SelfAttention):
    """Every token, padding included, attends every real token; a sequence without a real token gets 0."""

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None, head_mask: Tensor | None, output_attentions: bool
    ) -> Attended:
        """(b, n, D) -> context (b, n, D) and, when asked for, attentions (b, h, n, n)."""
        query, key, value = self.project(hidden_states)
        dropout_p = self.current_dropout()
        seed = dropout_seed(dropout_p)
        output = full_op(query, key, value, head_mask, attention_mask, seed, self.scale, dropout_p)
        context = output.transpose(1, 2).flatten(2)
        if not output_attentions:
            return Attended(context)
        return Attended(context, full_probabilities(query, key, head_mask, attention_mask, seed, self.scale, dropout_p))

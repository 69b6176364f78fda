"""Attention of RoBERTa and XLM-RoBERTa: self-attention, causal in a decoder, and cross-attention to an encoder.

Every query, that of a pad included, attends the real keys (of a decoder: those up to itself); a query that sees no
real key gets 0. Shapes: b batch, h heads, n tokens, d head dim, D hidden size.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import check_hidden_states, check_mask
from trueband.reference.full_attention import SelfAttention, full_attention, relative_scores, visible_keys
from trueband.reference.layers import State, linear, split_heads, weight


def roberta_self_attention(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: NDArray[Any],
    attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> SelfAttention:
    """Self-attention of the layer `name` (e.g. "encoder.layer.0"). hidden_states (b, n, D).

    head_mask: (heads that the layer has left after pruning,).
    """
    x = check_hidden_states("hidden_states", hidden_states, config.hidden_size)
    real = check_mask("attention_mask", attention_mask, x.shape[:2], default=True)
    part = f"{name}.attention.self"
    heads = len(weight(state, f"{part}.query.bias")) // config.head_dim
    query, key, value = (split_heads(linear(state, f"{part}.{each}", x), heads) for each in ("query", "key", "value"))
    relative: Float | float = 0.0
    if not config.absolute_positions:
        distances = weight(state, f"{part}.distance_embedding.weight")
        relative = relative_scores(query, key, distances, config.position_embedding_type)
    return full_attention(query, key, value, visible_keys(real, x.shape[1], config.is_decoder), head_mask, relative)


def roberta_cross_attention(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: Float,
    encoder_hidden_states: NDArray[Any],
    encoder_attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> SelfAttention:
    """Queries of the decoder's layer `name`, (b, n, D), over the real tokens of the encoder, (b, m, D).

    Positions never enter; the head mask is that of the layer's self-attention, with all heads.
    """
    encoded = check_hidden_states("encoder_hidden_states", encoder_hidden_states, config.hidden_size)
    if len(encoded) != len(hidden_states):
        raise ValueError(f"encoder_hidden_states: expected a batch of {len(hidden_states)}, got {len(encoded)}")
    real = check_mask("encoder_attention_mask", encoder_attention_mask, encoded.shape[:2], default=True)
    part, heads = f"{name}.crossattention.self", config.num_attention_heads
    query = split_heads(linear(state, f"{part}.query", hidden_states), heads)
    key, value = (split_heads(linear(state, f"{part}.{each}", encoded), heads) for each in ("key", "value"))
    return full_attention(query, key, value, visible_keys(real, hidden_states.shape[1], causal=False), head_mask)

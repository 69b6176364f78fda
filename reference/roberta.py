"""RoBERTa and XLM-RoBERTa encoders in float64 (arXiv 1907.11692, 1911.02116): full attention, post-LN layers.

Every query, that of a pad included, attends the real keys; a sequence without a real key gets 0 from its attention.
Shapes: b batch, h heads, n tokens, d head dim, D hidden size, L layers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.attention import attend
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import (
    Ids,
    check_activation,
    check_head_mask,
    check_hidden_states,
    check_mask,
    embed,
)
from trueband.reference.layers import State, after_attention, linear, lm_head, merge_heads, split_heads


class MaskedLM(NamedTuple):
    """Attributes:
    hidden_states: L + 1 arrays (b, n, D): after the embeddings, then after each layer.
    logits: (b, n, vocabulary).
    """

    hidden_states: tuple[Float, ...]
    logits: Float


class SelfAttention(NamedTuple):
    """Attributes:
    context: (b, n, D), before the output projection.
    probabilities: (b, h, n, n), after the head mask.
    """

    context: Float
    probabilities: Float


def roberta_self_attention(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: NDArray[Any],
    attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> SelfAttention:
    """Full attention of the layer `name` (e.g. "encoder.layer.0"). hidden_states (b, n, D), head_mask (h,)."""
    x = check_hidden_states("hidden_states", hidden_states, config.hidden_size)
    real = check_mask("attention_mask", attention_mask, x.shape[:2], default=True)
    batch, tokens = real.shape
    heads = config.num_attention_heads
    query, key, value = (
        split_heads(linear(state, f"{name}.attention.self.{part}", x), heads) for part in ("query", "key", "value")
    )
    visible = np.broadcast_to(real[:, None, None, :], (batch, heads, tokens, tokens))
    rows = attend(query, key, value, visible, 1 / math.sqrt(config.head_dim), head_mask)
    weights = 1.0 if head_mask is None else head_mask[:, None, None]
    return SelfAttention(merge_heads(rows.output), rows.probabilities * weights)


def roberta_layer(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: NDArray[Any],
    attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> Float:
    """One encoder layer, so that a test can feed it another implementation's own layer input.

    Args:
        state: weights under the Hub's names.
        name: of the layer, e.g. "roberta.encoder.layer.0".
        hidden_states: (b, n, D), any floating dtype.
        attention_mask: (b, n), 1 for real tokens; None: all real.
        head_mask: (h,); None: ones.

    Returns:
        (b, n, D) float64.
    """
    check_activation(config)
    context = roberta_self_attention(state, name, config, hidden_states, attention_mask, head_mask).context
    return after_attention(state, name, hidden_states.astype(np.float64), context, config.layer_norm_eps)


def roberta_encoder(
    state: State,
    config: XLMRobertaConfig,
    input_ids: Ids | None = None,
    *,
    attention_mask: NDArray[Any] | None = None,
    token_type_ids: Ids | None = None,
    position_ids: Ids | None = None,
    inputs_embeds: NDArray[Any] | None = None,
    head_mask: Float | None = None,
    prefix: str = "",
) -> tuple[Float, ...]:
    """Hidden states after the embeddings and after each layer: L + 1 arrays (b, n, D). head_mask (L, h).

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".
    """
    check_activation(config)
    head_masks = check_head_mask(head_mask, config)
    x = embed(
        state, config, input_ids, inputs_embeds=inputs_embeds, token_type_ids=token_type_ids,
        position_ids=position_ids, prefix=prefix,
    )  # fmt: skip
    hidden_states = [x]
    for i in range(config.num_hidden_layers):
        x = roberta_layer(state, f"{prefix}encoder.layer.{i}", config, x, attention_mask, head_masks[i])
        hidden_states.append(x)
    return tuple(hidden_states)


def roberta_masked_lm(state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, **options: Any) -> MaskedLM:
    """The encoder and its language-model head; keys of the encoder under "roberta.". Options: of `roberta_encoder`."""
    hidden_states = roberta_encoder(state, config, input_ids, prefix="roberta.", **options)
    return MaskedLM(hidden_states, lm_head(state, hidden_states[-1], config.layer_norm_eps, prefix="roberta."))

"""Second moments of a whole encoder layer and of the language-model head, put together from `variance`.

An array as the layer's input is taken as exact: feed it what the tested implementation itself passed to that layer.
`Moments` carry the error of all earlier layers along.
Shapes: b batch, h heads, n tokens, D hidden size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.layers import layer_norm_bound, residual_bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import (
    Moments,
    attention_moments,
    gelu_moments,
    known,
    layer_norm_moments,
    linear_moments,
    sum_moments,
)
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import check_mask
from trueband.reference.layers import State, merge_heads, split_heads, weight
from trueband.reference.masks import global_tokens, visible_to_global_rows, visible_to_local_rows

Mask = NDArray[Any] | None


def roberta_layer_moments(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: Float | Moments,
    attention_mask: Mask,
    precision: Precision,
) -> Moments:
    """Of one RoBERTa layer's output, (b, n, D). `name`: e.g. "roberta.encoder.layer.0"."""
    x = _given(hidden_states)
    batch, tokens, _ = x.value.shape
    real = check_mask("attention_mask", attention_mask, (batch, tokens), default=True)
    visible = np.broadcast_to(real[:, None, None, :], (batch, config.num_attention_heads, tokens, tokens))
    query, key, value = (_heads(state, name, part, x, config, precision) for part in ("query", "key", "value"))
    context = attention_moments(query, key, value, visible, 1 / math.sqrt(config.head_dim), precision)
    return _after_attention(state, name, config, x, context, precision)


def longformer_layer_moments(
    state: State,
    name: str,
    config: LongformerConfig,
    hidden_states: Float | Moments,
    window: int,
    attention_mask: Mask,
    global_attention_mask: Mask,
    precision: Precision,
) -> Moments:
    """Of one Longformer layer's output, (b, n, D), with its one-sided window."""
    x = _given(hidden_states)
    shape, heads, scale = x.value.shape[:2], config.num_attention_heads, 1 / math.sqrt(config.head_dim)
    real = check_mask("attention_mask", attention_mask, shape, default=True)
    flagged = check_mask("global_attention_mask", global_attention_mask, shape, default=False)
    is_global = global_tokens(flagged, real)
    context = known(np.zeros((1,)))
    for suffix, visible in (
        ("", visible_to_local_rows(real, is_global, window, (1,) * heads, causal=False)),
        ("_global", visible_to_global_rows(real, is_global, heads)),
    ):
        parts = [f"{part}{suffix}" for part in ("query", "key", "value")]
        query, key, value = (_heads(state, name, part, x, config, precision) for part in parts)
        rows = attention_moments(query, key, value, visible, scale, precision)  # 0 and exact in all other rows
        context = Moments(context.value + rows.value, context.variance + rows.variance)
    return _after_attention(state, name, config, x, context, precision)


def lm_head_moments(
    state: State,
    prefix: str,
    config: XLMRobertaConfig | LongformerConfig,
    hidden_states: Float | Moments,
    precision: Precision,
) -> Moments:
    """Of the logits, (b, n, vocabulary), from the encoder's own last hidden states. `prefix`: "roberta." for one."""
    dense = _linear(state, "lm_head.dense", _given(hidden_states), precision)
    features = _layer_norm(state, "lm_head.layer_norm", gelu_moments(dense, precision), config, precision)
    words = weight(state, f"{prefix}embeddings.word_embeddings.weight")
    return linear_moments(features, words, weight(state, "lm_head.bias"), precision)


def embedding_bound(
    state: State,
    prefix: str,
    config: XLMRobertaConfig | LongformerConfig,
    input_ids: NDArray[Any],
    position_ids: NDArray[Any],
    precision: Precision,
) -> Bound:
    """Hard bound on LayerNorm(word + type 0 + position), summed in any order, (b, n, D)."""
    name = f"{prefix}embeddings"
    words = weight(state, f"{name}.word_embeddings.weight")[input_ids]
    positions = weight(state, f"{name}.position_embeddings.weight")[position_ids]
    types = np.broadcast_to(weight(state, f"{name}.token_type_embeddings.weight")[0], words.shape)
    size = np.abs(words) + np.abs(positions) + np.abs(types)  # no partial sum exceeds it, whatever the order
    one_sum = residual_bound(size, np.zeros_like(size), precision).total
    gain, shift = weight(state, f"{name}.LayerNorm.weight"), weight(state, f"{name}.LayerNorm.bias")
    return layer_norm_bound(words + positions + types, gain, shift, config.layer_norm_eps, precision, 2 * one_sum)


def _given(hidden_states: Float | Moments) -> Moments:
    return hidden_states if isinstance(hidden_states, Moments) else known(hidden_states.astype(np.float64))


def _heads(
    state: State, name: str, part: str, x: Moments, config: XLMRobertaConfig | LongformerConfig, precision: Precision
) -> Moments:
    projected = _linear(state, f"{name}.attention.self.{part}", x, precision)
    heads = config.num_attention_heads
    return Moments(split_heads(projected.value, heads), split_heads(projected.variance, heads))


def _after_attention(
    state: State,
    name: str,
    config: XLMRobertaConfig | LongformerConfig,
    x: Moments,
    context: Moments,
    precision: Precision,
) -> Moments:
    merged = Moments(merge_heads(context.value), merge_heads(context.variance))
    projected = _linear(state, f"{name}.attention.output.dense", merged, precision)
    summed = sum_moments(x, projected, precision)
    attended = _layer_norm(state, f"{name}.attention.output.LayerNorm", summed, config, precision)
    inner = gelu_moments(_linear(state, f"{name}.intermediate.dense", attended, precision), precision)
    outer = _linear(state, f"{name}.output.dense", inner, precision)
    return _layer_norm(state, f"{name}.output.LayerNorm", sum_moments(attended, outer, precision), config, precision)


def _linear(state: State, name: str, x: Moments, precision: Precision) -> Moments:
    return linear_moments(x, weight(state, f"{name}.weight"), weight(state, f"{name}.bias"), precision)


def _layer_norm(
    state: State, name: str, x: Moments, config: XLMRobertaConfig | LongformerConfig, precision: Precision
) -> Moments:
    gain, shift = weight(state, f"{name}.weight"), weight(state, f"{name}.bias")
    return layer_norm_moments(x, gain, shift, config.layer_norm_eps, precision)

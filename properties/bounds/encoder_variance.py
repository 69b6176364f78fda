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
from trueband.properties.bounds.relative_variance import relative_score_moments
from trueband.properties.bounds.variance import (
    Moments,
    attention_moments,
    gelu_moments,
    given,
    known,
    layer_norm_moments,
    linear_moments,
    sum_moments,
)
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import check_mask
from trueband.reference.full_attention import visible_keys
from trueband.reference.layers import State, merge_heads, split_heads, weight
from trueband.reference.masks import Bool, global_tokens, visible_to_global_rows, visible_to_local_rows

Mask = NDArray[Any] | None


def roberta_layer_moments(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: Float | Moments,
    attention_mask: Mask,
    precision: Precision,
    encoder_hidden_states: Float | None = None,
    encoder_attention_mask: Mask = None,
) -> Moments:
    """Of one RoBERTa layer's output, (b, n, D). `name`: e.g. "roberta.encoder.layer.0".

    The encoder's states (b, m, D), of a decoder with cross-attention, are taken as exact.
    """
    x = given(hidden_states)
    part, size = f"{name}.attention.self", config.head_dim
    real = check_mask("attention_mask", attention_mask, x.value.shape[:2], default=True)
    query, key, value = (_heads(state, f"{part}.{each}", x, size, precision) for each in ("query", "key", "value"))
    scores = None
    if not config.absolute_positions:
        distances = weight(state, f"{part}.distance_embedding.weight")
        of_keys = config.position_embedding_type == "relative_key_query"
        scores = relative_score_moments(query, key, distances, of_keys, precision)
    visible = _visible(real, query, config.is_decoder)
    context = attention_moments(query, key, value, visible, 1 / math.sqrt(size), precision, scores)
    attended = _attended(state, f"{name}.attention", config, x, context, precision)
    if encoder_hidden_states is not None:
        part, encoded = f"{name}.crossattention.self", known(encoder_hidden_states)
        real = check_mask("encoder_attention_mask", encoder_attention_mask, encoded.value.shape[:2], default=True)
        query = _heads(state, f"{part}.query", attended, size, precision)
        key, value = (_heads(state, f"{part}.{each}", encoded, size, precision) for each in ("key", "value"))
        visible = _visible(real, query, causal=False)
        context = attention_moments(query, key, value, visible, 1 / math.sqrt(size), precision)
        attended = _attended(state, f"{name}.crossattention", config, attended, context, precision)
    return _fed_forward(state, name, config, attended, precision)


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
    x = given(hidden_states)
    shape, heads, scale = x.value.shape[:2], config.num_attention_heads, 1 / math.sqrt(config.head_dim)
    real = check_mask("attention_mask", attention_mask, shape, default=True)
    flagged = check_mask("global_attention_mask", global_attention_mask, shape, default=False)
    is_global = global_tokens(flagged, real)
    context = known(np.zeros((1,)))
    for suffix, visible in (
        ("", visible_to_local_rows(real, is_global, window, (1,) * heads, causal=False)),
        ("_global", visible_to_global_rows(real, is_global, heads)),
    ):
        parts = [f"{name}.attention.self.{part}{suffix}" for part in ("query", "key", "value")]
        query, key, value = (_heads(state, part, x, config.head_dim, precision) for part in parts)
        rows = attention_moments(query, key, value, visible, scale, precision)  # 0 and exact in all other rows
        context = Moments(context.value + rows.value, context.variance + rows.variance)
    attended = _attended(state, f"{name}.attention", config, x, context, precision)
    return _fed_forward(state, name, config, attended, precision)


def lm_head_moments(
    state: State,
    prefix: str,
    config: XLMRobertaConfig | LongformerConfig,
    hidden_states: Float | Moments,
    precision: Precision,
) -> Moments:
    """Of the logits, (b, n, vocabulary), from the encoder's own last hidden states. `prefix`: "roberta." for one."""
    dense = _linear(state, "lm_head.dense", given(hidden_states), precision)
    features = _layer_norm(state, "lm_head.layer_norm", gelu_moments(dense, precision), config, precision)
    words = weight(state, f"{prefix}embeddings.word_embeddings.weight")
    return linear_moments(features, words, weight(state, "lm_head.bias"), precision)


def embedding_bound(
    state: State,
    prefix: str,
    config: XLMRobertaConfig | LongformerConfig,
    input_ids: NDArray[Any],
    position_ids: NDArray[Any] | None,
    precision: Precision,
    token_type_ids: NDArray[Any] | None = None,
) -> Bound:
    """Hard bound on LayerNorm(word + type + position), summed in any order, (b, n, D).

    Args:
        input_ids: (b, n), or embeddings (b, n, D) in their place.
        position_ids: (b, n); None where positions are relative, and none is added.
        token_type_ids: (b, n); None: 0.
    """
    name = f"{prefix}embeddings"
    words = input_ids if input_ids.ndim == 3 else weight(state, f"{name}.word_embeddings.weight")[input_ids]
    types = np.zeros(words.shape[:2], dtype=np.int64) if token_type_ids is None else token_type_ids
    parts = [words, weight(state, f"{name}.token_type_embeddings.weight")[types]]
    if position_ids is not None:
        parts.append(weight(state, f"{name}.position_embeddings.weight")[position_ids])
    size = np.sum([np.abs(part) for part in parts], axis=0)  # no partial sum exceeds it, whatever the order
    one_sum = residual_bound(size, np.zeros_like(size), precision).total
    gain, shift = weight(state, f"{name}.LayerNorm.weight"), weight(state, f"{name}.LayerNorm.bias")
    return layer_norm_bound(np.sum(parts, axis=0), gain, shift, config.layer_norm_eps, precision, 2 * one_sum)


def _heads(state: State, name: str, x: Moments, size: int, precision: Precision) -> Moments:
    """As many heads (b, h, n, d) as the projection `name` has left."""
    projected = _linear(state, name, x, precision)
    heads = projected.value.shape[-1] // size
    return Moments(split_heads(projected.value, heads), split_heads(projected.variance, heads))


def _visible(real: Bool, query: Moments, causal: bool) -> Bool:
    """(b, h, m, n) of query (b, h, m, d) and real keys (b, n)."""
    _, heads, rows, _ = query.value.shape
    return np.repeat(visible_keys(real, rows, causal)[:, None], heads, axis=1)


def _attended(
    state: State,
    name: str,
    config: XLMRobertaConfig | LongformerConfig,
    x: Moments,
    context: Moments,
    precision: Precision,
) -> Moments:
    """LayerNorm(x + dense(context)), (b, n, D), of the attention `name`."""
    merged = Moments(merge_heads(context.value), merge_heads(context.variance))
    projected = _linear(state, f"{name}.output.dense", merged, precision)
    return _layer_norm(state, f"{name}.output.LayerNorm", sum_moments(x, projected, precision), config, precision)


def _fed_forward(
    state: State, name: str, config: XLMRobertaConfig | LongformerConfig, attended: Moments, precision: Precision
) -> Moments:
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

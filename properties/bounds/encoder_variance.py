"""Second moments of the layers of RoBERTa and Longformer, of their embeddings and of the language-model head.

An array as a layer's input is taken as exact: feed it what the tested implementation itself passed to that layer.
`Moments` carry the error of all earlier layers along. Shapes: b batch, h heads, n tokens, D hidden size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.layer_variance import (
    Layer,
    LayerMoments,
    Visible,
    layer_norm_of,
    linear_of,
)
from trueband.properties.bounds.layers import layer_norm_bound, residual_bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import (
    Moments,
    Relative,
    gelu_moments,
    given,
    linear_moments,
    several_moments,
    tanh_moments,
)
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import check_mask
from trueband.reference.full_attention import visible_keys
from trueband.reference.layers import State, weight
from trueband.reference.masks import global_tokens, visible_to_global_rows, visible_to_local_rows
from trueband.reference.roberta import kept_heads

Mask = NDArray[Any] | None
Config = XLMRobertaConfig | LongformerConfig


def roberta_layer_moments(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: Float | Moments,
    attention_mask: Mask,
    precision: Precision,
) -> Moments:
    """Of one RoBERTa layer's output, (b, n, D). `name`: e.g. "roberta.encoder.layer.0"."""
    return run_roberta_layer(state, name, config, hidden_states, attention_mask, precision).output


def run_roberta_layer(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: Float | Moments,
    attention_mask: Mask,
    precision: Precision,
    *,
    head_mask: Float | None = None,
    encoder_hidden_states: Float | Moments | None = None,
    encoder_attention_mask: Mask = None,
) -> LayerMoments:
    """With the layer's attentions; arguments of `trueband.reference.roberta.roberta_layer`."""
    x, layer = given(hidden_states), encoder_layer(state, name, config, precision)
    real = check_mask("attention_mask", attention_mask, x.value.shape[:2], default=True)
    tokens, encoded, seen = real.shape[1], None, None
    relative = relative_positions(state, name, config, np.arange(tokens), tokens)
    if encoder_hidden_states is not None:
        encoded = given(encoder_hidden_states)
        keys = check_mask("encoder_attention_mask", encoder_attention_mask, encoded.value.shape[:2], default=True)
        seen = visible_keys(keys, tokens, causal=False)
    visible = {"": visible_keys(real, tokens, config.is_decoder)}
    kept = None if head_mask is None else head_mask[kept_heads(config, name)]
    return layer.run(x, visible, encoded, seen, head_mask=kept, cross_head_mask=head_mask, relative=relative)


def relative_positions(
    state: State, name: str, config: XLMRobertaConfig, rows: NDArray[np.integer[Any]], tokens: int
) -> Relative | None:
    """Of the self-attention of some rows over all tokens; None where positions are absolute."""
    if config.absolute_positions:
        return None
    table = weight(state, f"{name}.attention.self.distance_embedding.weight")
    apart = rows[:, None] - np.arange(tokens)[None, :]
    distances = table[apart + config.max_position_embeddings - 1]
    return Relative(distances, config.position_embedding_type == "relative_key_query")


def encoder_layer(state: State, name: str, config: Config, precision: Precision) -> Layer:
    """With the heads that pruning has left."""
    heads = len(weight(state, f"{name}.attention.self.query.bias")) // config.head_dim
    eps = config.layer_norm_eps
    return Layer(state, name, heads, precision, eps=eps, cross_heads=config.num_attention_heads)


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
    masks = (attention_mask, global_attention_mask)
    return run_longformer_layer(state, name, config, hidden_states, window, *masks, precision).output


def run_longformer_layer(
    state: State,
    name: str,
    config: LongformerConfig,
    hidden_states: Float | Moments,
    window: int,
    attention_mask: Mask,
    global_attention_mask: Mask,
    precision: Precision,
    *,
    head_mask: Float | None = None,
) -> LayerMoments:
    """With the layer's attention."""
    x, layer = given(hidden_states), encoder_layer(state, name, config, precision)
    visible = banded_rows(x, layer.heads, window, attention_mask, global_attention_mask)
    return layer.run(x, visible, head_mask=head_mask)


def banded_rows(x: Moments, heads: int, window: int, attention_mask: Mask, global_attention_mask: Mask) -> Visible:
    """What local rows see, and under "_global" what those of global tokens see: (b, h, n, n) each."""
    real = check_mask("attention_mask", attention_mask, x.value.shape[:2], default=True)
    flagged = check_mask("global_attention_mask", global_attention_mask, x.value.shape[:2], default=False)
    is_global = global_tokens(flagged, real)
    return {
        "": visible_to_local_rows(real, is_global, window, (1,) * heads, causal=False),
        "_global": visible_to_global_rows(real, is_global, heads),
    }


def lm_head_moments(
    state: State, prefix: str, config: Config, hidden_states: Float | Moments, precision: Precision
) -> Moments:
    """Of the logits, (b, n, vocabulary), from the encoder's own last hidden states. `prefix`: "roberta." for one."""
    inner = gelu_moments(linear_of(state, "lm_head.dense", given(hidden_states), precision), precision)
    features = layer_norm_of(state, "lm_head.layer_norm", inner, config.layer_norm_eps, precision)
    own = "lm_head.decoder.weight"
    words = weight(state, own if own in state else f"{prefix}embeddings.word_embeddings.weight")
    return linear_moments(features, words, weight(state, "lm_head.bias"), precision)


def squashed_moments(state: State, name: str, x: Moments, precision: Precision) -> Moments:
    """Of tanh(dense(x)), as poolers and classifiers have it; the last axis is D."""
    return tanh_moments(linear_of(state, name, x, precision), precision)


def embedding_moments(
    state: State,
    prefix: str,
    config: Config,
    input_ids: NDArray[Any],
    position_ids: NDArray[Any],
    precision: Precision,
) -> Moments:
    """Of LayerNorm(word + type 0 + position), summed in any order, (b, n, D).

    input_ids: (b, n), or embeddings (b, n, D) in their place.
    """
    summands = _summands(state, prefix, config, input_ids, position_ids)
    name = f"{prefix}embeddings.LayerNorm"
    return layer_norm_of(state, name, several_moments(summands, precision), config.layer_norm_eps, precision)


def embedding_bound(
    state: State,
    prefix: str,
    config: Config,
    input_ids: NDArray[Any],
    position_ids: NDArray[Any],
    precision: Precision,
    token_type_ids: NDArray[Any] | None = None,
) -> Bound:
    """Hard bound on the same. input_ids: (b, n), or embeddings (b, n, D) in their place. token_type_ids: None: 0."""
    summands = _summands(state, prefix, config, input_ids, position_ids, token_type_ids)
    size = np.sum(np.abs(summands), axis=0)  # no partial sum exceeds it, whatever the order
    one_sum = residual_bound(size, np.zeros_like(size), precision).total
    name = f"{prefix}embeddings.LayerNorm"
    gain, shift = weight(state, f"{name}.weight"), weight(state, f"{name}.bias")
    return layer_norm_bound(np.sum(summands, axis=0), gain, shift, config.layer_norm_eps, precision, 2 * one_sum)


def _summands(
    state: State,
    prefix: str,
    config: Config,
    input_ids: NDArray[Any],
    position_ids: NDArray[Any],
    token_type_ids: NDArray[Any] | None = None,
) -> list[Float]:
    """Words, types and, where they are absolute, positions: (b, n, D) each."""
    name = f"{prefix}embeddings"
    words = input_ids if input_ids.ndim == 3 else weight(state, f"{name}.word_embeddings.weight")[input_ids]
    types = np.zeros(words.shape[:2], dtype=np.int64) if token_type_ids is None else token_type_ids
    types = weight(state, f"{name}.token_type_embeddings.weight")[types]
    if not config.absolute_positions:
        return [words, types]
    return [words, types, weight(state, f"{name}.position_embeddings.weight")[position_ids]]

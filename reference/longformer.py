"""Longformer in float64 (arXiv 2004.05150): RoBERTa's layers with `band_attention`, one window for each layer.

Shapes: b batch, h heads, n tokens, D hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.band_self_attention import band_layers, band_self_attention
from trueband.reference.config import LongformerConfig
from trueband.reference.embeddings import Ids, check_activation, check_head_mask, embed
from trueband.reference.full_attention import SelfAttention
from trueband.reference.heads import Labels, language_model
from trueband.reference.layers import State, after_attention, pooler
from trueband.reference.outputs import HeadOutput, ModelOutput

PREFIX = "longformer."  # of the keys of the model in a model with a head


def longformer_self_attention(
    state: State, name: str, config: LongformerConfig, hidden_states: NDArray[Any], **options: Any
) -> SelfAttention:
    """Banded attention of the layer `name`; options of `band_self_attention`. hidden_states (b, n, D)."""
    part = f"{name}.attention.self"
    return band_self_attention(state, part, config.num_attention_heads, config.hidden_size, hidden_states, **options)


def longformer_layer(
    state: State,
    name: str,
    config: LongformerConfig,
    hidden_states: NDArray[Any],
    *,
    window: int,
    attention_mask: NDArray[Any] | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> Float:
    """One encoder layer, so that a test can feed it another implementation's own layer input.

    Args:
        state: weights under the Hub's names.
        name: of the layer, e.g. "longformer.encoder.layer.0".
        hidden_states: (b, n, D), any floating dtype.
        window: one-sided; `config.window(i)` of layer i.
        attention_mask, global_attention_mask: (b, n), 0 and 1; None: all real, none global.
        head_mask: (h,); None: ones.

    Returns:
        (b, n, D) float64.
    """
    return longformer_layer_output(
        state,
        name,
        config,
        hidden_states,
        window=window,
        attention_mask=attention_mask,
        global_attention_mask=global_attention_mask,
        head_mask=head_mask,
    )[0]


def longformer_layer_output(
    state: State, name: str, config: LongformerConfig, hidden_states: NDArray[Any], **options: Any
) -> tuple[Float, SelfAttention]:
    """`longformer_layer` with its attention."""
    check_activation(config)
    attention = longformer_self_attention(state, name, config, hidden_states, **options)
    x = hidden_states.astype(np.float64)
    return after_attention(state, name, x, attention.context, config.layer_norm_eps), attention


def longformer_model(
    state: State,
    config: LongformerConfig,
    input_ids: Ids | None = None,
    *,
    attention_mask: NDArray[Any] | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    head_mask: NDArray[Any] | None = None,
    token_type_ids: Ids | None = None,
    position_ids: Ids | None = None,
    inputs_embeds: NDArray[Any] | None = None,
    output_attentions: bool = False,
    add_pooling_layer: bool = True,
    prefix: str = "",
) -> ModelOutput:
    """The model without a head.

    Args:
        state: weights under the Hub's names, after `prefix` (e.g. "longformer.").
        input_ids, token_type_ids, position_ids: (b, n). Positions follow the ids that are not padding.
        attention_mask, global_attention_mask: (b, n), 0 and 1; None: all real, none global.
        head_mask: (L, h), multiplies the probabilities.
        inputs_embeds: (b, n, D), in place of input_ids: every token gets a position.
        output_attentions: whether to return the probabilities, in the compact layout.
        add_pooling_layer: whether there is a pooler.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...", e.g. for more tokens than positions.
    """
    check_activation(config)
    head_masks = check_head_mask("head_mask", head_mask, config.num_hidden_layers, config.num_attention_heads)
    x = embed(
        state,
        config,
        input_ids,
        inputs_embeds=inputs_embeds,
        token_type_ids=token_type_ids,
        position_ids=position_ids,
        prefix=prefix,
    )

    def layer(i: int, x: Float, **options: Any) -> tuple[Float, SelfAttention]:
        return longformer_layer_output(state, f"{prefix}encoder.layer.{i}", config, x, **options)

    windows = [config.window(i) for i in range(config.num_hidden_layers)]
    last, hidden_states, attentions, global_attentions = band_layers(
        layer, x, windows, attention_mask, global_attention_mask, head_masks, output_attentions
    )
    pooled = pooler(state, last, prefix) if add_pooling_layer else None
    return ModelOutput(last, pooled, hidden_states, attentions, global_attentions=global_attentions)


def longformer_encoder(
    state: State, config: LongformerConfig, input_ids: Ids | None = None, *, prefix: str = "", **options: Any
) -> tuple[Float, ...]:
    """Hidden states after the embeddings and after each layer: L + 1 arrays (b, n, D). Options: of the model."""
    return longformer_model(state, config, input_ids, add_pooling_layer=False, prefix=prefix, **options).hidden_states


def headless(
    state: State, config: LongformerConfig, input_ids: Ids | None, options: Mapping[str, Any], pool: bool = False
) -> ModelOutput:
    """The model inside a model with a head: its keys stand under "longformer."."""
    return longformer_model(state, config, input_ids, add_pooling_layer=pool, prefix=PREFIX, **options)


def longformer_masked_lm(
    state: State, config: LongformerConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, n, vocabulary). labels (b, n): ids, or -100 for tokens that do not count. Options: of the model."""
    return language_model(state, config, headless(state, config, input_ids, options), labels, PREFIX)

"""Second moments carried through whole models, from the embeddings to the last hidden states.

Results stand under the names of the models' outputs, those of layer i under "hidden_states.i" and the like. Arguments
are those of the models in `trueband.reference`.
Shapes: b batch, h heads, n tokens of the encoder, m of the decoder, D hidden size, L layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.bound import Float
from trueband.properties.bounds.encoder_variance import (
    Mask,
    embedding_moments,
    run_longformer_layer,
    run_roberta_layer,
)
from trueband.properties.bounds.layer_variance import Layer, LayerMoments
from trueband.properties.bounds.led_variance import (
    led_embedding_moments,
    run_led_decoder_layer,
    run_led_encoder_layer,
)
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments, given
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import check_head_mask, check_mask, positions_from_ids
from trueband.reference.layers import State
from trueband.reference.layout import dense_to_compact
from trueband.reference.masks import global_tokens

Ids = NDArray[np.integer[Any]]
Named = dict[str, Moments]


def roberta_moments(
    state: State,
    config: XLMRobertaConfig,
    input_ids: Ids,
    precision: Precision,
    *,
    attention_mask: Mask = None,
    head_mask: Float | None = None,
    encoder_hidden_states: Float | None = None,
    encoder_attention_mask: Mask = None,
    prefix: str = "roberta.",
) -> Named:
    """hidden_states.i (b, n, D), attentions.i, cross_attentions.i (b, h, n, ...), last_hidden_state."""
    positions = positions_from_ids(input_ids, config.pad_token_id)
    x = embedding_moments(state, prefix, config, input_ids, positions, precision)
    head_masks = check_head_mask("head_mask", head_mask, config.num_hidden_layers, config.num_attention_heads)
    found = {"hidden_states.0": x}
    for i, weights in enumerate(head_masks):
        layer = run_roberta_layer(
            state,
            f"{prefix}encoder.layer.{i}",
            config,
            x,
            attention_mask,
            precision,
            head_mask=None if head_mask is None else weights,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
        )
        x = layer.output
        found |= {f"hidden_states.{i + 1}": x, f"attentions.{i}": layer.attention.probabilities()}
        if layer.cross_attention is not None:
            found[f"cross_attentions.{i}"] = layer.cross_attention.probabilities()
    return found | {"last_hidden_state": x}


def longformer_moments(
    state: State,
    config: LongformerConfig,
    input_ids: Ids,
    precision: Precision,
    *,
    attention_mask: Mask = None,
    global_attention_mask: Mask = None,
    head_mask: Float | None = None,
    prefix: str = "longformer.",
) -> Named:
    """hidden_states.i (b, n, D), attentions.i, global_attentions.i in the compact layout, last_hidden_state."""
    positions = positions_from_ids(input_ids, config.pad_token_id)
    x = embedding_moments(state, prefix, config, input_ids, positions, precision)
    head_masks = check_head_mask("head_mask", head_mask, config.num_hidden_layers, config.num_attention_heads)
    found = {"hidden_states.0": x}
    for i, weights in enumerate(head_masks):
        window, masks = config.window(i), (attention_mask, global_attention_mask)
        layer = run_longformer_layer(
            state,
            f"{prefix}encoder.layer.{i}",
            config,
            x,
            window,
            *masks,
            precision,
            head_mask=None if head_mask is None else weights,
        )
        x = layer.output
        found |= {f"hidden_states.{i + 1}": x} | compact_moments(layer, i, window, *masks)
    return found | {"last_hidden_state": x}


def led_encoder_moments(
    state: State,
    config: LEDConfig,
    input_ids: Ids,
    precision: Precision,
    *,
    attention_mask: Mask = None,
    global_attention_mask: Mask = None,
    head_mask: Float | None = None,
    prefix: str = "led.",
) -> Named:
    """hidden_states.i (b, n, D), attentions.i, global_attentions.i in the compact layout, last_hidden_state."""
    x = led_embedding_moments(state, prefix, "encoder", input_ids, precision)
    real = check_mask("attention_mask", attention_mask, input_ids.shape, default=True)
    flagged = check_mask("global_attention_mask", global_attention_mask, input_ids.shape, default=False)
    heads = config.encoder_attention_heads
    head_masks = check_head_mask("head_mask", head_mask, config.encoder_layers, heads)
    found = {"hidden_states.0": x}
    for i, weights in enumerate(head_masks):
        layer = run_led_encoder_layer(
            Layer(state, f"{prefix}encoder.layers.{i}", heads, precision),
            x,
            config.window(i),
            real,
            flagged,
            head_mask=None if head_mask is None else weights,
        )
        x = layer.output
        found |= {f"hidden_states.{i + 1}": x} | compact_moments(layer, i, config.window(i), real, flagged)
    return found | {"last_hidden_state": x}


def led_decoder_moments(
    state: State,
    config: LEDConfig,
    input_ids: Ids,
    precision: Precision,
    *,
    encoder_hidden_states: Float | Moments,
    attention_mask: Mask = None,
    encoder_attention_mask: Mask = None,
    head_mask: Float | None = None,
    cross_attn_head_mask: Float | None = None,
    prefix: str = "led.",
) -> Named:
    """hidden_states.i (b, m, D), attentions.i (b, h, m, m), cross_attentions.i (b, h, m, n), last_hidden_state."""
    x, keys = led_embedding_moments(state, prefix, "decoder", input_ids, precision), given(encoder_hidden_states)
    real = check_mask("decoder_attention_mask", attention_mask, input_ids.shape, default=True)
    seen = check_mask("encoder_attention_mask", encoder_attention_mask, keys.value.shape[:2], default=True)
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    own_masks = check_head_mask("decoder_head_mask", head_mask, layers, heads)
    cross_masks = check_head_mask("cross_attn_head_mask", cross_attn_head_mask, layers, heads)
    found = {"hidden_states.0": x}
    for i in range(layers):
        layer = run_led_decoder_layer(
            Layer(state, f"{prefix}decoder.layers.{i}", heads, precision),
            x,
            keys,
            real,
            seen,
            head_mask=None if head_mask is None else own_masks[i],
            cross_attn_head_mask=None if cross_attn_head_mask is None else cross_masks[i],
        )
        x = layer.output
        assert layer.cross_attention is not None
        found |= {
            f"hidden_states.{i + 1}": x,
            f"attentions.{i}": layer.attention.probabilities(),
            f"cross_attentions.{i}": layer.cross_attention.probabilities(),
        }
    return found | {"last_hidden_state": x}


def led_moments(
    state: State,
    config: LEDConfig,
    input_ids: Ids,
    precision: Precision,
    *,
    decoder_input_ids: Ids,
    encoder_precision: Precision | None = None,
    attention_mask: Mask = None,
    global_attention_mask: Mask = None,
    decoder_attention_mask: Mask = None,
    head_mask: Float | None = None,
    decoder_head_mask: Float | None = None,
    cross_attn_head_mask: Float | None = None,
    prefix: str = "led.",
) -> Named:
    """Of encoder and decoder, under the names of the whole model's outputs.

    encoder_precision: of an encoder that is computed in another one.
    """
    encoder = led_encoder_moments(
        state,
        config,
        input_ids,
        encoder_precision or precision,
        attention_mask=attention_mask,
        global_attention_mask=global_attention_mask,
        head_mask=head_mask,
        prefix=prefix,
    )
    decoder = led_decoder_moments(
        state,
        config,
        decoder_input_ids,
        precision,
        encoder_hidden_states=encoder["last_hidden_state"],
        attention_mask=decoder_attention_mask,
        encoder_attention_mask=attention_mask,
        head_mask=decoder_head_mask,
        cross_attn_head_mask=cross_attn_head_mask,
        prefix=prefix,
    )
    return {f"encoder_{name}": moments for name, moments in encoder.items()} | whole_model_names(decoder)


def whole_model_names(decoder: Named) -> Named:
    """Results of LED's decoder under the names of the whole model's outputs."""
    own = ("hidden_states.", "attentions.")
    return {f"decoder_{name}" if name.startswith(own) else name: moments for name, moments in decoder.items()}


def compact_moments(
    layer: LayerMoments, number: int, window: int, attention_mask: Mask, global_attention_mask: Mask
) -> Named:
    """attentions.i and, with global tokens, global_attentions.i of banded attention in the Hub's layout."""
    dense = layer.attention.probabilities()
    shape, one = layer.output.value.shape[:2], (1,) * dense.value.shape[1]
    real = check_mask("attention_mask", attention_mask, shape, default=True)
    flagged = check_mask("global_attention_mask", global_attention_mask, shape, default=False)
    is_global = global_tokens(flagged, real)
    value, variance = (dense_to_compact(part, is_global, window, one) for part in dense)
    found = {f"attentions.{number}": Moments(value.local, variance.local)}
    if is_global.any():
        found[f"global_attentions.{number}"] = Moments(value.global_, variance.global_)
    return found

"""The encoder of LED in float64 (arXiv 2004.05150, section 7): Longformer's attention in BART's post-LN layers.

    y = LayerNorm(x + output(attention(x)));  z = LayerNorm(y + fc2(gelu(fc1(y))))

Shapes: b batch, h heads, n tokens, D hidden size, L layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.band_self_attention import band_layers, band_self_attention
from trueband.reference.config import LEDConfig
from trueband.reference.embeddings import Ids, check_head_mask, check_hidden_states, check_ids
from trueband.reference.full_attention import SelfAttention
from trueband.reference.layers import State, gelu, layer_norm, linear, weight
from trueband.reference.outputs import EncoderOutput

EPS = 1e-5  # of every LayerNorm in LED


def led_encoder_layer(
    state: State,
    name: str,
    config: LEDConfig,
    hidden_states: NDArray[Any],
    *,
    window: int,
    attention_mask: NDArray[Any] | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> Float:
    """One encoder layer `name`, e.g. "led.encoder.layers.0": (b, n, D) -> (b, n, D) float64.

    Arguments as in `trueband.reference.longformer.longformer_layer`.
    """
    return led_encoder_layer_output(
        state,
        name,
        config,
        hidden_states,
        window=window,
        attention_mask=attention_mask,
        global_attention_mask=global_attention_mask,
        head_mask=head_mask,
    )[0]


def led_encoder_layer_output(
    state: State, name: str, config: LEDConfig, hidden_states: NDArray[Any], **options: Any
) -> tuple[Float, SelfAttention]:
    """`led_encoder_layer` with its attention."""
    check_activation(config)
    part = f"{name}.self_attn.longformer_self_attn"
    heads, size = config.encoder_attention_heads, config.d_model
    attention = band_self_attention(state, part, heads, size, hidden_states, **options)
    projected = linear(state, f"{name}.self_attn.output", attention.context)
    x = layer_norm(state, f"{name}.self_attn_layer_norm", hidden_states.astype(np.float64) + projected, EPS)
    return led_feed_forward(state, name, x), attention


def led_encoder(
    state: State,
    config: LEDConfig,
    input_ids: Ids | None = None,
    *,
    attention_mask: NDArray[Any] | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    head_mask: NDArray[Any] | None = None,
    inputs_embeds: NDArray[Any] | None = None,
    output_attentions: bool = False,
    prefix: str = "",
) -> EncoderOutput:
    """The encoder on one batch; arguments as in `led_model`. Keys under `prefix` + "encoder."."""
    check_activation(config)
    head_masks = check_head_mask("head_mask", head_mask, config.encoder_layers, config.encoder_attention_heads)
    x = led_embed(state, prefix, "encoder", config, input_ids, inputs_embeds, config.max_encoder_position_embeddings)

    def layer(i: int, x: Float, **options: Any) -> tuple[Float, SelfAttention]:
        return led_encoder_layer_output(state, f"{prefix}encoder.layers.{i}", config, x, **options)

    windows = [config.window(i) for i in range(config.encoder_layers)]
    return band_layers(layer, x, windows, attention_mask, global_attention_mask, head_masks, output_attentions)


def led_feed_forward(state: State, name: str, x: Float) -> Float:
    """LayerNorm(y + fc2(gelu(fc1(y)))), (b, n, D), of the encoder or decoder layer `name`."""
    outer = linear(state, f"{name}.fc2", gelu(linear(state, f"{name}.fc1", x)))
    return layer_norm(state, f"{name}.final_layer_norm", x + outer, EPS)


def led_embed(
    state: State,
    prefix: str,
    side: str,
    config: LEDConfig,
    input_ids: Ids | None,
    inputs_embeds: NDArray[Any] | None,
    limit: int,
) -> Float:
    """LayerNorm(word + position), positions 0 .. n - 1 whatever the padding. Ids (b, n) -> (b, n, D).

    `side`: "encoder" or "decoder", whose arguments errors name. `inputs_embeds` (b, n, D) stand for the word part.
    """
    start = "decoder_" if side == "decoder" else ""
    ids_name, embeds_name = f"{start}input_ids", f"{start}inputs_embeds"
    if (input_ids is None) == (inputs_embeds is None):
        got = "neither" if input_ids is None else "both"
        raise ValueError(f"{ids_name}: expected exactly one of {ids_name} and {embeds_name}, got {got}")
    if input_ids is not None:
        check_ids(ids_name, input_ids, None, config.vocab_size)
        tokens = input_ids.shape[1]
    else:
        given = check_hidden_states(embeds_name, inputs_embeds, config.d_model)
        tokens = given.shape[1]
    if tokens > limit:
        name = embeds_name if input_ids is None else ids_name
        raise ValueError(f"{name}: expected at most {limit} tokens, got {tokens}")
    words = given if input_ids is None else word_embeddings(state, prefix, side)[input_ids]
    positions = weight(state, f"{prefix}{side}.embed_positions.weight")[:tokens]
    return layer_norm(state, f"{prefix}{side}.layernorm_embedding", words + positions, EPS)


def word_embeddings(state: State, prefix: str, side: str) -> Float:
    """(vocabulary, D): of one side, or the shared ones where they are tied and left out."""
    own = f"{prefix}{side}.embed_tokens.weight"
    return weight(state, own if own in state else f"{prefix}shared.weight")


def check_activation(config: LEDConfig) -> None:
    if config.activation_function != "gelu":
        raise ValueError(f"activation_function: expected 'gelu' (the exact form), got {config.activation_function!r}")

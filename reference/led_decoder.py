"""The decoder of LED in float64: BART's (arXiv 1910.13461), causal self-attention and full attention to the encoder.

    y = LayerNorm(x + out_proj(self_attn(x)));  z = LayerNorm(y + out_proj(encoder_attn(y, encoder)))
    result = LayerNorm(z + fc2(gelu(fc1(z))))

Shapes: b batch, h heads, m tokens of the decoder, n of the encoder, D hidden size, L layers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.config import LEDConfig
from trueband.reference.embeddings import Ids, check_head_mask, check_hidden_states, check_mask
from trueband.reference.full_attention import SelfAttention, full_attention, visible_keys
from trueband.reference.layers import State, layer_norm, linear, split_heads
from trueband.reference.led_encoder import EPS, check_activation, led_embed, led_feed_forward
from trueband.reference.masks import Bool
from trueband.reference.outputs import DecoderOutput


class LEDDecoderLayer(NamedTuple):
    """Attributes:
    hidden_states: (b, m, D).
    self_attention, cross_attention: before their output projections.
    """

    hidden_states: Float
    self_attention: SelfAttention
    cross_attention: SelfAttention


def led_decoder_attention(
    state: State,
    name: str,
    heads: int,
    rows: Float,
    keys: Float,
    visible: Bool,
    head_mask: Float | None = None,
) -> SelfAttention:
    """Attention `name` (e.g. "decoder.layers.0.self_attn") of rows (b, m, D) over keys (b, n, D); visible (b, m, n)."""
    query = split_heads(linear(state, f"{name}.q_proj", rows), heads)
    key = split_heads(linear(state, f"{name}.k_proj", keys), heads)
    value = split_heads(linear(state, f"{name}.v_proj", keys), heads)
    return full_attention(query, key, value, visible, head_mask)


def led_decoder_layer(
    state: State,
    name: str,
    config: LEDConfig,
    hidden_states: NDArray[Any],
    encoder_hidden_states: NDArray[Any],
    *,
    attention_mask: NDArray[Any] | None = None,
    encoder_attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
    cross_attn_head_mask: Float | None = None,
) -> LEDDecoderLayer:
    """One decoder layer, so that a test can feed it another implementation's own layer input.

    Args:
        state: weights under the Hub's names.
        name: of the layer, e.g. "led.decoder.layers.0".
        hidden_states, encoder_hidden_states: (b, m, D) and (b, n, D), any floating dtype.
        attention_mask, encoder_attention_mask: (b, m) and (b, n), 0 and 1; None: all real. A row that sees no real
            token gets 0.
        head_mask, cross_attn_head_mask: (h,); None: ones.
    """
    check_activation(config)
    x = check_hidden_states("hidden_states", hidden_states, config.d_model)
    encoded = check_hidden_states("encoder_hidden_states", encoder_hidden_states, config.d_model)
    if len(encoded) != len(x):
        raise ValueError(f"encoder_hidden_states: expected a batch of {len(x)}, got {len(encoded)}")
    real = check_mask("decoder_attention_mask", attention_mask, x.shape[:2], default=True)
    real_encoded = check_mask("encoder_attention_mask", encoder_attention_mask, encoded.shape[:2], default=True)
    heads, tokens = config.decoder_attention_heads, x.shape[1]

    causal = visible_keys(real, tokens, causal=True)
    own = led_decoder_attention(state, f"{name}.self_attn", heads, x, x, causal, head_mask)
    x = layer_norm(
        state, f"{name}.self_attn_layer_norm", x + linear(state, f"{name}.self_attn.out_proj", own.context), EPS
    )

    every = visible_keys(real_encoded, tokens, causal=False)
    cross = led_decoder_attention(state, f"{name}.encoder_attn", heads, x, encoded, every, cross_attn_head_mask)
    projected = linear(state, f"{name}.encoder_attn.out_proj", cross.context)
    x = layer_norm(state, f"{name}.encoder_attn_layer_norm", x + projected, EPS)
    return LEDDecoderLayer(led_feed_forward(state, name, x), own, cross)


def led_decoder(
    state: State,
    config: LEDConfig,
    input_ids: Ids | None = None,
    *,
    encoder_hidden_states: NDArray[Any],
    attention_mask: NDArray[Any] | None = None,
    encoder_attention_mask: NDArray[Any] | None = None,
    head_mask: NDArray[Any] | None = None,
    cross_attn_head_mask: NDArray[Any] | None = None,
    inputs_embeds: NDArray[Any] | None = None,
    output_attentions: bool = False,
    prefix: str = "",
) -> DecoderOutput:
    """The decoder on one batch, never cached; arguments as in `led_model`. Keys under `prefix` + "decoder.".

    input_ids (b, m) or inputs_embeds (b, m, D); head masks (L, h).
    """
    check_activation(config)
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    own_masks = check_head_mask("decoder_head_mask", head_mask, layers, heads)
    cross_masks = check_head_mask("cross_attn_head_mask", cross_attn_head_mask, layers, heads)
    x = led_embed(state, prefix, "decoder", config, input_ids, inputs_embeds, config.max_decoder_position_embeddings)
    hidden_states: list[Float] = [x]
    own: list[Float] = []
    cross: list[Float] = []
    for i in range(layers):
        layer = led_decoder_layer(
            state,
            f"{prefix}decoder.layers.{i}",
            config,
            hidden_states[-1],
            encoder_hidden_states,
            attention_mask=attention_mask,
            encoder_attention_mask=encoder_attention_mask,
            head_mask=own_masks[i],
            cross_attn_head_mask=cross_masks[i],
        )
        hidden_states.append(layer.hidden_states)
        if output_attentions:
            own.append(layer.self_attention.probabilities)
            cross.append(layer.cross_attention.probabilities)
    attentions = (tuple(own), tuple(cross)) if output_attentions else (None, None)
    return DecoderOutput(hidden_states[-1], tuple(hidden_states), *attentions)


def shift_right(ids: Ids, pad_token_id: int, decoder_start_token_id: int) -> Ids:
    """(b, m): the start token, then all ids but the last; -100, a label that does not count, becomes padding.

    >>> shift_right(np.array([[0, 7, -100, 2]]), pad_token_id=1, decoder_start_token_id=2)
    array([[2, 0, 7, 1]])
    """
    start = np.full((len(ids), 1), decoder_start_token_id)
    shifted = np.concatenate([start, ids[:, :-1]], axis=1)
    return np.where(shifted == -100, pad_token_id, shifted)

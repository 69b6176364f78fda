"""Second moments of LED's layers, of its embeddings and of its logits.

The layers are those of `trueband.reference.led_encoder` and `led_decoder`. An array as a layer's input is taken as
exact; `Moments` carry the error of all earlier layers along.
Shapes: b batch, h heads, n tokens of the encoder, m of the decoder, D hidden size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.encoder_variance import banded_rows
from trueband.properties.bounds.layer_variance import LED_DECODER, LED_ENCODER, LayerMoments, layer_norm_of
from trueband.properties.bounds.layer_variance import Layer as Layer
from trueband.properties.bounds.layers import layer_norm_bound, residual_bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments, given, linear_moments, several_moments
from trueband.reference.full_attention import visible_keys
from trueband.reference.layers import State, weight
from trueband.reference.led_encoder import EPS, word_embeddings
from trueband.reference.masks import Bool


def led_encoder_layer_moments(
    layer: Layer, hidden_states: Float | Moments, window: int, real: Bool, flagged: Bool
) -> Moments:
    """Of one encoder layer's output, (b, n, D), with its one-sided window; real and flagged (b, n)."""
    return run_led_encoder_layer(layer, hidden_states, window, real, flagged).output


def run_led_encoder_layer(
    layer: Layer,
    hidden_states: Float | Moments,
    window: int,
    real: Bool,
    flagged: Bool,
    *,
    head_mask: Float | None = None,
) -> LayerMoments:
    """With the layer's attention; head_mask (h,)."""
    x = given(hidden_states)
    visible = banded_rows(x, layer.heads, window, real, flagged)
    return layer._replace(parts=LED_ENCODER).run(x, visible, head_mask=head_mask)


def led_decoder_layer_moments(
    layer: Layer, hidden_states: Float | Moments, encoded: Float | Moments, real: Bool, real_encoded: Bool
) -> Moments:
    """Of one decoder layer's output, (b, m, D), over the encoder's last hidden states (b, n, D)."""
    return run_led_decoder_layer(layer, hidden_states, encoded, real, real_encoded).output


def run_led_decoder_layer(
    layer: Layer,
    hidden_states: Float | Moments,
    encoded: Float | Moments,
    real: Bool,
    real_encoded: Bool,
    *,
    head_mask: Float | None = None,
    cross_attn_head_mask: Float | None = None,
) -> LayerMoments:
    """With the layer's attentions; head masks (h,)."""
    x = given(hidden_states)
    causal = visible_keys(real, x.value.shape[1], causal=True)
    every = visible_keys(real_encoded, x.value.shape[1], causal=False)
    return layer._replace(parts=LED_DECODER).run(
        x, {"": causal}, given(encoded), every, head_mask=head_mask, cross_head_mask=cross_attn_head_mask
    )


def led_logits_moments(state: State, hidden_states: Float | Moments, precision: Precision) -> Moments:
    """Of the logits, (b, m, vocabulary)."""
    words = weight(state, "lm_head.weight" if "lm_head.weight" in state else "led.shared.weight")
    return linear_moments(given(hidden_states), words, weight(state, "final_logits_bias")[0], precision)


def led_embedding_moments(
    state: State, prefix: str, side: str, ids: NDArray[np.integer] | Float, precision: Precision
) -> Moments:
    """Of LayerNorm(word + position), (b, n, D). ids: (b, n), or embeddings (b, n, D); side: "encoder" or "decoder"."""
    summed = several_moments(_summands(state, prefix, side, ids), precision)
    return layer_norm_of(state, f"{prefix}{side}.layernorm_embedding", summed, EPS, precision)


def led_embedding_bound(
    state: State, prefix: str, side: str, ids: NDArray[np.integer] | Float, precision: Precision
) -> Bound:
    """Hard bound on the same."""
    words, positions = _summands(state, prefix, side, ids)
    one_sum = residual_bound(words, positions, precision).total
    norm = f"{prefix}{side}.layernorm_embedding"
    gain, shift = weight(state, f"{norm}.weight"), weight(state, f"{norm}.bias")
    return layer_norm_bound(words + positions, gain, shift, EPS, precision, one_sum)


def _summands(state: State, prefix: str, side: str, ids: NDArray[np.integer] | Float) -> tuple[Float, Float]:
    """Words and positions, (b, n, D) each."""
    words: Float = ids if ids.ndim == 3 else word_embeddings(state, prefix, side)[ids]  # type: ignore[assignment]
    positions = weight(state, f"{prefix}{side}.embed_positions.weight")[: ids.shape[1]]
    return words, np.broadcast_to(positions, words.shape)

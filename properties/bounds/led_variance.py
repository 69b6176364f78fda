"""Second moments of LED's layers and of its logits, put together from `variance`.

The layers are those of `trueband.reference.led_encoder` and `led_decoder`; their inputs are taken as exact.
Shapes: b batch, h heads, n tokens of the encoder, m of the decoder, D hidden size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

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
from trueband.reference.layers import State, merge_heads, split_heads, weight
from trueband.reference.led_encoder import EPS
from trueband.reference.masks import Bool, global_tokens, visible_to_global_rows, visible_to_local_rows


class Layer(NamedTuple):
    """One layer: its weights, its name (e.g. "led.encoder.layers.0"), its heads, and what an implementation rounds."""

    state: State
    name: str
    heads: int
    precision: Precision

    def linear(self, part: str, x: Moments) -> Moments:
        name = f"{self.name}.{part}"
        return linear_moments(
            x, weight(self.state, f"{name}.weight"), weight(self.state, f"{name}.bias"), self.precision
        )

    def norm(self, part: str, x: Moments) -> Moments:
        name = f"{self.name}.{part}"
        gain, shift = weight(self.state, f"{name}.weight"), weight(self.state, f"{name}.bias")
        return layer_norm_moments(x, gain, shift, EPS, self.precision)

    def attention(self, parts: tuple[str, str, str], rows: Moments, keys: Moments, visible: Bool) -> Moments:
        """Context (b, m, D) of rows (b, m, D) over keys (b, n, D); visible (b, h, m, n)."""
        query, key, value = (self.heads_of(part, x) for part, x in zip(parts, (rows, keys, keys), strict=True))
        scale = 1 / math.sqrt(query.value.shape[-1])
        context = attention_moments(query, key, value, visible, scale, self.precision)
        return Moments(merge_heads(context.value), merge_heads(context.variance))

    def heads_of(self, part: str, x: Moments) -> Moments:
        projected = self.linear(part, x)
        return Moments(split_heads(projected.value, self.heads), split_heads(projected.variance, self.heads))

    def added(self, projection: str, norm: str, x: Moments, context: Moments) -> Moments:
        """LayerNorm(x + projection(context))."""
        return self.norm(norm, sum_moments(x, self.linear(projection, context), self.precision))

    def fed_forward(self, x: Moments) -> Moments:
        inner = gelu_moments(self.linear("fc1", x), self.precision)
        return self.added("fc2", "final_layer_norm", x, inner)


def led_encoder_layer_moments(layer: Layer, hidden_states: Float, window: int, real: Bool, flagged: Bool) -> Moments:
    """Of one encoder layer's output, (b, n, D), with its one-sided window; real and flagged (b, n)."""
    x = known(hidden_states)
    is_global = global_tokens(flagged, real)
    context = known(np.zeros_like(hidden_states))
    for suffix, visible in (
        ("", visible_to_local_rows(real, is_global, window, (1,) * layer.heads, causal=False)),
        ("_global", visible_to_global_rows(real, is_global, layer.heads)),
    ):
        query, key, value = (f"self_attn.longformer_self_attn.{part}{suffix}" for part in ("query", "key", "value"))
        rows = layer.attention((query, key, value), x, x, visible)  # 0 and exact in all other rows
        context = Moments(context.value + rows.value, context.variance + rows.variance)
    return layer.fed_forward(layer.added("self_attn.output", "self_attn_layer_norm", x, context))


def led_decoder_layer_moments(
    layer: Layer, hidden_states: Float, encoded: Float, real: Bool, real_encoded: Bool
) -> Moments:
    """Of one decoder layer's output, (b, m, D), over the encoder's last hidden states (b, n, D)."""
    x = known(hidden_states)
    batch, tokens, _ = hidden_states.shape
    causal = np.tril(np.ones((tokens, tokens), dtype=bool)) & real[:, None, None, :]
    every = np.broadcast_to(real_encoded[:, None, None, :], (batch, layer.heads, tokens, encoded.shape[1]))
    for attention, keys, visible in (
        ("self_attn", None, np.broadcast_to(causal, (batch, layer.heads, tokens, tokens))),
        ("encoder_attn", known(encoded), every),
    ):
        query, key, value = (f"{attention}.{part}_proj" for part in "qkv")
        context = layer.attention((query, key, value), x, x if keys is None else keys, visible)
        x = layer.added(f"{attention}.out_proj", f"{attention}_layer_norm", x, context)
    return layer.fed_forward(x)


def led_embedding_bound(state: State, prefix: str, side: str, ids: np.ndarray, precision: Precision) -> Bound:
    """Hard bound on LayerNorm(word + position), (b, n, D). `side`: "encoder" or "decoder"."""
    words = weight(state, f"{prefix}shared.weight")[ids]
    positions = weight(state, f"{prefix}{side}.embed_positions.weight")[: ids.shape[1]]
    norm = f"{prefix}{side}.layernorm_embedding"
    positions = np.broadcast_to(positions, words.shape)
    one_sum = residual_bound(words, positions, precision).total
    gain, shift = weight(state, f"{norm}.weight"), weight(state, f"{norm}.bias")
    return layer_norm_bound(words + positions, gain, shift, EPS, precision, one_sum)

"""The models that conversions start from, run on their own names in float64, with the variance of rounding errors.

fairseq's RoBERTa and BART have the same post-LN layers under the same names, so one layer serves both; nothing here
knows the Hub's names of the models that they are converted to. Each result is a value with its `Moments`: the bound
that the converted model is judged by comes with it. Shapes: b batch, n tokens, m decoder tokens, D hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.weights.fairseq import ENCODER, LAYER_NORM_EPS
from trueband.properties.bounds.layers import layer_norm_bound, residual_bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import (
    Moments,
    attention_moments,
    gelu_moments,
    layer_norm_moments,
    linear_moments,
    sum_moments,
)
from trueband.reference.layers import merge_heads, split_heads

Array = NDArray[Any]
FLOAT64 = Precision.of("float64")
BART_OFFSET = 2  # rows of BART's position tables before the one of the first token


@dataclass(frozen=True)
class PostNormModel:
    """Attributes:
    state: arrays under the source's names.
    heads: the heads of the attention.
    precision: the precision of the run that is judged by the variances.
    """

    state: Mapping[str, Array]
    heads: int
    precision: Precision = FLOAT64

    def weight(self, name: str) -> NDArray[np.float64]:
        return np.asarray(self.state[name], dtype=np.float64)

    def linear(self, name: str, x: Moments) -> Moments:
        return linear_moments(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), self.precision)

    def add_and_norm(self, name: str, x: Moments, added: Moments) -> Moments:
        gain, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return layer_norm_moments(sum_moments(x, added, self.precision), gain, shift, LAYER_NORM_EPS, self.precision)

    def embedded(self, words: str, positions: Array, norm: str, ids: Array) -> Moments:
        """LayerNorm(word + position). `positions`: (b, n, D). Its hard bound stands for one standard deviation."""
        word = self.weight(words)[ids]
        gain, shift = self.weight(f"{norm}.weight"), self.weight(f"{norm}.bias")
        error = (
            2 * residual_bound(np.abs(word), np.abs(positions), self.precision).total
        )  # a third, zero, summand included
        bound = layer_norm_bound(word + positions, gain, shift, LAYER_NORM_EPS, self.precision, error)
        summed = word + positions
        centered = summed - summed.mean(axis=-1, keepdims=True)
        value = gain * centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + LAYER_NORM_EPS) + shift
        return Moments(value, bound.total**2)

    def attention(self, name: str, rows: Moments, keys: Moments, visible: Array) -> Moments:
        """out_proj of the attention of rows (b, m, D) over keys (b, n, D); visible (b, m, n)."""
        query, key, value = (
            self._split(self.linear(f"{name}.{part}_proj", x))
            for part, x in zip("qkv", (rows, keys, keys), strict=True)
        )
        seen = np.broadcast_to(visible[:, None], (len(visible), self.heads, *visible.shape[1:]))
        context = attention_moments(query, key, value, seen, 1 / math.sqrt(query.value.shape[-1]), self.precision)
        merged = Moments(merge_heads(context.value), merge_heads(context.variance))
        return self.linear(f"{name}.out_proj", merged)

    def layer(
        self, name: str, x: Moments, visible: Array, encoded: Moments | None = None, seen: Array | None = None
    ) -> Moments:
        """A post-LN layer, with cross-attention where `encoded` is given."""
        x = self.add_and_norm(f"{name}.self_attn_layer_norm", x, self.attention(f"{name}.self_attn", x, x, visible))
        if encoded is not None and seen is not None:
            crossed = self.attention(f"{name}.encoder_attn", x, encoded, seen)
            x = self.add_and_norm(f"{name}.encoder_attn_layer_norm", x, crossed)
        inner = gelu_moments(self.linear(f"{name}.fc1", x), self.precision)
        return self.add_and_norm(f"{name}.final_layer_norm", x, self.linear(f"{name}.fc2", inner))

    def _split(self, x: Moments) -> Moments:
        return Moments(split_heads(x.value, self.heads), split_heads(x.variance, self.heads))


def fairseq_roberta_logits(
    state: Mapping[str, Array], layers: int, heads: int, ids: Array, real: Array
) -> tuple[Moments, Moments]:
    """Last hidden states (b, n, D) and logits of a fairseq RoBERTa. ids (b, n), padded on the right; real (b, n)."""
    model = PostNormModel(state, heads)
    rows = np.where(real, np.cumsum(real, axis=1) + 1, 1)  # padding has row 1, the first token row 2
    positions = model.weight(f"{ENCODER}.embed_positions.weight")[rows]
    x = model.embedded(f"{ENCODER}.embed_tokens.weight", positions, f"{ENCODER}.emb_layer_norm", ids)
    visible = np.repeat(real[:, None], ids.shape[1], axis=1)
    for i in range(layers):
        x = model.layer(f"{ENCODER}.layers.{i}", x, visible)
    inner = gelu_moments(model.linear("decoder.lm_head.dense", x), FLOAT64)
    gain, shift = (model.weight(f"decoder.lm_head.layer_norm.{kind}") for kind in ("weight", "bias"))
    features = layer_norm_moments(inner, gain, shift, LAYER_NORM_EPS, FLOAT64)
    words, bias = model.weight("decoder.lm_head.weight"), model.weight("decoder.lm_head.bias")
    return x, linear_moments(features, words, bias, FLOAT64)


def bart_logits(
    state: Mapping[str, Array],
    config: Mapping[str, Any],
    ids: Array,
    real: Array,
    decoder_ids: Array,
    precision: Precision = FLOAT64,
) -> tuple[Moments, Moments]:
    """Last encoder states (b, n, D) and logits (b, m, vocabulary) of a BART under "model."."""
    sides = {}
    for side, tokens in (("encoder", ids), ("decoder", decoder_ids)):
        model = PostNormModel(state, config[f"{side}_attention_heads"], precision)
        table = model.weight(f"model.{side}.embed_positions.weight")[BART_OFFSET : BART_OFFSET + tokens.shape[1]]
        positions = np.broadcast_to(table, (*tokens.shape, table.shape[1]))
        norm = f"model.{side}.layernorm_embedding"
        sides[side] = model, model.embedded("model.shared.weight", positions, norm, tokens)
    encoder, encoded = sides["encoder"]
    for i in range(config["encoder_layers"]):
        encoded = encoder.layer(f"model.encoder.layers.{i}", encoded, np.repeat(real[:, None], ids.shape[1], axis=1))
    decoder, x = sides["decoder"]
    causal = np.tril(np.ones((decoder_ids.shape[1],) * 2, dtype=bool))[None].repeat(len(ids), axis=0)
    seen = np.repeat(real[:, None], decoder_ids.shape[1], axis=1)
    for i in range(config["decoder_layers"]):
        x = decoder.layer(f"model.decoder.layers.{i}", x, causal, encoded, seen)
    bias = decoder.weight("final_logits_bias")[0]
    return encoded, linear_moments(x, decoder.weight("model.shared.weight"), bias, precision)

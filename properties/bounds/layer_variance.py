"""Second moments of a post-LN layer, put together from `variance`: the same for RoBERTa, Longformer and LED.

    y = LayerNorm(x + output(attention(x)));  [ y = LayerNorm(y + output(cross-attention(y))) ]
    z = LayerNorm(y + outer(gelu(inner(y))))

The models differ in the names of the parts. Shapes: b batch, h heads, m rows, n keys, d head dim, D hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from trueband.properties.bounds.bound import Float
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import (
    Moments,
    Relative,
    attention_moments,
    gelu_moments,
    known,
    layer_norm_moments,
    linear_moments,
    sum_moments,
)
from trueband.reference.layers import State, merge_heads, split_heads, weight
from trueband.reference.masks import Bool

Visible = dict[str, Bool]


class AttentionParts(NamedTuple):
    """Names of the projections of an attention, and of what follows it."""

    query: str
    key: str
    value: str
    output: str
    norm: str


class Parts(NamedTuple):
    """Names of the parts of a layer."""

    own: AttentionParts
    inner: str
    outer: str
    norm: str
    cross: AttentionParts | None = None


def _roberta_attention(name: str) -> AttentionParts:
    query, key, value = (f"{name}.self.{part}" for part in ("query", "key", "value"))
    return AttentionParts(query, key, value, f"{name}.output.dense", f"{name}.output.LayerNorm")


def _led_decoder_attention(name: str) -> AttentionParts:
    query, key, value = (f"{name}.{part}_proj" for part in "qkv")
    return AttentionParts(query, key, value, f"{name}.out_proj", f"{name}_layer_norm")


def _led_encoder_attention(name: str) -> AttentionParts:
    query, key, value = (f"{name}.longformer_self_attn.{part}" for part in ("query", "key", "value"))
    return AttentionParts(query, key, value, f"{name}.output", f"{name}_layer_norm")


_LED_FEED_FORWARD = ("fc1", "fc2", "final_layer_norm")
ROBERTA = Parts(
    _roberta_attention("attention"), "intermediate.dense", "output.dense", "output.LayerNorm",
    _roberta_attention("crossattention"),
)  # fmt: skip
LED_ENCODER = Parts(_led_encoder_attention("self_attn"), *_LED_FEED_FORWARD)
LED_DECODER = Parts(_led_decoder_attention("self_attn"), *_LED_FEED_FORWARD, _led_decoder_attention("encoder_attn"))


class Layer(NamedTuple):
    """One layer.

    Attributes:
        state: weights.
        name: such as "led.encoder.layers.0".
        heads: of its attentions.
        precision: what an implementation rounds.
        parts: names inside the layer.
        eps: of its LayerNorms.
        cross_heads: of the cross-attention, where pruning has made them more than `heads`.
    """

    state: State
    name: str
    heads: int
    precision: Precision
    parts: Parts = ROBERTA
    eps: float = 1e-5
    cross_heads: int | None = None

    def linear(self, part: str, x: Moments) -> Moments:
        return linear_of(self.state, f"{self.name}.{part}", x, self.precision)

    def added(self, projection: str, norm: str, x: Moments, branch: Moments) -> Moments:
        """LayerNorm(x + projection(branch))."""
        summed = sum_moments(x, self.linear(projection, branch), self.precision)
        return layer_norm_of(self.state, f"{self.name}.{norm}", summed, self.eps, self.precision)

    def run(
        self,
        x: Moments,
        visible: Visible,
        encoded: Moments | None = None,
        seen: Bool | None = None,
        *,
        head_mask: Float | None = None,
        cross_head_mask: Float | None = None,
        relative: Relative | None = None,
    ) -> LayerMoments:
        """The layer on x (b, m, D), with cross-attention where `encoded` (b, n, D) is given.

        Args:
            visible, seen: what the self- and the cross-attention see, see `Attention`.
            head_mask, cross_head_mask: (h,); None: ones.
            relative: relative positions of the self-attention.
        """
        parts = self.parts
        own = Attention(self, parts.own, self.heads, x, x, visible, head_mask, relative)
        x, cross = self.added(parts.own.output, parts.own.norm, x, own.context()), None
        if encoded is not None and parts.cross is not None and seen is not None:
            heads = self.heads if self.cross_heads is None else self.cross_heads
            cross = Attention(self, parts.cross, heads, x, encoded, {"": seen}, cross_head_mask)
            x = self.added(parts.cross.output, parts.cross.norm, x, cross.context())
        inner = gelu_moments(self.linear(parts.inner, x), self.precision)
        return LayerMoments(self.added(parts.outer, parts.norm, x, inner), own, cross)


class Attention(NamedTuple):
    """An attention of a layer, with what it is given.

    Attributes:
        rows, keys: (b, m, D), (b, n, D).
        visible: for each suffix of the projections, what the rows that use these see: (b, m, n), or (b, h, m, n). A
            row has keys under one suffix at most: "" for local rows, "_global" for those of global tokens.
    """

    layer: Layer
    parts: AttentionParts
    heads: int
    rows: Moments
    keys: Moments
    visible: Visible
    head_mask: Float | None = None
    relative: Relative | None = None

    def context(self) -> Moments:
        """(b, m, D), before the output projection."""
        found = self._sum(lambda suffix: self._split(f"{self.parts.value}{suffix}", self.keys))
        return Moments(merge_heads(found.value), merge_heads(found.variance))

    def probabilities(self) -> Moments:
        """(b, h, m, n): the context of one-hot values."""
        batch, tokens, _ = self.keys.value.shape
        one_hot = known(np.broadcast_to(np.eye(tokens), (batch, self.heads, tokens, tokens)))
        return self._sum(lambda suffix: one_hot)

    def _sum(self, value: Callable[[str], Moments]) -> Moments:
        found = [self._attend(suffix, value(suffix), visible) for suffix, visible in self.visible.items()]
        return Moments(
            np.sum([each.value for each in found], axis=0), np.sum([each.variance for each in found], axis=0)
        )

    def _attend(self, suffix: str, value: Moments, visible: Bool) -> Moments:
        query = self._split(f"{self.parts.query}{suffix}", self.rows)
        key = self._split(f"{self.parts.key}{suffix}", self.keys)
        if visible.ndim == 3:
            visible = np.repeat(visible[:, None], self.heads, axis=1)
        scale = 1 / math.sqrt(query.value.shape[-1])
        return attention_moments(
            query, key, value, visible, scale, self.layer.precision, head_mask=self.head_mask, relative=self.relative
        )

    def _split(self, part: str, x: Moments) -> Moments:
        """A projection, by heads: (b, n, D) -> (b, h, n, d)."""
        projected = self.layer.linear(part, x)
        return Moments(split_heads(projected.value, self.heads), split_heads(projected.variance, self.heads))


class LayerMoments(NamedTuple):
    """Attributes:
    output: (b, m, D).
    attention, cross_attention: to ask for their probabilities; None without cross-attention.
    """

    output: Moments
    attention: Attention
    cross_attention: Attention | None


def given(hidden_states: Float | Moments) -> Moments:
    """An array as a layer's input is taken as exact: what the tested implementation itself passed to that layer."""
    return hidden_states if isinstance(hidden_states, Moments) else known(hidden_states.astype(np.float64))


def linear_of(state: State, name: str, x: Moments, precision: Precision) -> Moments:
    return linear_moments(x, weight(state, f"{name}.weight"), weight(state, f"{name}.bias"), precision)


def layer_norm_of(state: State, name: str, x: Moments, eps: float, precision: Precision) -> Moments:
    gain, shift = weight(state, f"{name}.weight"), weight(state, f"{name}.bias")
    return layer_norm_moments(x, gain, shift, eps, precision)

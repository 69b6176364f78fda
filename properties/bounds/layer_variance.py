"""Second moments of a post-LN layer, put together from `variance`: the same for RoBERTa, Longformer and LED.

    y = LayerNorm(x + output(attention(x)));  [ y = LayerNorm(y + output(cross-attention(y))) ]
    z = LayerNorm(y + outer(gelu(inner(y))))

The models differ in the names of the parts. Shapes: b batch, h heads, m rows, n keys, d head dim, D hidden size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trueband.properties.bounds.bound import Float
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import (
    Moments,
    Relative,
    WeightedMean,
    gelu_moments,
    known,
    layer_norm_moments,
    linear_moments,
    stored_moments,
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
    _roberta_attention("attention"),
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
    _roberta_attention("crossattention"),
)
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

    def added(self, norm: str, x: Moments, branch: Moments) -> Moments:
        """LayerNorm(x + branch)."""
        summed = sum_moments(x, branch, self.precision)
        return layer_norm_of(self.state, f"{self.name}.{norm}", summed, self.eps, self.precision)

    def weight(self, part: str) -> Float:
        return weight(self.state, f"{self.name}.{part}.weight")

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
        x, cross = self.attended(own, x), None
        if encoded is not None and parts.cross is not None and seen is not None:
            heads = self.heads if self.cross_heads is None else self.cross_heads
            cross = Attention(self, parts.cross, heads, x, encoded, {"": seen}, cross_head_mask)
            x = self.attended(cross, x)
        inner = gelu_moments(self.linear(parts.inner, x), self.precision)
        return LayerMoments(self.added(parts.norm, x, self.linear(parts.outer, inner)), own, cross)

    def attended(self, attention: Attention, x: Moments) -> Moments:
        """LayerNorm(x + output(attention))."""
        return self.added(attention.parts.norm, x, attention.projected())


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
        found = _added(
            [mean.of(self._split(f"{self.parts.value}{suffix}", self.keys)) for suffix, mean in self._means()]
        )
        return Moments(merge_heads(found.value), merge_heads(found.variance))

    def probabilities(self) -> Moments:
        """(b, h, m, n): the context of one-hot values."""
        batch, tokens, _ = self.keys.value.shape
        one_hot = known(np.broadcast_to(np.eye(tokens), (batch, self.heads, tokens, tokens)))
        return _added([mean.of(one_hot) for _, mean in self._means()])

    def projected(self) -> Moments:
        """(b, m, D), after the output projection.

        The projections of the values and of the output are one linear map of a head. What a head does to the error of
        a probability or of a token it attends is taken as a whole: trained projections belong together, and the
        coordinates between them do not err independently.
        """
        out = self.layer.weight(self.parts.output)  # (D, h * d)
        by_head = out.reshape(len(out), self.heads, -1).transpose(1, 2, 0)  # (h, d, D)
        context = self.context()
        rounded = Moments(context.value, np.zeros_like(context.value))
        result = self.layer.linear(self.parts.output, rounded)
        variance = result.variance
        for suffix, mean in self._means():
            part = f"{self.parts.value}{suffix}"
            into = self.layer.weight(part).reshape(self.heads, -1, self.keys.value.shape[-1])  # (h, d, D)
            value = self._split(part, known(self.keys.value))  # with its own rounding only
            both = np.einsum("hdk,hdm->hkm", into, by_head)  # (h, D, D): of a head, from a token to the output
            tokens = Moments(value.value @ by_head, self.keys.variance[:, None] @ both**2)
            own = stored_moments(mean.value(value.value), mean.own(value), mean.precision)
            seen = np.where(mean.keys > 0, own.variance @ by_head**2 + mean.shared(tokens.value), 0.0)
            variance = variance + (seen + mean.carried(tokens.variance)).sum(axis=1)
        return Moments(result.value, variance)

    def _means(self) -> list[tuple[str, WeightedMean]]:
        """The probabilities of the rows of each kind."""
        found = []
        for suffix, visible in self.visible.items():
            query = self._split(f"{self.parts.query}{suffix}", self.rows)
            key = self._split(f"{self.parts.key}{suffix}", self.keys)
            by_head = np.repeat(visible[:, None], self.heads, axis=1) if visible.ndim == 3 else visible
            scale, precision = 1 / math.sqrt(query.value.shape[-1]), self.layer.precision
            found.append((suffix, WeightedMean(query, key, by_head, scale, precision, self.head_mask, self.relative)))
        return found

    def _split(self, part: str, x: Moments) -> Moments:
        """A projection, by heads: (b, n, D) -> (b, h, n, d)."""
        projected = self.layer.linear(part, x)
        return Moments(split_heads(projected.value, self.heads), split_heads(projected.variance, self.heads))


def _added(found: list[Moments]) -> Moments:
    values, variances = zip(*found, strict=True)
    return Moments(np.sum(values, axis=0), np.sum(variances, axis=0))


class LayerMoments(NamedTuple):
    """Attributes:
    output: (b, m, D).
    attention, cross_attention: to ask for their probabilities; None without cross-attention.
    """

    output: Moments
    attention: Attention
    cross_attention: Attention | None


def linear_of(state: State, name: str, x: Moments, precision: Precision) -> Moments:
    return linear_moments(x, weight(state, f"{name}.weight"), weight(state, f"{name}.bias"), precision)


def layer_norm_of(state: State, name: str, x: Moments, eps: float, precision: Precision) -> Moments:
    gain, shift = weight(state, f"{name}.weight"), weight(state, f"{name}.bias")
    return layer_norm_moments(x, gain, shift, eps, precision)

"""Layers of LED: post-LN, as BART's (arXiv 1910.13461). All map (b, n, D) to (b, n, D)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from trueband.optimized.layers.activations import activation
from trueband.optimized.layers.blocks import Attended
from trueband.optimized.layers.cache import LayerCache
from trueband.optimized.layers.led_attention import Keys, LEDDecoderAttention, LEDEncoderAttention
from trueband.reference.config import LEDConfig

HALF_LIMIT = torch.finfo(torch.float16).max - 1000


def within_half(x: Tensor) -> Tensor:
    """float16 only: if anything in the batch is not finite, everything is clamped to +-64504 (stored as 64512).

    NaN stays NaN. Rows of a batch are coupled here, as in the published model.
    """
    if x.dtype != torch.float16:
        return x
    limit = torch.where(x.isfinite().all(), torch.inf, HALF_LIMIT).to(x.dtype)
    return x.clamp(-limit, limit)


class LEDFeedForward(nn.Module):
    """The feed-forward that ends both kinds of layer, with their dropouts."""

    def __init__(self, config: LEDConfig, features: int) -> None:
        super().__init__()
        size = config.d_model
        self.dropout_p, self.activation_dropout_p = config.dropout, config.activation_dropout
        self.activation = activation("activation_function", config.activation_function)
        self.self_attn_layer_norm = nn.LayerNorm(size)
        self.fc1, self.fc2 = nn.Linear(size, features), nn.Linear(features, size)
        self.final_layer_norm = nn.LayerNorm(size)

    def dropped(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout_p, self.training)

    def feed_forward(self, x: Tensor) -> Tensor:
        """LayerNorm(x + dropout(fc2(dropout(activation(fc1(x))))))."""
        inner = dropout(self.activation(self.fc1(x)), self.activation_dropout_p, self.training)
        result: Tensor = self.final_layer_norm(x + self.dropped(self.fc2(inner)))
        return result


class LEDEncoderLayer(LEDFeedForward):
    """Banded self-attention, then feed-forward."""

    def __init__(self, config: LEDConfig, layer: int) -> None:
        super().__init__(config, config.encoder_ffn_dim)
        self.self_attn = LEDEncoderAttention(config, layer)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        global_attention_mask: Tensor | None,
        head_mask: Tensor | None,
        output_attentions: bool,
    ) -> tuple[Tensor, Attended]:
        masks = (attention_mask, global_attention_mask, head_mask)
        projected, attended = self.self_attn(hidden_states, *masks, output_attentions)
        x = self.self_attn_layer_norm(hidden_states + self.dropped(projected))
        return within_half(self.feed_forward(x)), attended


class LEDDecoderMasks(NamedTuple):
    """(b, m) bool of the decoder's tokens, past ones included; (b, n) bool of the encoder's; (h,) of the heads."""

    own: Tensor | None
    encoder: Tensor | None
    head: Tensor | None = None
    cross_head: Tensor | None = None


class LEDDecoderLayer(LEDFeedForward):
    """Causal self-attention, cross-attention, then feed-forward."""

    def __init__(self, config: LEDConfig) -> None:
        super().__init__(config, config.decoder_ffn_dim)
        self.self_attn, self.encoder_attn = LEDDecoderAttention(config), LEDDecoderAttention(config)
        self.encoder_attn_layer_norm = nn.LayerNorm(config.d_model)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        masks: LEDDecoderMasks,
        past: LayerCache | None,
        output_attentions: bool,
    ) -> tuple[Tensor, Attended, Attended]:
        """The layer's output, its self-attention and its cross-attention."""
        before = None if past is None else (past.key, past.value)
        keys = Keys(hidden_states, masks.own, before, causal=True)
        projected, own = self.self_attn(hidden_states, keys, masks.head, output_attentions)
        x = self.self_attn_layer_norm(hidden_states + self.dropped(projected))
        if past is None or past.cross_key is None:
            keys = Keys(encoder_hidden_states, masks.encoder, None, causal=False)
        else:
            keys = Keys(None, masks.encoder, (past.cross_key, past.cross_value), causal=False)
        projected, across = self.encoder_attn(x, keys, masks.cross_head, output_attentions)
        x = self.encoder_attn_layer_norm(x + self.dropped(projected))
        return self.feed_forward(x), own, across

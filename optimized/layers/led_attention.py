"""Attentions of LED under the Hub's module names. b batch, h heads, t queries, n keys, d head dim, D = h * d."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from trueband.optimized.layers.band_attention import BandSelfAttention
from trueband.optimized.layers.blocks import Attended
from trueband.optimized.layers.cache import grown
from trueband.optimized.layers.full_attention import Past, full_attention
from trueband.reference.config import LEDConfig


class LEDEncoderAttention(nn.Module):
    """Longformer's attention and an output projection."""

    def __init__(self, config: LEDConfig, layer: int) -> None:
        super().__init__()
        self.longformer_self_attn = BandSelfAttention(config, layer)
        self.output = nn.Linear(config.d_model, config.d_model)

    def forward(self, hidden_states: Tensor, *options: Tensor | bool | None) -> tuple[Tensor, Attended]:
        """(b, n, D) -> (b, n, D), and the attention before the projection. Options: of `BandSelfAttention`."""
        attended: Attended = self.longformer_self_attn(hidden_states, *options)
        return self.output(attended.context), attended


class Keys(NamedTuple):
    """The keys and values that a decoder attends.

    Attributes:
        states: (b, n, D) whose keys and values are to be projected; None: those of `past` are all.
        mask: (b, n) bool, or None.
        past: key and value (b, h, m, d) projected before; of an encoder, those of one row may be for several queries.
        causal: whether a query sees only tokens up to itself.
    """

    states: Tensor | None
    mask: Tensor | None
    past: Past
    causal: bool


class LEDDecoderAttention(nn.Module):
    """Full attention of the decoder, to itself or to the encoder."""

    def __init__(self, config: LEDConfig) -> None:
        super().__init__()
        size = config.d_model
        self.heads, self.dropout_p = config.decoder_attention_heads, config.attention_dropout
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(size, size) for _ in range(4))

    def split(self, projected: Tensor) -> Tensor:
        """(b, n, D) -> (b, h, n, d)."""
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, hidden_states: Tensor, keys: Keys, head_mask: Tensor | None, output_attentions: bool
    ) -> tuple[Tensor, Attended]:
        """(b, t, D) -> (b, t, D), and the attention before the projection, with all keys and values."""
        key, value = (None, None) if keys.past is None else keys.past
        if keys.states is not None:
            new_key, new_value = (self.split(part(keys.states)) for part in (self.k_proj, self.v_proj))
            key = new_key if key is None else grown(key, new_key)
            value = new_value if value is None else grown(value, new_value)
        assert key is not None
        assert value is not None
        query = self.split(self.q_proj(hidden_states))
        dropout_p = self.dropout_p if self.training else 0.0
        copies = query.shape[0] // key.shape[0]
        if copies > 1:
            attended = shared_attention(query, key, value, copies, keys.mask, head_mask, dropout_p, output_attentions)
        else:
            options = (keys.mask, head_mask, dropout_p, keys.causal, output_attentions)
            attended = full_attention(query, key, value, *options)
        return self.out_proj(attended.context), attended


def shared_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    copies: int,
    mask: Tensor | None,
    head_mask: Tensor | None,
    dropout_p: float,
    output_attentions: bool,
) -> Attended:
    """Attention of (b * copies, h, t, d) queries to keys and values (b, h, n, d) that the copies share, read once."""
    rows, heads, tokens, head_dim = query.shape
    together = query.unflatten(0, (-1, copies)).transpose(1, 2).flatten(2, 3)  # (b, h, copies * t, d)
    mask = None if mask is None else mask[::copies]
    attended = full_attention(together, key, value, mask, head_mask, dropout_p, False, output_attentions)
    attentions = attended.attentions
    if attentions is not None:
        attentions = attentions.unflatten(2, (copies, -1)).transpose(1, 2).flatten(0, 1)
    context = attended.context.reshape(rows, tokens, heads * head_dim)
    return attended._replace(context=context, attentions=attentions)

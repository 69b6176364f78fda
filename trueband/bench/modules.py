"""The self-attention layer: projections and attention, without the output projection, which LED keeps apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from trueband.bench.contenders import Work
from trueband.bench.inputs import attention_mask, first_is_global, hidden_states, settings
from trueband.bench.shape import Shape
from trueband.optimized.layers.band_attention import BandSelfAttention
from trueband.reference.config import LEDConfig


def ours(shape: Shape) -> Work:
    config = LEDConfig(
        d_model=shape.width,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_layers=1,
        attention_window=2 * shape.window,
    )
    layer = BandSelfAttention(config, 0).to(**settings(shape)).eval()
    hidden, masks = hidden_states(shape), (attention_mask(shape), first_is_global(shape))

    return Work(lambda: layer(hidden, *masks, None, False).context, [hidden, *layer.parameters()])


def peer(shape: Shape) -> Work:
    layer, hidden, run = peer_layer(shape, first_is_global(shape))
    return Work(run, [hidden, *layer.parameters()])


def patched(shape: Shape) -> Work:
    from trueband.integrations.transformers import patch

    layer, hidden, run = peer_layer(shape, first_is_global(shape))
    return Work(run, [hidden, *patch(layer).parameters()])


def peer_core(shape: Shape) -> Work:
    """The layer without global tokens, less its three projections of all tokens."""
    layer, hidden, run = peer_layer(shape, None)
    parts = (layer.query, layer.key, layer.value)
    inputs = [hidden, *(tensor for part in parts for tensor in part.parameters())]
    return Work(run, inputs, less=lambda: [part(hidden) for part in parts])


def peer_layer(shape: Shape, is_global: Tensor | None) -> tuple[Any, Tensor, Any]:
    """transformers' layer, its input, and a call of the one on the other.

    As its model does: tokens are padded to whole windows, and one float mask marks masked (below 0) and global tokens.
    """
    from transformers import LEDConfig as PeerConfig
    from transformers.models.led.modeling_led import LEDEncoderSelfAttention

    config: Any = PeerConfig(
        d_model=shape.width,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_layers=1,
        attention_window=[2 * shape.window],
    )
    layer: Any = LEDEncoderSelfAttention(config, 0).to(**settings(shape)).eval()
    added = -shape.tokens % (2 * shape.window)
    hidden = pad(hidden_states(shape).detach(), (0, 0, 0, added)).requires_grad_(shape.backward)
    real = attention_mask(shape)
    everywhere = torch.ones(shape.batch, shape.tokens, dtype=torch.bool, device=shape.device)
    real = pad(everywhere if real is None else real, (0, added))
    flagged = pad(torch.zeros_like(everywhere) if is_global is None else is_global, (0, added))
    mask = flagged.to(hidden.dtype).masked_fill(~real, torch.finfo(hidden.dtype).min)

    def run() -> Tensor:
        output: Tensor = layer(
            hidden,
            attention_mask=mask,
            is_index_masked=mask < 0,
            is_index_global_attn=mask > 0,
            is_global_attn=is_global is not None,
        )[0]
        return output

    return layer, hidden, run

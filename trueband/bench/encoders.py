"""LED's encoder, end to end, in the sizes of LED-base, with random weights. b batch, n tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.bench.contenders import Work
from trueband.bench.inputs import attention_mask, first_is_global, settings
from trueband.bench.shape import ENCODER_LAYERS, FEED_FORWARD, Shape
from trueband.optimized.models.led_encoder import LEDEncoder
from trueband.reference.config import LEDConfig


def sizes(shape: Shape) -> dict[str, Any]:
    """Fields of both configurations. Positions as in LED-base, or more where the text is longer."""
    return {
        "d_model": shape.width,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "encoder_layers": ENCODER_LAYERS,
        "decoder_layers": ENCODER_LAYERS,
        "encoder_ffn_dim": FEED_FORWARD,
        "decoder_ffn_dim": FEED_FORWARD,
        "attention_window": 2 * shape.window,
        "max_encoder_position_embeddings": max(16384, shape.tokens),
        "dropout": 0.0,
    }


def token_ids(shape: Shape) -> Tensor:
    """(b, n) int64."""
    generator = torch.Generator().manual_seed(shape.tokens)
    return torch.randint(3, 1000, (shape.batch, shape.tokens), generator=generator).to(shape.device)


def ours(shape: Shape) -> Work:
    return encoder_work(shape, LEDEncoder(LEDConfig(**sizes(shape))).to(**settings(shape)).eval())


def peer(shape: Shape) -> Work:
    return encoder_work(shape, peer_encoder(shape))


def patched(shape: Shape) -> Work:
    from trueband.integrations.transformers import patch

    return encoder_work(shape, patch(peer_encoder(shape)))


def peer_encoder(shape: Shape) -> Any:
    import transformers
    from transformers.models.led.modeling_led import LEDEncoder as PeerEncoder

    transformers.logging.set_verbosity_error()  # it warns of lengths that are no whole window
    config: Any = transformers.LEDConfig(**sizes(shape))
    return PeerEncoder(config).to(**settings(shape)).eval()


def encoder_work(shape: Shape, encoder: Any) -> Work:
    ids, masks = token_ids(shape), {"global_attention_mask": first_is_global(shape).long()}
    real = attention_mask(shape)
    masks["attention_mask"] = torch.ones_like(ids) if real is None else real.long()

    def run() -> Tensor:
        states: Tensor = encoder(ids, **masks).last_hidden_state
        return states

    return Work(run, list(encoder.parameters()))

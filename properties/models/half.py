"""LED's encoder in float16: what the published model does where a layer overflows.

If anything that a layer gives is not finite, everything it gives is clamped to +-(65504 - 1000), which float16 stores
as +-64512; NaN stays NaN. All rows of the batch are looked at together, so what one of them does another may notice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trueband.reference.config import LEDConfig
from trueband.reference.led_encoder import led_embed, led_encoder_layer

LARGEST = float(np.finfo(np.float16).max)
LIMIT = float(np.float16(LARGEST - 1000))


def to_half(x: np.ndarray) -> np.ndarray:
    """The nearest numbers of float16, infinite beyond its range, as float64."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float64)


def clamped(x: np.ndarray) -> np.ndarray:
    """What leaves a layer, (b, n, D), from what it computed in float16."""
    return x if np.isfinite(x).all() else np.clip(x, -LIMIT, LIMIT)


def half_encoder(
    state: dict[str, np.ndarray],
    config: LEDConfig,
    inputs: dict[str, np.ndarray],
    dtype: str,
    clamp: Callable[[np.ndarray], np.ndarray] = clamped,
) -> list[np.ndarray]:
    """Hidden states of LED's encoder, layers in float64; in float16 each of them is stored and clamped.

    inputs: of `ModelCase`, with input_ids (b, n) or inputs_embeds (b, n, D).
    """
    ids, embeds = inputs.get("input_ids"), inputs.get("inputs_embeds")
    x = led_embed(state, "led.", "encoder", config, ids, embeds, config.max_encoder_position_embeddings)
    taps = [x]
    for i in range(config.encoder_layers):
        x = led_encoder_layer(
            state,
            f"led.encoder.layers.{i}",
            config,
            x,
            window=config.window(i),
            attention_mask=inputs["attention_mask"],
            global_attention_mask=inputs["global_attention_mask"],
        )
        x = clamp(to_half(x)) if dtype == "float16" else x
        taps.append(x)
    return taps

"""LED's encoder in float16, as the published model does it where a layer overflows.

If any output of a layer is not finite, all of its outputs are clamped to +-(65504 - 1000), which float16 stores
as +-64512; NaN stays NaN. All rows of the batch are checked together, so one row may change another.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trueband.reference.config import LEDConfig
from trueband.reference.led_encoder import led_embed, led_encoder_layer

LARGEST = float(np.finfo(np.float16).max)
LIMIT = float(np.float16(LARGEST - 1000))


def to_half(x: np.ndarray) -> np.ndarray:
    """Return the nearest numbers of float16, infinite beyond its range, as float64."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float64)


def clamped(x: np.ndarray) -> np.ndarray:
    """Return what leaves a layer, (b, n, D), from what it computed in float16."""
    return x if np.isfinite(x).all() else np.clip(x, -LIMIT, LIMIT)


def half_encoder(
    state: dict[str, np.ndarray],
    config: LEDConfig,
    inputs: dict[str, np.ndarray],
    dtype: str,
    clamp: Callable[[np.ndarray], np.ndarray] = clamped,
) -> list[np.ndarray]:
    """Return the hidden states of LED's encoder, computed in float64; for float16 each is rounded and clamped.

    Args:
        inputs: the inputs of a `ModelCase`, with input_ids (b, n) or inputs_embeds (b, n, D).
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

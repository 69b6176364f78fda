"""Bounds on the logits of a whole run: the errors of every layer, carried through to the end.

They are for two runs that need not agree bit by bit, such as those of a sequence and of the same with more padding.
A hard bound of the embeddings counts as one sigma.
"""

from __future__ import annotations

from typing import Any

from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.encoder_variance import (
    embedding_bound,
    lm_head_moments,
    longformer_layer_moments,
    roberta_layer_moments,
)
from trueband.properties.bounds.led_variance import (
    Layer,
    led_decoder_layer_moments,
    led_embedding_bound,
    led_encoder_layer_moments,
)
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments, linear_moments, sigma_bound
from trueband.properties.models.case import ModelCase
from trueband.properties.models.taps import Arrays, encoder_config, encoder_inputs, real_targets, real_tokens
from trueband.properties.models.weights import Weights
from trueband.reference.config import LEDConfig, LongformerConfig
from trueband.reference.embeddings import default_positions, embed
from trueband.reference.led_encoder import led_embed


def logits_bound(case: ModelCase, inputs: Arrays, state: Weights | None = None) -> Bound:
    """8 sigma of the logits, (b, tokens, vocabulary), of a run on these inputs (without head masks, and with the usual positions).

    state: None: that of the case.
    """
    logits = _led_logits if case.architecture == "led" else _encoder_logits
    return sigma_bound(logits(case, inputs, case.state if state is None else state))


def _encoder_logits(case: ModelCase, inputs: Arrays, state: Weights) -> Moments:
    config, precision = encoder_config(case), Precision.of(case.dtype)
    ids, embeds = inputs.get("input_ids"), inputs.get("inputs_embeds")
    words = embeds if ids is None else ids
    assert words is not None
    positions = default_positions(ids, words.shape[:2], config.pad_token_id) if config.absolute_positions else None
    start = embedding_bound(state, case.prefix, config, words, positions, precision)
    x = Moments(embed(state, config, ids, inputs_embeds=embeds, prefix=case.prefix), start.total**2)
    real = real_tokens(inputs)
    for i in range(case.layers):
        name, across = f"{case.prefix}encoder.layer.{i}", encoder_inputs(inputs)
        if isinstance(config, LongformerConfig):
            flagged = inputs["global_attention_mask"]
            x = longformer_layer_moments(state, name, config, x, config.window(i), real, flagged, precision)
        else:
            given: Any = across
            x = roberta_layer_moments(state, name, config, x, real, precision, **given)
    return lm_head_moments(state, case.prefix, config, x, precision)


def _led_logits(case: ModelCase, inputs: Arrays, state: Weights) -> Moments:
    config, precision = LEDConfig.from_dict(case.config), Precision.of(case.dtype)
    real, flagged = real_tokens(inputs), inputs["global_attention_mask"].astype(bool)
    encoded = _led_start(case, state, config, "encoder", inputs)
    for i in range(case.layers):
        layer = Layer(state, f"{case.prefix}encoder.layers.{i}", case.heads, precision)
        encoded = led_encoder_layer_moments(layer, encoded, config.window(i), real, flagged)
    x = _led_start(case, state, config, "decoder", inputs)
    for i in range(case.layers):
        layer = Layer(state, f"{case.prefix}decoder.layers.{i}", case.heads, precision)
        x = led_decoder_layer_moments(layer, x, encoded, real_targets(inputs), real)
    return linear_moments(x, state["led.shared.weight"], state["final_logits_bias"][0], precision)


def _led_start(case: ModelCase, state: Weights, config: LEDConfig, side: str, inputs: Arrays) -> Moments:
    before = "decoder_" if side == "decoder" else ""
    ids, embeds = inputs.get(f"{before}input_ids"), inputs.get(f"{before}inputs_embeds")
    words = embeds if ids is None else ids
    assert words is not None
    bound = led_embedding_bound(state, case.prefix, side, words, Precision.of(case.dtype))
    value = led_embed(state, case.prefix, side, config, ids, embeds, words.shape[1])
    return Moments(value, bound.total**2)

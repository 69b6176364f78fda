"""Bounds on the logits of a whole run: the errors of every layer, carried through to the end.

They compare two runs that need not agree bit for bit, such as those of a sequence with and without more padding.
"""

from __future__ import annotations

from typing import Any

from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.encoder_variance import (
    embedding_moments,
    lm_head_moments,
    longformer_layer_moments,
    run_roberta_layer,
)
from trueband.properties.bounds.led_variance import (
    Layer,
    led_decoder_layer_moments,
    led_embedding_moments,
    led_encoder_layer_moments,
    led_logits_moments,
)
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.models.case import ModelCase
from trueband.properties.models.model import Arrays
from trueband.properties.models.taps import encoder_config, encoder_inputs, real_targets, real_tokens, words_of
from trueband.properties.models.weights import Weights
from trueband.reference.config import LEDConfig, LongformerConfig
from trueband.reference.embeddings import default_positions


def logits_bound(case: ModelCase, inputs: Arrays, state: Weights | None = None) -> Bound:
    """Return 8 sigma of the logits, (b, tokens, vocabulary), of a run without head masks and with the usual positions.

    Args:
        state: the weights; None: those of the case.
    """
    logits = _led_logits if case.architecture == "led" else encoder_logits
    return sigma_bound(logits(case, inputs, case.state if state is None else state))


def encoder_logits(case: ModelCase, inputs: Arrays, state: Weights) -> Moments:
    """Return the logits of a model with a single stack, with the variance of their error."""
    config, precision = encoder_config(case), Precision.of(case.dtype)
    ids, words = inputs.get("input_ids"), words_of(inputs, "")
    positions = default_positions(ids, words.shape[:2], config.pad_token_id)
    x = embedding_moments(state, case.prefix, config, words, positions, precision)
    real, across = real_tokens(inputs), dict[str, Any](encoder_inputs(inputs))
    for i in range(case.layers):
        name = f"{case.prefix}encoder.layer.{i}"
        if isinstance(config, LongformerConfig):
            flagged = inputs["global_attention_mask"]
            x = longformer_layer_moments(state, name, config, x, config.window(i), real, flagged, precision)
        else:
            x = run_roberta_layer(state, name, config, x, real, precision, **across).output
    return lm_head_moments(state, case.prefix, config, x, precision)


def _led_logits(case: ModelCase, inputs: Arrays, state: Weights) -> Moments:
    config, precision, prefix = LEDConfig.from_dict(case.config), Precision.of(case.dtype), case.prefix
    real, flagged = real_tokens(inputs), inputs["global_attention_mask"].astype(bool)
    encoded = led_embedding_moments(state, prefix, "encoder", words_of(inputs, ""), precision)
    for i in range(case.layers):
        layer = Layer(state, f"{prefix}encoder.layers.{i}", case.heads, precision)
        encoded = led_encoder_layer_moments(layer, encoded, config.window(i), real, flagged)
    x = led_embedding_moments(state, prefix, "decoder", words_of(inputs, "decoder_"), precision)
    for i in range(case.layers):
        layer = Layer(state, f"{prefix}decoder.layers.{i}", case.heads, precision)
        x = led_decoder_layer_moments(layer, x, encoded, real_targets(inputs), real)
    return led_logits_moments(state, x, precision)

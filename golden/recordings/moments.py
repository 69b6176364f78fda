"""Taps of one stage at selected rows: values in float64 and the variance of an implementation's error, in one go.

A stage is fed its own recorded input, so that errors do not add up over the layers and the first wrong layer is the one
that fails. Only the selected rows are computed: rows times tokens, not tokens squared.
Shapes: b batch, r selected rows, n tokens of the encoder, m of the decoder, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trueband.golden.recordings.model import Inputs, Recorded, parts_of
from trueband.golden.recordings.rows import Rows
from trueband.properties.bounds.encoder_variance import embedding_moments, lm_head_moments
from trueband.properties.bounds.layer_variance import (
    LED_DECODER,
    LED_ENCODER,
    ROBERTA,
    Attention,
    AttentionParts,
    Layer,
    Visible,
)
from trueband.properties.bounds.led_variance import led_embedding_moments, led_logits_moments
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments, gelu_moments
from trueband.reference.config import LEDConfig, LongformerConfig
from trueband.reference.embeddings import check_mask, positions_from_ids
from trueband.reference.full_attention import visible_keys
from trueband.reference.led_encoder import EPS
from trueband.reference.masks import Bool, global_tokens, visible_to_global_rows, visible_to_local_rows

Taps = dict[str, Moments]


def stage_moments(
    model: Recorded, stage: str, inputs: Inputs, entering: Mapping[str, Moments], rows: Rows, precision: Precision
) -> Taps:
    """Taps of a stage by their names, (b, r, D) each; "logits" (b, r, vocabulary).

    Args:
        stage: one of `model.stages`.
        inputs: ids and masks, see `check_inputs`.
        entering: what the stage reads, (b, n, D), under its name; of decoder layers also "encoded".
        rows: of the side that the stage belongs to.
        precision: of the implementation that is to be judged.
    """
    side, kind, number = parts_of(stage)
    if kind == "embeddings":
        return {stage: _embeddings(model, side, inputs, rows, precision)}
    x = entering[stage]
    if kind == "logits":
        return {stage: _logits(model, x.at(np.s_[:, rows]), precision)}
    layer = _layer(model, side, number, precision)
    if side == "decoder":
        return _decoder_layer(layer, stage, inputs, x, entering["encoded"], rows)
    return _encoder_layer(model, layer, stage, number, inputs, x, rows)


def _embeddings(model: Recorded, side: str, inputs: Inputs, rows: Rows, precision: Precision) -> Moments:
    ids = inputs["decoder_input_ids" if side == "decoder" else "input_ids"]
    if isinstance(model.config, LEDConfig):
        return led_embedding_moments(model.state, model.prefix, side, ids, precision).at(np.s_[:, rows])
    positions = positions_from_ids(ids, model.config.pad_token_id)[:, rows]
    return embedding_moments(model.state, model.prefix, model.config, ids[:, rows], positions, precision)


def _logits(model: Recorded, x: Moments, precision: Precision) -> Moments:
    if isinstance(model.config, LEDConfig):
        return led_logits_moments(model.state, x, precision)
    return lm_head_moments(model.state, model.prefix, model.config, x, precision)


def _layer(model: Recorded, side: str, number: int, precision: Precision) -> Layer:
    config = model.config
    if not isinstance(config, LEDConfig):
        name, heads = f"{model.prefix}encoder.layer.{number}", config.num_attention_heads
        return Layer(model.state, name, heads, precision, ROBERTA, config.layer_norm_eps)
    heads = config.decoder_attention_heads if side == "decoder" else config.encoder_attention_heads
    parts = LED_DECODER if side == "decoder" else LED_ENCODER
    return Layer(model.state, f"{model.prefix}{side}.layers.{number}", heads, precision, parts, EPS)


def _encoder_layer(
    model: Recorded, layer: Layer, stage: str, number: int, inputs: Inputs, x: Moments, rows: Rows
) -> Taps:
    ids = inputs["input_ids"]
    real = check_mask("attention_mask", inputs.get("attention_mask"), ids.shape, default=True)
    config, visible = model.config, {"": visible_keys(real, len(rows), causal=False)}
    if isinstance(config, LongformerConfig | LEDConfig):
        flagged = check_mask("global_attention_mask", inputs.get("global_attention_mask"), ids.shape, default=False)
        visible = _banded(real, global_tokens(flagged, real), config.window(number), rows)
    attended = _attended(layer, layer.parts.own, x.at(np.s_[:, rows]), x, visible)
    return {f"{stage}.attention": attended, stage: _fed_forward(layer, attended)}


def _decoder_layer(layer: Layer, stage: str, inputs: Inputs, x: Moments, encoded: Moments, rows: Rows) -> Taps:
    shape = inputs["decoder_input_ids"].shape
    real = check_mask("decoder_attention_mask", inputs.get("decoder_attention_mask"), shape, default=True)
    keys = check_mask("attention_mask", inputs.get("attention_mask"), encoded.value.shape[:2], default=True)
    causal = visible_keys(real, shape[1], causal=True)[:, rows]
    own = _attended(layer, layer.parts.own, x.at(np.s_[:, rows]), x, {"": causal})
    assert layer.parts.cross is not None
    across = _attended(layer, layer.parts.cross, own, encoded, {"": visible_keys(keys, len(rows), causal=False)})
    return {f"{stage}.attention": own, f"{stage}.cross_attention": across, stage: _fed_forward(layer, across)}


def _banded(real: Bool, is_global: Bool, window: int, rows: Rows) -> Visible:
    local = visible_to_local_rows(real, is_global, window, (1,), causal=False)
    return {"": local[:, 0, rows], "_global": visible_to_global_rows(real, is_global, 1)[:, 0, rows]}


def _attended(layer: Layer, parts: AttentionParts, own: Moments, keys: Moments, visible: Visible) -> Moments:
    """LayerNorm(x + output(attention)), (b, r, D)."""
    return layer.attended(Attention(layer, parts, layer.heads, own, keys, visible), own)


def _fed_forward(layer: Layer, attended: Moments) -> Moments:
    inner = gelu_moments(layer.linear(layer.parts.inner, attended), layer.precision)
    return layer.added(layer.parts.norm, attended, layer.linear(layer.parts.outer, inner))

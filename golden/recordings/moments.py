"""Taps of one stage at selected rows: values in float64 and the variance of an implementation's error, in one go.

A stage is fed its own recorded input, so that errors do not add up over the layers and the first wrong layer is the one
that fails. Only the selected rows are computed: rows times tokens, not tokens squared.
Shapes: b batch, r selected rows, n tokens of the encoder, m of the decoder, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trueband.golden.recordings.heads import head_moments, pooler_moments
from trueband.golden.recordings.inputs import Array, Inputs, texts
from trueband.golden.recordings.model import Recorded, parts_of
from trueband.golden.recordings.rows import Rows
from trueband.properties.bounds.encoder_variance import embedding_moments, encoder_layer, relative_positions
from trueband.properties.bounds.layer_variance import (
    LED_DECODER,
    LED_ENCODER,
    Attention,
    AttentionParts,
    Layer,
    Visible,
)
from trueband.properties.bounds.led_variance import led_embedding_moments
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments, Relative, gelu_moments
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import check_mask, positions_from_ids
from trueband.reference.full_attention import visible_keys
from trueband.reference.led_encoder import EPS
from trueband.reference.masks import global_tokens, visible_to_global_rows, visible_to_local_rows

Taps = dict[str, Moments]


def stage_moments(
    model: Recorded, stage: str, inputs: Inputs, entering: Mapping[str, Moments], rows: Rows, precision: Precision
) -> Taps:
    """Taps of a stage by their names, (b, r, D) each; "logits" (b, r, vocabulary), or what the head gives.

    Args:
        stage: one of `model.stages`.
        inputs: ids and masks, see `check_inputs`.
        entering: what the stage reads, (b, n, D) or (b, D), under its name; of decoder layers also "encoded".
        rows: the rows of the side that the stage belongs to.
        precision: the precision of the implementation that is to be judged.
    """
    side, kind, number = parts_of(stage)
    own = texts(model, inputs)
    if kind == "embeddings":
        return {stage: _embeddings(model, side, own, rows, precision)}
    x = entering[stage]
    if kind == "pooler":
        return {stage: pooler_moments(model.state, model.prefix, x, precision)}
    if kind == "logits":
        x = x if x.value.ndim == 2 else x.at(np.s_[:, rows])
        of_head = head_moments(model.head, model.state, model.config, model.prefix, x, precision)
        if model.head != "MultipleChoice":
            return of_head
        by_choice = inputs["input_ids"].shape[:2]
        return {name: Moments(*(part.reshape(by_choice) for part in moments)) for name, moments in of_head.items()}
    if side == "decoder":
        return _decoder_layer(_led_layer(model, side, number, precision), stage, own, x, entering["encoded"], rows)
    if isinstance(model.config, XLMRobertaConfig):
        return _roberta_layer(model, model.config, stage, number, own, x, entering.get("encoded"), rows, precision)
    return _banded_layer(model, stage, number, own, x, rows, precision)


def _embeddings(model: Recorded, side: str, inputs: Inputs, rows: Rows, precision: Precision) -> Moments:
    ids = inputs["decoder_input_ids" if side == "decoder" else "input_ids"]
    if isinstance(model.config, LEDConfig):
        return led_embedding_moments(model.state, model.prefix, side, ids, precision).at(np.s_[:, rows])
    positions = positions_from_ids(ids, model.config.pad_token_id)[:, rows]
    return embedding_moments(model.state, model.prefix, model.config, ids[:, rows], positions, precision)


def _led_layer(model: Recorded, side: str, number: int, precision: Precision) -> Layer:
    config = model.config
    assert isinstance(config, LEDConfig)
    heads = config.decoder_attention_heads if side == "decoder" else config.encoder_attention_heads
    parts = LED_DECODER if side == "decoder" else LED_ENCODER
    return Layer(model.state, f"{model.prefix}{side}.layers.{number}", heads, precision, parts, EPS)


def _banded_layer(
    model: Recorded, stage: str, number: int, inputs: Inputs, x: Moments, rows: Rows, precision: Precision
) -> Taps:
    """The moments of a layer of Longformer, or of LED's encoder."""
    config, ids = model.config, inputs["input_ids"]
    assert isinstance(config, LongformerConfig | LEDConfig)
    if isinstance(config, LEDConfig):
        layer = _led_layer(model, "encoder", number, precision)
    else:
        layer = encoder_layer(model.state, f"{model.prefix}encoder.layer.{number}", config, precision)
    real = check_mask("attention_mask", inputs.get("attention_mask"), ids.shape, default=True)
    flagged = check_mask("global_attention_mask", inputs.get("global_attention_mask"), ids.shape, default=False)
    is_global = global_tokens(flagged, real)
    local = visible_to_local_rows(real, is_global, config.window(number), (1,), causal=False)
    seen = {"": local[:, 0, rows], "_global": visible_to_global_rows(real, is_global, 1)[:, 0, rows]}
    attended = _attended(layer, layer.parts.own, x.at(np.s_[:, rows]), x, seen)
    return {f"{stage}.attention": attended, stage: _fed_forward(layer, attended)}


def _roberta_layer(
    model: Recorded,
    config: XLMRobertaConfig,
    stage: str,
    number: int,
    inputs: Inputs,
    x: Moments,
    encoded: Moments | None,
    rows: Rows,
    precision: Precision,
) -> Taps:
    name, tokens = f"{model.prefix}encoder.layer.{number}", x.value.shape[1]
    layer = encoder_layer(model.state, name, config, precision)
    real = check_mask("attention_mask", inputs.get("attention_mask"), x.value.shape[:2], default=True)
    seen = {"": visible_keys(real, tokens, config.is_decoder)[:, rows]}
    relative = relative_positions(model.state, name, config, rows, tokens)
    attended = _attended(layer, layer.parts.own, x.at(np.s_[:, rows]), x, seen, relative)
    taps = {f"{stage}.attention": attended}
    if encoded is not None:
        attended = _across(layer, attended, encoded, inputs.get("encoder_attention_mask"))
        taps[f"{stage}.cross_attention"] = attended
    return taps | {stage: _fed_forward(layer, attended)}


def _decoder_layer(layer: Layer, stage: str, inputs: Inputs, x: Moments, encoded: Moments, rows: Rows) -> Taps:
    shape = inputs["decoder_input_ids"].shape
    real = check_mask("decoder_attention_mask", inputs.get("decoder_attention_mask"), shape, default=True)
    causal = visible_keys(real, shape[1], causal=True)[:, rows]
    own = _attended(layer, layer.parts.own, x.at(np.s_[:, rows]), x, {"": causal})
    across = _across(layer, own, encoded, inputs.get("attention_mask"))
    return {f"{stage}.attention": own, f"{stage}.cross_attention": across, stage: _fed_forward(layer, across)}


def _across(layer: Layer, own: Moments, encoded: Moments, mask: Array | None) -> Moments:
    """LayerNorm(x + output(cross-attention)), (b, r, D); its heads are never pruned."""
    real = check_mask("encoder_attention_mask", mask, encoded.value.shape[:2], default=True)
    seen = {"": visible_keys(real, own.value.shape[1], causal=False)}
    assert layer.parts.cross is not None
    heads = layer.heads if layer.cross_heads is None else layer.cross_heads
    return _attended(layer._replace(heads=heads), layer.parts.cross, own, encoded, seen)


def _attended(
    layer: Layer, parts: AttentionParts, own: Moments, keys: Moments, visible: Visible, relative: Relative | None = None
) -> Moments:
    """LayerNorm(x + output(attention)), (b, r, D)."""
    return layer.attended(Attention(layer, parts, layer.heads, own, keys, visible, relative=relative), own)


def _fed_forward(layer: Layer, attended: Moments) -> Moments:
    inner = gelu_moments(layer.linear(layer.parts.inner, attended), layer.precision)
    return layer.added(layer.parts.norm, attended, layer.linear(layer.parts.outer, inner))

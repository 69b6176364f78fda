"""The reference as the witness of taps: every stage fed its recorded input, all rows, with dense masks.

    taps(model_class, config, state, inputs, entering, dtype) -> {"taps": {name: array}, "wiring": [...], "dtype": name}

is the form of a witness. model_class: of the Hub's names. config, state, inputs: as in `trueband.golden.witness`.
entering: what each stage reads. taps: all rows, (b, n, D). wiring: a line for each stage that did not read what the
stage before it gave; stages that are called one by one have none. dtype: that it computed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.model import Inputs, Recorded, described, parts_of
from trueband.reference.arguments import Float
from trueband.reference.config import LEDConfig, LongformerConfig
from trueband.reference.embeddings import embed
from trueband.reference.layers import State, attention_output, feed_forward, layer_norm, linear, lm_head
from trueband.reference.led import led_conditional_generation, led_lm_head, led_model
from trueband.reference.led_decoder import led_decoder_layer
from trueband.reference.led_encoder import EPS, led_embed, led_encoder_layer_output
from trueband.reference.longformer import longformer_model, longformer_self_attention
from trueband.reference.roberta import roberta_model
from trueband.reference.roberta_attention import roberta_self_attention

Array = NDArray[Any]
Arrays = dict[str, Array]
REFERENCE_TAPS = "trueband.golden.recordings.reference:reference_taps"


def reference_taps(
    model_class: str, config: dict[str, Any], state: Arrays, inputs: Inputs, entering: Mapping[str, Array], dtype: str
) -> dict[str, Any]:
    """In float64, whatever the dtype asked for."""
    model = described(config, state)
    taps: Arrays = {}
    for stage in model.stages:
        taps |= _stage(model, stage, inputs, entering)
    return {"taps": taps, "wiring": [], "dtype": "float64"}


def natural_states(model: Recorded, inputs: Inputs) -> Arrays:
    """What each stage reads in a run of the whole model, float64; of a decoder "encoded" too."""
    given: dict[str, Any] = {name: array for name, array in inputs.items() if name != "input_ids"}
    ids = inputs["input_ids"]
    if isinstance(model.config, LEDConfig):
        if model.has_logits:
            output: Any = led_conditional_generation(model.state, model.config, ids, **given)
        else:
            output = led_model(model.state, model.config, ids, prefix=model.prefix, **given)
        return entering_of(model, output.encoder_hidden_states, output.decoder_hidden_states)
    if isinstance(model.config, LongformerConfig):
        output = longformer_model(model.state, model.config, ids, prefix=model.prefix, add_pooling_layer=False, **given)
    else:
        output = roberta_model(model.state, model.config, ids, prefix=model.prefix, add_pooling_layer=False, **given)
    return entering_of(model, output.hidden_states)


def entering_of(model: Recorded, encoder: Any, decoder: Any = None) -> Arrays:
    """Hidden states (after the embeddings, and after each layer) under the names of the stages that read them."""
    found: Arrays = {}
    for side, states in (("encoder.", encoder), ("decoder.", decoder)) if decoder is not None else (("", encoder),):
        found |= {f"{side}layer.{i}": state for i, state in enumerate(states[:-1])}
    if decoder is not None:
        found["encoded"] = encoder[-1]
    if model.has_logits:
        found["logits"] = (encoder if decoder is None else decoder)[-1]
    return found


def _stage(model: Recorded, stage: str, inputs: Inputs, entering: Mapping[str, Array]) -> dict[str, Float]:
    side, kind, number = parts_of(stage)
    if kind == "embeddings":
        return {stage: _embeddings(model, side, inputs)}
    x = entering[stage].astype(np.float64)
    if kind == "logits":
        return {stage: _logits(model, x)}
    if side == "decoder":
        return _decoder_layer(model, stage, number, inputs, x, entering["encoded"].astype(np.float64))
    return _encoder_layer(model, stage, number, inputs, x)


def _embeddings(model: Recorded, side: str, inputs: Inputs) -> Float:
    ids = inputs["decoder_input_ids" if side == "decoder" else "input_ids"]
    if isinstance(model.config, LEDConfig):
        return led_embed(model.state, model.prefix, side, model.config, ids, None, ids.shape[1])
    return embed(model.state, model.config, ids, prefix=model.prefix)


def _logits(model: Recorded, x: Float) -> Float:
    if isinstance(model.config, LEDConfig):
        return led_lm_head(model.state, x)
    return lm_head(model.state, x, model.config.layer_norm_eps, model.prefix)


def _encoder_layer(model: Recorded, stage: str, number: int, inputs: Inputs, x: Float) -> dict[str, Float]:
    config, state, mask = model.config, model.state, inputs.get("attention_mask")
    flags = inputs.get("global_attention_mask")
    if isinstance(config, LEDConfig):
        name = f"{model.prefix}encoder.layers.{number}"
        output, attention = led_encoder_layer_output(
            state, name, config, x, window=config.window(number), attention_mask=mask, global_attention_mask=flags
        )
        attended = _led_attended(state, f"{name}.self_attn", "output", x, attention.context)
        return {f"{stage}.attention": attended, stage: output}
    name, eps = f"{model.prefix}encoder.layer.{number}", config.layer_norm_eps
    if isinstance(config, LongformerConfig):
        attention = longformer_self_attention(
            state, name, config, x, window=config.window(number), attention_mask=mask, global_attention_mask=flags
        )
    else:
        attention = roberta_self_attention(state, name, config, x, mask)
    attended = attention_output(state, f"{name}.attention", x, attention.context, eps)
    return {f"{stage}.attention": attended, stage: feed_forward(state, name, attended, eps)}


def _decoder_layer(
    model: Recorded, stage: str, number: int, inputs: Inputs, x: Float, encoded: Float
) -> dict[str, Float]:
    assert isinstance(model.config, LEDConfig)
    name = f"{model.prefix}decoder.layers.{number}"
    layer = led_decoder_layer(
        model.state, name, model.config, x, encoded, attention_mask=inputs.get("decoder_attention_mask"),
        encoder_attention_mask=inputs.get("attention_mask"),
    )  # fmt: skip
    own = _led_attended(model.state, f"{name}.self_attn", "out_proj", x, layer.self_attention.context)
    across = _led_attended(model.state, f"{name}.encoder_attn", "out_proj", own, layer.cross_attention.context)
    return {f"{stage}.attention": own, f"{stage}.cross_attention": across, stage: layer.hidden_states}


def _led_attended(state: State, name: str, projection: str, x: Float, context: Float) -> Float:
    """LayerNorm(x + projection(context))."""
    return layer_norm(state, f"{name}_layer_norm", x + linear(state, f"{name}.{projection}", context), EPS)

"""The reference as the witness of taps: every stage fed its recorded input, all rows, with dense masks.

    taps(model_class, config, state, inputs, entering, dtype) -> {"taps": {name: array}, "wiring": [...], "dtype": name}

is the form of a witness. model_class: of the Hub's names. config, state, inputs: as in `trueband.golden.witness`.
entering: what each stage reads. taps: all rows, (b, n, D), or what the pooler and the head give. wiring: a line for
each stage that did not read what the stage before it gave; stages that are called one by one have none. dtype: that it
computed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.heads import token_of_texts
from trueband.golden.recordings.inputs import STATES, Inputs, texts
from trueband.golden.recordings.model import Recorded, described, parts_of
from trueband.reference.arguments import Float
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import embed
from trueband.reference.heads import span_logits
from trueband.reference.layers import (
    State,
    attention_output,
    classification_head,
    feed_forward,
    layer_norm,
    linear,
    lm_head,
    pooler,
)
from trueband.reference.led import led_lm_head, led_model
from trueband.reference.led_decoder import led_decoder_layer
from trueband.reference.led_encoder import EPS, led_embed, led_encoder_layer_output
from trueband.reference.longformer import longformer_model, longformer_self_attention
from trueband.reference.roberta import roberta_model
from trueband.reference.roberta_attention import roberta_cross_attention, roberta_self_attention

Array = NDArray[Any]
Arrays = dict[str, Array]


def reference_taps(
    model_class: str, config: dict[str, Any], state: Arrays, inputs: Inputs, entering: Mapping[str, Array], dtype: str
) -> dict[str, Any]:
    """Compute the taps in float64, whatever the dtype of the golden."""
    model = described(config, state)
    taps: Arrays = {}
    for stage in model.stages:
        taps |= _stage(model, stage, inputs, entering)
    return {"taps": taps, "wiring": [], "dtype": "float64"}


def natural_states(model: Recorded, inputs: Inputs) -> Arrays:
    """Compute what each stage reads in a run of the whole model, float64; for a decoder also "encoded"."""
    arguments: dict[str, Any] = texts(model, inputs)
    ids = arguments.pop("input_ids")
    if isinstance(model.config, LEDConfig):
        output: Any = led_model(model.state, model.config, ids, prefix=model.prefix, **arguments)
        return entering_of(model, inputs, output.encoder_hidden_states, output.decoder_hidden_states)
    if isinstance(model.config, LongformerConfig):
        output = longformer_model(
            model.state, model.config, ids, prefix=model.prefix, add_pooling_layer=False, **arguments
        )
    else:
        output = roberta_model(
            model.state, model.config, ids, prefix=model.prefix, add_pooling_layer=False, **arguments
        )
    return entering_of(model, inputs, output.hidden_states)


def entering_of(model: Recorded, inputs: Inputs, encoder: Any, decoder: Any = None) -> Arrays:
    """Hidden states (after the embeddings, and after each layer) under the names of the stages that read them."""
    entering: Arrays = {}
    for side, states in (("encoder.", encoder), ("decoder.", decoder)) if decoder is not None else (("", encoder),):
        entering |= {f"{side}layer.{i}": state for i, state in enumerate(states[:-1])}
    last = (encoder if decoder is None else decoder)[-1]
    if decoder is not None:
        entering["encoded"] = encoder[-1]
    if model.has_pooler:
        entering["pooler"] = last
    if model.reads is not None:
        if model.reads.reads == "pooled":
            last = pooler(model.state, last, model.prefix)
        elif model.reads.reads == "token":
            last = last[np.arange(len(last)), token_of_texts(model.config, inputs["input_ids"])]
        entering["logits"] = last
    return entering


def _stage(model: Recorded, stage: str, inputs: Inputs, entering: Mapping[str, Array]) -> dict[str, Float]:
    side, kind, number = parts_of(stage)
    own = texts(model, inputs)
    if kind == "embeddings":
        return {stage: _embeddings(model, side, own)}
    x = entering[stage].astype(np.float64)
    if kind == "pooler":
        return {stage: pooler(model.state, x, model.prefix)}
    if kind == "logits":
        return _head(model, inputs, x)
    if side == "decoder":
        return _decoder_layer(model, stage, number, own, x, entering["encoded"].astype(np.float64))
    return _encoder_layer(model, stage, number, own, x)


def _head(model: Recorded, inputs: Inputs, x: Float) -> dict[str, Float]:
    """Compute a head's outputs from its input."""
    led = isinstance(model.config, LEDConfig)
    if model.head == "QuestionAnswering":
        start, end = span_logits(model.state, x)
        return {"start_logits": start, "end_logits": end}
    if model.head == "SequenceClassification":
        return {"logits": classification_head(model.state, "classification_head" if led else "classifier", x)}
    if model.head == "MultipleChoice":
        return {"logits": linear(model.state, "classifier", x).reshape(inputs["input_ids"].shape[:2])}
    if model.head == "TokenClassification":
        return {"logits": linear(model.state, "classifier", x)}
    if isinstance(model.config, LEDConfig):
        return {"logits": led_lm_head(model.state, x)}
    return {"logits": lm_head(model.state, x, model.config.layer_norm_eps, model.prefix)}


def _embeddings(model: Recorded, side: str, inputs: Inputs) -> Float:
    ids = inputs["decoder_input_ids" if side == "decoder" else "input_ids"]
    if isinstance(model.config, LEDConfig):
        return led_embed(model.state, model.prefix, side, model.config, ids, None, ids.shape[1])
    return embed(model.state, model.config, ids, prefix=model.prefix)


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
    taps = {f"{stage}.attention": attended}
    if isinstance(config, XLMRobertaConfig) and STATES in inputs:
        seen = (inputs[STATES].astype(np.float64), inputs.get("encoder_attention_mask"))
        cross = roberta_cross_attention(state, name, config, attended, *seen)
        attended = attention_output(state, f"{name}.crossattention", attended, cross.context, eps)
        taps[f"{stage}.cross_attention"] = attended
    return taps | {stage: feed_forward(state, name, attended, eps)}


def _decoder_layer(
    model: Recorded, stage: str, number: int, inputs: Inputs, x: Float, encoded: Float
) -> dict[str, Float]:
    assert isinstance(model.config, LEDConfig)
    name = f"{model.prefix}decoder.layers.{number}"
    layer = led_decoder_layer(
        model.state,
        name,
        model.config,
        x,
        encoded,
        attention_mask=inputs.get("decoder_attention_mask"),
        encoder_attention_mask=inputs.get("attention_mask"),
    )
    own = _led_attended(model.state, f"{name}.self_attn", "out_proj", x, layer.self_attention.context)
    across = _led_attended(model.state, f"{name}.encoder_attn", "out_proj", own, layer.cross_attention.context)
    return {f"{stage}.attention": own, f"{stage}.cross_attention": across, stage: layer.hidden_states}


def _led_attended(state: State, name: str, projection: str, x: Float, context: Float) -> Float:
    """LayerNorm(x + projection(context))."""
    return layer_norm(state, f"{name}_layer_norm", x + linear(state, f"{name}.{projection}", context), EPS)

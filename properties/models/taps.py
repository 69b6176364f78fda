"""Judges a model tap by tap: each layer against the reference, which is fed the candidate's own input.

`output` is a candidate's result in the form of `witness`, `inputs` are its arguments, and `state` holds the weights
that it should have used, None for those of the case.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from trueband.properties.bounds.encoder_variance import (
    embedding_bound,
    lm_head_moments,
    longformer_layer_moments,
    run_roberta_layer,
)
from trueband.properties.bounds.layers import linear_bound
from trueband.properties.bounds.led_variance import (
    Layer,
    led_decoder_layer_moments,
    led_embedding_bound,
    led_encoder_layer_moments,
)
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.models.case import ModelCase
from trueband.properties.models.model import Arrays
from trueband.properties.models.weights import Weights
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.config import FAMILIES, LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import default_positions, embed
from trueband.reference.layers import lm_head
from trueband.reference.led import led_lm_head
from trueband.reference.led_decoder import led_decoder_layer
from trueband.reference.led_encoder import led_embed, led_encoder_layer
from trueband.reference.longformer import longformer_layer
from trueband.reference.roberta import roberta_layer


def judge_all(
    case: ModelCase, inputs: Arrays, output: dict[str, Any], state: Weights | None = None
) -> Iterator[Verdict]:
    """Judge every tap from the ids to the logits."""
    yield from judge_embeddings(case, inputs, output, state)
    yield from judge_layers(case, inputs, output, state)
    if case.architecture == "led":
        yield from judge_decoder_layers(case, inputs, output, state)
    yield judge_logits(case, output, state)


def judge_embeddings(
    case: ModelCase, inputs: Arrays, output: dict[str, Any], state: Weights | None = None
) -> Iterator[Verdict]:
    state, precision = case.state if state is None else state, Precision.of(case.dtype)
    if case.architecture != "led":
        passed = {name: inputs.get(name) for name in ("inputs_embeds", "token_type_ids", "position_ids")}
        config, ids = encoder_config(case), inputs.get("input_ids")
        words = passed["inputs_embeds"] if ids is None else ids
        assert words is not None
        positions = inputs.get("position_ids")
        if positions is None:
            positions = default_positions(ids, words.shape[:2], config.pad_token_id)
        bound = embedding_bound(
            state,
            case.prefix,
            config,
            words,
            positions,
            precision,
            passed["token_type_ids"],
        )
        expected = embed(state, config, ids, prefix=case.prefix, **passed)
        yield judge(output["hidden_states"][0], expected, bound, "embeddings")
        return
    led = LEDConfig.from_dict(case.config)
    for side, taps, prefix in (("encoder", "encoder_hidden_states", ""), ("decoder", "hidden_states", "decoder_")):
        words = words_of(inputs, prefix)
        ids, embeds = (words, None) if words.ndim == 2 else (None, words)
        expected = led_embed(state, case.prefix, side, led, ids, embeds, words.shape[1])
        bound = led_embedding_bound(state, case.prefix, side, words, precision)
        yield judge(output[taps][0], expected, bound, f"embeddings of the {side}")


def judge_layers(
    case: ModelCase, inputs: Arrays, output: dict[str, Any], state: Weights | None = None
) -> Iterator[Verdict]:
    """Judge the layers of the encoder, or of the only stack."""
    state = case.state if state is None else state
    precision, real, flagged = Precision.of(case.dtype), real_tokens(inputs), inputs.get("global_attention_mask")
    taps = output["encoder_hidden_states" if case.architecture == "led" else "hidden_states"]
    for i, (entering, leaving) in enumerate(pairwise(taps)):
        if case.architecture == "led":
            assert flagged is not None
            led, name = LEDConfig.from_dict(case.config), f"{case.prefix}encoder.layers.{i}"
            expected = led_encoder_layer(
                state,
                name,
                led,
                entering,
                window=led.window(i),
                attention_mask=real,
                global_attention_mask=flagged,
            )
            layer = Layer(state, name, case.heads, precision)
            moments = led_encoder_layer_moments(layer, entering, led.window(i), real, flagged.astype(bool))
        elif case.architecture == "longformer":
            longformer, name = LongformerConfig.from_dict(case.config), f"{case.prefix}encoder.layer.{i}"
            window = longformer.window(i)
            expected = longformer_layer(
                state,
                name,
                longformer,
                entering,
                window=window,
                attention_mask=real,
                global_attention_mask=flagged,
            )
            moments = longformer_layer_moments(state, name, longformer, entering, window, real, flagged, precision)
        else:
            roberta, name = XLMRobertaConfig.from_dict(case.config), f"{case.prefix}encoder.layer.{i}"
            across: Any = encoder_inputs(inputs)
            expected = roberta_layer(state, name, roberta, entering, real, **across)
            moments = run_roberta_layer(state, name, roberta, entering, real, precision, **across).output
        yield judge(leaving, expected, sigma_bound(moments), f"layer {i} of the encoder")


def judge_decoder_layers(
    case: ModelCase, inputs: Arrays, output: dict[str, Any], state: Weights | None = None
) -> Iterator[Verdict]:
    """Judge the layers of LED's decoder."""
    state = case.state if state is None else state
    led, encoded = LEDConfig.from_dict(case.config), output["encoder_hidden_states"][-1]
    real, real_encoded = real_targets(inputs), real_tokens(inputs)
    for i, (entering, leaving) in enumerate(pairwise(output["hidden_states"])):
        name = f"{case.prefix}decoder.layers.{i}"
        expected = led_decoder_layer(
            state, name, led, entering, encoded, attention_mask=real, encoder_attention_mask=real_encoded
        ).hidden_states
        layer = Layer(state, name, case.heads, Precision.of(case.dtype))
        moments = led_decoder_layer_moments(layer, entering, encoded, real, real_encoded)
        yield judge(leaving, expected, sigma_bound(moments), f"layer {i} of the decoder")


def judge_logits(case: ModelCase, output: dict[str, Any], state: Weights | None = None) -> Verdict:
    state = case.state if state is None else state
    last, precision = output["hidden_states"][-1], Precision.of(case.dtype)
    if case.architecture == "led":
        words, bias = state["led.shared.weight"], state["final_logits_bias"][0]
        return judge(output["logits"], led_lm_head(state, last), linear_bound(last, words, bias, precision), "logits")
    config = encoder_config(case)
    expected = lm_head(state, last, config.layer_norm_eps, case.prefix)
    moments = lm_head_moments(state, case.prefix, config, last, precision)
    return judge(output["logits"], expected, sigma_bound(moments), "logits")


def encoder_config(case: ModelCase) -> LongformerConfig | XLMRobertaConfig:
    config = FAMILIES[case.architecture].config.from_dict(case.config)
    assert isinstance(config, LongformerConfig | XLMRobertaConfig)
    return config


def encoder_inputs(inputs: Arrays) -> Arrays:
    """Return the encoder's states and mask for a decoder with cross-attention, as far as the inputs have them."""
    names = ("encoder_hidden_states", "encoder_attention_mask")
    return {name: inputs[name] for name in names if name in inputs}


def words_of(inputs: Arrays, prefix: str) -> np.ndarray:
    """Return ids (b, n), or embeddings (b, n, D) in their place."""
    return inputs[f"{prefix}input_ids" if f"{prefix}input_ids" in inputs else f"{prefix}inputs_embeds"]


def real_tokens(inputs: Arrays) -> np.ndarray:
    """Return (b, n) bool: the real tokens of the encoder."""
    return inputs["attention_mask"].astype(bool)


def real_targets(inputs: Arrays) -> np.ndarray:
    """Return (b, m) bool: the real tokens of LED's decoder, all of them without a mask."""
    if "decoder_attention_mask" in inputs:
        return inputs["decoder_attention_mask"].astype(bool)
    words = inputs["decoder_input_ids" if "decoder_input_ids" in inputs else "decoder_inputs_embeds"]
    return np.ones(words.shape[:2], dtype=bool)

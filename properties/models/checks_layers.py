"""Checks of the layers. Every layer is judged alone: the reference is fed the candidate's own layer input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.encoder_variance import (
    embedding_bound,
    lm_head_moments,
    longformer_layer_moments,
    roberta_layer_moments,
)
from trueband.properties.bounds.layers import linear_bound
from trueband.properties.bounds.led_variance import (
    Layer,
    led_decoder_layer_moments,
    led_embedding_bound,
    led_encoder_layer_moments,
)
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.models.case import FIRST_WORD, VOCABULARY, ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.verdict import Verdict, judge
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_ids
from trueband.reference.layers import lm_head
from trueband.reference.led import led_lm_head
from trueband.reference.led_decoder import led_decoder_layer
from trueband.reference.led_encoder import led_embed, led_encoder_layer
from trueband.reference.longformer import longformer_layer
from trueband.reference.roberta import roberta_layer


@model_check("the embeddings are LayerNorm(word + position): positions start and skip padding as the model's do")
def check_embeddings(probe: ModelProbe) -> Iterator[Verdict]:
    case, output = probe.case, probe.forward()
    ids = case.inputs["input_ids"]
    if case.architecture != "led":
        config = _encoder_config(case)
        positions = positions_from_ids(ids, config.pad_token_id)
        bound = embedding_bound(case.state, case.prefix, config, ids, positions, probe.precision)
        yield judge(output["hidden_states"][0], embed(case.state, config, ids, prefix=case.prefix), bound, "embeddings")
        return
    led = LEDConfig.from_dict(case.config)
    for side, taps, tokens in (
        ("encoder", "encoder_hidden_states", ids),
        ("decoder", "hidden_states", case.inputs["decoder_input_ids"]),
    ):
        expected = led_embed(case.state, case.prefix, side, led, tokens, None, tokens.shape[1])
        bound = led_embedding_bound(case.state, case.prefix, side, tokens, probe.precision)
        yield judge(output[taps][0], expected, bound, f"embeddings of the {side}")


@model_check("every layer of the encoder, fed its own input, gives what the reference gives")
def check_encoder_layers(probe: ModelProbe) -> Iterator[Verdict]:
    case, output, precision = probe.case, probe.forward(), probe.precision
    taps = output["encoder_hidden_states" if case.architecture == "led" else "hidden_states"]
    for i, (entering, leaving) in enumerate(pairwise(taps)):
        if case.architecture == "led":
            led, name = LEDConfig.from_dict(case.config), f"{case.prefix}encoder.layers.{i}"
            expected = led_encoder_layer(
                case.state, name, led, entering, window=led.window(i), attention_mask=case.real,
                global_attention_mask=case.flagged,
            )  # fmt: skip
            layer = Layer(case.state, name, case.heads, precision)
            moments = led_encoder_layer_moments(layer, entering, led.window(i), case.real, case.flagged)
        elif case.architecture == "longformer":
            longformer, name = LongformerConfig.from_dict(case.config), f"{case.prefix}encoder.layer.{i}"
            window = longformer.window(i)
            expected = longformer_layer(
                case.state, name, longformer, entering, window=window, attention_mask=case.real,
                global_attention_mask=case.flagged,
            )  # fmt: skip
            moments = longformer_layer_moments(
                case.state, name, longformer, entering, window, case.real, case.flagged, precision
            )
        else:
            roberta, name = XLMRobertaConfig.from_dict(case.config), f"{case.prefix}encoder.layer.{i}"
            expected = roberta_layer(case.state, name, roberta, entering, case.real)
            moments = roberta_layer_moments(case.state, name, roberta, entering, case.real, precision)
        yield judge(leaving, expected, sigma_bound(moments), f"layer {i} of the encoder")


@model_check("every layer of the decoder, fed its own input, gives what the reference gives", ("led",))
def check_decoder_layers(probe: ModelProbe) -> Iterator[Verdict]:
    case, output = probe.case, probe.forward()
    led, encoded = LEDConfig.from_dict(case.config), output["encoder_hidden_states"][-1]
    real = np.ones(case.inputs["decoder_input_ids"].shape, dtype=bool)
    for i, (entering, leaving) in enumerate(pairwise(output["hidden_states"])):
        name = f"{case.prefix}decoder.layers.{i}"
        expected = led_decoder_layer(
            case.state, name, led, entering, encoded, encoder_attention_mask=case.real
        ).hidden_states
        layer = Layer(case.state, name, case.heads, probe.precision)
        moments = led_decoder_layer_moments(layer, entering, encoded, real, case.real)
        yield judge(leaving, expected, sigma_bound(moments), f"layer {i} of the decoder")


@model_check("the logits are those of the last hidden states, with tied embeddings and the bias added once")
def check_logits(probe: ModelProbe) -> Iterator[Verdict]:
    case, output, precision = probe.case, probe.forward(), probe.precision
    last = output["hidden_states"][-1]
    if case.architecture == "led":
        words, bias = case.state["led.shared.weight"], case.state["final_logits_bias"][0]
        yield judge(
            output["logits"], led_lm_head(case.state, last), linear_bound(last, words, bias, precision), "logits"
        )
        return
    config = _encoder_config(case)
    expected = lm_head(case.state, last, config.layer_norm_eps, case.prefix)
    moments = lm_head_moments(case.state, case.prefix, config, last, precision)
    yield judge(output["logits"], expected, sigma_bound(moments), "logits")


@model_check("what stands in masked tokens changes no real row", dtypes=("float64",))
def check_masked_ids_are_ignored(probe: ModelProbe) -> Iterator[Verdict]:
    case = probe.case
    # Of RoBERTa's kind positions follow the ids: only what comes after the last real token may change.
    behind = np.flip(np.cumsum(np.flip(case.real, 1), axis=1), 1) == 0
    changeable = ~case.real if case.architecture == "led" else behind
    other = probe.random.integers(FIRST_WORD, VOCABULARY, case.real.shape)
    changed = np.where(changeable, other, case.inputs["input_ids"])
    before, after = probe.forward(), probe.forward(input_ids=changed)
    rows = case.real[..., None] if case.architecture != "led" else np.ones((case.batch, 1, 1), dtype=bool)
    difference = np.where(rows, after["logits"] - before["logits"], 0.0)
    yield judge(difference, np.zeros_like(difference), _twice_logits(probe, before), "change of the logits")


@model_check("no logits depend on later tokens of the decoder", ("led",), ("float64",))
def check_decoder_is_causal(probe: ModelProbe) -> Iterator[Verdict]:
    case = probe.case
    targets = case.inputs["decoder_input_ids"]
    last = int(probe.random.integers(targets.shape[1]))
    changed = targets.copy()
    changed[:, last + 1 :] = (changed[:, last + 1 :] - FIRST_WORD + 1) % (VOCABULARY - FIRST_WORD) + FIRST_WORD
    before, after = probe.forward(), probe.forward(decoder_input_ids=changed)
    difference = (after["logits"] - before["logits"])[:, : last + 1]
    bound = _twice_logits(probe, before).at(np.s_[:, : last + 1])
    yield judge(difference, np.zeros_like(difference), bound, f"change of the logits up to {last}")


def _twice_logits(probe: ModelProbe, output: dict[str, Any]) -> Bound:
    """Two runs of the head on the same numbers; what masked or later tokens hold may not reach even the last layer."""
    case, last = probe.case, output["hidden_states"][-1]
    if case.architecture == "led":
        words, bias = case.state["led.shared.weight"], case.state["final_logits_bias"][0]
        return linear_bound(last, words, bias, probe.precision).scaled(2.0)
    moments = lm_head_moments(case.state, case.prefix, _encoder_config(case), last, probe.precision)
    return sigma_bound(moments).scaled(2.0)


def _encoder_config(case: ModelCase) -> LongformerConfig | XLMRobertaConfig:
    kind = LongformerConfig if case.architecture == "longformer" else XLMRobertaConfig
    return kind.from_dict(case.config)

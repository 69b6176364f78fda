"""Named checks of whole models. Every layer is judged alone: the reference is fed the candidate's own layer input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.models.case import ARCHITECTURES, FIRST_WORD, VOCABULARY, ModelCase
from trueband.properties.models.witness import ModelCandidate, ReferenceModels
from trueband.properties.verdict import Verdict, judge, judge_exact
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_ids
from trueband.reference.layers import lm_head
from trueband.reference.led import led_lm_head
from trueband.reference.led_decoder import led_decoder_layer
from trueband.reference.led_encoder import led_embed, led_encoder_layer
from trueband.reference.longformer import longformer_layer
from trueband.reference.roberta import roberta_layer

ENCODERS = ("xlm-roberta", "longformer")


class ModelProbe:
    """A candidate and one case."""

    def __init__(self, candidate: ModelCandidate, case: ModelCase) -> None:
        self.candidate, self.case = candidate, case
        self.random = np.random.default_rng([case.seed, 3])

    def forward(self, **changes: np.ndarray) -> dict[str, Any]:
        """The candidate's hidden states and logits, with some inputs changed."""
        case = self.case
        return self._float64(
            self.candidate.forward(case.architecture, case.config, case.state, {**case.inputs, **changes}, case.dtype)
        )

    def generate(self, candidate: ModelCandidate, **options: Any) -> np.ndarray:
        case = self.case
        inputs = {name: array for name, array in case.inputs.items() if name != "decoder_input_ids"}
        return candidate.generate(case.architecture, case.config, case.state, inputs, options)

    @staticmethod
    def _float64(output: dict[str, Any]) -> dict[str, Any]:
        return {
            name: [np.asarray(each, dtype=np.float64) for each in value]
            if isinstance(value, list)
            else np.asarray(value, dtype=np.float64)
            for name, value in output.items()
        }

    @property
    def precision(self) -> Precision:
        return Precision.of(self.case.dtype)


@dataclass(frozen=True)
class ModelCheck:
    """A claim about models of some architectures, in some dtypes."""

    name: str
    claim: str
    function: Callable[[ModelProbe], Iterator[Verdict]]
    architectures: tuple[str, ...]
    dtypes: tuple[str, ...]


MODEL_CHECKS: dict[str, ModelCheck] = {}


def model_check(
    claim: str, architectures: tuple[str, ...] = ARCHITECTURES, dtypes: tuple[str, ...] = ("float64", "float32")
) -> Callable[[Any], Any]:
    """Register `check_<name>` under its name."""

    def register(function: Any) -> Any:
        name = function.__name__.removeprefix("check_")
        MODEL_CHECKS[name] = ModelCheck(name, claim, function, architectures, dtypes)
        return function

    return register


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


@model_check("greedy decoding writes the reference's tokens", ("led",), ("float64",))
def check_greedy_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    yield from _same_tokens(probe, max_length=9)


@model_check("beam search writes the reference's tokens, best first", ("led",), ("float64",))
def check_beam_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    beams = 2 + probe.case.seed % 3
    yield from _same_tokens(
        probe, max_length=8, num_beams=beams, num_return_sequences=2, length_penalty=(1.0, 2.0, 0.5)[probe.case.seed % 3],
        early_stopping=(False, True, "never")[probe.case.seed % 3],
    )  # fmt: skip


@model_check("lengths, repeated n-grams and repetition are constrained as in the reference", ("led",), ("float64",))
def check_constrained_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    yield from _same_tokens(probe, max_length=10, min_length=5, no_repeat_ngram_size=2)
    yield from _same_tokens(probe, max_length=7, repetition_penalty=1.7, forced_bos_token_id=8, forced_eos_token_id=2)


def _same_tokens(probe: ModelProbe, **options: Any) -> Iterator[Verdict]:
    expected = probe.generate(ReferenceModels(), **options)
    computed = np.asarray(probe.generate(probe.candidate, **options))
    width = max(expected.shape[1], computed.shape[1])
    padded = [
        np.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=probe.case.pad_token_id)
        for ids in (computed, expected)
    ]
    yield judge_exact(*padded, f"token written with {options}")


def _twice_logits(probe: ModelProbe, output: dict[str, Any]) -> Bound:
    """Two runs of the head on the same numbers; what masked or later tokens hold may not reach even the last layer."""
    case, last = probe.case, output["hidden_states"][-1]
    if case.architecture == "led":
        words, bias = case.state["led.shared.weight"], case.state["final_logits_bias"][0]
        return linear_bound(last, words, bias, probe.precision).scaled(2.0)
    return sigma_bound(lm_head_moments(case.state, case.prefix, _encoder_config(case), last, probe.precision)).scaled(
        2.0
    )


def _encoder_config(case: ModelCase) -> LongformerConfig | XLMRobertaConfig:
    kind = LongformerConfig if case.architecture == "longformer" else XLMRobertaConfig
    return kind.from_dict(case.config)

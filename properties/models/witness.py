"""A model under test as a plain callable, and the reference as one.

    forward(architecture, config, state, inputs, dtype) -> {"hidden_states": [...], "logits": ...}, for led also
        "encoder_hidden_states"; hidden_states after the embeddings and after each layer (of the decoder for led)
    head(architecture, head, config, state, inputs, dtype) -> the model with another head, labels among the inputs:
        {"hidden_states": [...] (of the decoder for led), "logits" or "start_logits" and "end_logits", "loss"}
    generate(architecture, config, state, inputs, options, seed) -> Generated: (b * num_return_sequences, longest) ids
        and the scores of beams, in float64; seed: of the draws, with do_sample
    save(architecture, head, config, state, dtype, directory) writes a model: config.json and model.safetensors
    load(architecture, head, inputs, directory) -> what a model read from there gives: "logits", or as of `head`
    edited(architecture, config, state, words, inputs, dtype) -> "logits" after the word embeddings of the input
        have been overwritten in place
    resized(architecture, config, state, size, inputs, dtype) -> "words" (size, D), "bias" (1, size), and the
        "hidden_states" and "logits" of led with a vocabulary of another size

config: fields of `config.json`; state: arrays under the Hub's keys; inputs: as `ModelCase.inputs`, and inputs_embeds,
head masks, encoder_outputs (b, n, D) in place of the ids of led's encoder, decoder_attention_mask of the prompt of its
decoder, or output_attentions, which asks for "attentions" and "global_attentions" of the encoder; options: fields of a
generation configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trueband.properties.models.reference_checkpoints import ReferenceCheckpoints
from trueband.reference.config import GenerationConfig, LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.decoding import Generated
from trueband.reference.decoding_models import led_generate, roberta_generate
from trueband.reference.led import led_conditional_generation
from trueband.reference.led_heads import led_question_answering, led_sequence_classification
from trueband.reference.longformer import longformer_masked_lm
from trueband.reference.longformer_heads import (
    longformer_multiple_choice,
    longformer_question_answering,
    longformer_sequence_classification,
    longformer_token_classification,
)
from trueband.reference.outputs import EncoderOutput
from trueband.reference.roberta import roberta_masked_lm
from trueband.reference.roberta_heads import (
    roberta_multiple_choice,
    roberta_question_answering,
    roberta_sequence_classification,
    roberta_token_classification,
)

Arrays = dict[str, np.ndarray]
REFERENCE_HEADS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("xlm-roberta", "sequence"): (XLMRobertaConfig, roberta_sequence_classification),
    ("xlm-roberta", "token"): (XLMRobertaConfig, roberta_token_classification),
    ("xlm-roberta", "choice"): (XLMRobertaConfig, roberta_multiple_choice),
    ("xlm-roberta", "qa"): (XLMRobertaConfig, roberta_question_answering),
    ("longformer", "sequence"): (LongformerConfig, longformer_sequence_classification),
    ("longformer", "token"): (LongformerConfig, longformer_token_classification),
    ("longformer", "choice"): (LongformerConfig, longformer_multiple_choice),
    ("longformer", "qa"): (LongformerConfig, longformer_question_answering),
    ("led", "sequence"): (LEDConfig, led_sequence_classification),
    ("led", "qa"): (LEDConfig, led_question_answering),
}


class ModelCandidate(Protocol):
    """See the module's docstring."""

    @property
    def features(self) -> frozenset[str]: ...

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any: ...

    def head(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str
    ) -> Any: ...

    def generate(
        self,
        architecture: str,
        config: dict[str, Any],
        state: Arrays,
        inputs: Arrays,
        options: dict[str, Any],
        seed: int,
    ) -> Generated: ...

    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None: ...

    def load(self, architecture: str, head: str, inputs: Arrays, directory: Path) -> Any: ...

    def edited(
        self, architecture: str, config: dict[str, Any], state: Arrays, words: np.ndarray, inputs: Arrays, dtype: str
    ) -> Any: ...

    def resized(
        self, architecture: str, config: dict[str, Any], state: Arrays, size: int, inputs: Arrays, dtype: str
    ) -> Any: ...


@dataclass(frozen=True)
class ReferenceModels(ReferenceCheckpoints):
    """The reference as a candidate. It computes in float64 whatever the dtype asked for."""

    features: frozenset[str] = frozenset()

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        given: dict[str, Any] = {name: array for name, array in inputs.items() if name != "input_ids"}
        given["output_attentions"] = bool(inputs.get("output_attentions", False))
        ids = inputs.get("input_ids")
        if architecture == "led":
            led = led_conditional_generation(state, LEDConfig.from_dict(config), ids, **with_states(given))
            return {
                "hidden_states": list(led.decoder_hidden_states),
                "encoder_hidden_states": list(led.encoder_hidden_states),
                "logits": led.logits,
                "attentions": list(led.encoder_attentions or ()),
                "global_attentions": list(led.encoder_global_attentions or ()),
            }
        if architecture == "longformer":
            encoder = longformer_masked_lm(state, LongformerConfig.from_dict(config), ids, **given)
        else:
            encoder = roberta_masked_lm(state, XLMRobertaConfig.from_dict(config), ids, **given)
        return {
            "hidden_states": list(encoder.hidden_states),
            "logits": encoder.logits,
            "attentions": list(encoder.attentions or ()),
            "global_attentions": list(encoder.global_attentions or ()),
        }

    def head(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str
    ) -> Any:
        kind, model = REFERENCE_HEADS[architecture, head]
        output = model(state, kind.from_dict(config), **inputs)
        taps = output.decoder_hidden_states if architecture == "led" else output.hidden_states
        logits = ("start_logits", "end_logits") if head == "qa" else ("logits",)
        loss = np.nan if output.loss is None else output.loss
        return {"hidden_states": list(taps), "loss": loss, **{name: getattr(output, name) for name in logits}}

    def generate(
        self,
        architecture: str,
        config: dict[str, Any],
        state: Arrays,
        inputs: Arrays,
        options: dict[str, Any],
        seed: int,
    ) -> Generated:
        given: dict[str, Any] = {name: array for name, array in inputs.items() if name != "input_ids"}
        how, ids = GenerationConfig(**options), inputs.get("input_ids")
        if how.do_sample:
            given["uniforms"] = draws(how, inputs, seed)
        if architecture == "led":
            return led_generate(state, LEDConfig.from_dict(config), ids, how, **with_states(given))
        assert ids is not None
        return roberta_generate(state, XLMRobertaConfig.from_dict(config), ids, how, **given)


def with_states(given: dict[str, Any]) -> dict[str, Any]:
    """Encoder states (b, n, D) among the arguments as the reference takes them."""
    if "encoder_outputs" not in given:
        return given
    return given | {"encoder_outputs": EncoderOutput(given["encoder_outputs"], hidden_states=())}


def draws(how: GenerationConfig, inputs: Arrays, seed: int) -> np.ndarray:
    """Uniform numbers for sampling without a prompt in the decoder, (sequences, new tokens at most)."""
    ids = inputs["input_ids"]
    prompt = 1 if "global_attention_mask" in inputs else ids.shape[1]
    shape = (len(ids) * how.num_return_sequences, how.lengths(prompt)[0] - prompt)
    return np.random.default_rng(seed).random(shape)

"""A model under test as a plain callable, and the reference as one.

    forward(architecture, config, state, inputs, dtype) -> {"hidden_states": [...], "logits": ...}, for led also
        "encoder_hidden_states"; hidden_states after the embeddings and after each layer (of the decoder for led)
    generate(architecture, config, state, inputs, options) -> (b * num_return_sequences, longest) ids, in float64

config: fields of `config.json`; state: arrays under the Hub's keys; inputs: as `ModelCase.inputs`, and inputs_embeds,
head masks, or output_attentions, which asks for "attentions" and "global_attentions" of the encoder; options: fields of
a generation configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trueband.reference.config import GenerationConfig, LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.decoding_models import led_generate
from trueband.reference.led import led_conditional_generation
from trueband.reference.longformer import longformer_masked_lm
from trueband.reference.roberta import roberta_masked_lm

Arrays = dict[str, np.ndarray]


class ModelCandidate(Protocol):
    """See the module's docstring."""

    @property
    def features(self) -> frozenset[str]: ...

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any: ...

    def generate(
        self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, options: dict[str, Any]
    ) -> np.ndarray: ...


@dataclass(frozen=True)
class ReferenceModels:
    """The reference as a candidate. It computes in float64 whatever the dtype asked for."""

    features: frozenset[str] = frozenset()

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        given: dict[str, Any] = {name: array for name, array in inputs.items() if name != "input_ids"}
        given["output_attentions"] = bool(inputs.get("output_attentions", False))
        ids = inputs.get("input_ids")
        if architecture == "led":
            led = led_conditional_generation(state, LEDConfig.from_dict(config), ids, **given)
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

    def generate(
        self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, options: dict[str, Any]
    ) -> np.ndarray:
        ids = inputs["input_ids"]
        masks: dict[str, Any] = {name: inputs[name] for name in ("attention_mask", "global_attention_mask")}
        return led_generate(state, LEDConfig.from_dict(config), ids, GenerationConfig(**options), **masks).sequences

"""A model under test as a plain callable, and the reference as one.

    forward(architecture, config, state, inputs, dtype) -> {"hidden_states": [...], "logits": ...}, for led also
        "encoder_hidden_states"; hidden_states after the embeddings and after each layer (of the decoder for led)
    base(architecture, config, state, inputs, dtype) -> the model without a head (keys without its prefix):
        "hidden_states", for led also "encoder_hidden_states", and "pooler_output" (b, D), None unless the state has one
    steps(architecture, config, state, inputs, rows, following, dtype) -> as `forward` on `read_in_steps`, without
        attentions: a decoder reads what stands in inputs, keeps a cache, takes the rows (r,) of the batch from it, and
        reads the ids of `following`, arrays (r, t), in one step each
    encode(config, state, inputs, dtype) -> hidden states [...] of the encoder of led, in a dtype that may be float16
    prune(config, state, heads) -> configuration and weights of xlm-roberta's language model after its `prune_heads`
    head(architecture, head, config, state, inputs, dtype) -> the model with a head, "lm" included, labels among the
        inputs: {"hidden_states": [...], for led also "encoder_hidden_states", "logits" or "start_logits" and
        "end_logits", "loss"}
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
generation configuration. A candidate whose features have "nan_local" keeps NaN in a real token, too, from rows that do
not attend it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trueband.properties.models.half import half_encoder
from trueband.properties.models.reference_checkpoints import ReferenceCheckpoints
from trueband.reference.config import GenerationConfig, LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.decoding import Generated
from trueband.reference.decoding_models import led_generate, roberta_generate
from trueband.reference.led import led_conditional_generation, led_model
from trueband.reference.led_heads import led_question_answering, led_sequence_classification
from trueband.reference.longformer import longformer_masked_lm, longformer_model
from trueband.reference.longformer_heads import (
    longformer_multiple_choice,
    longformer_question_answering,
    longformer_sequence_classification,
    longformer_token_classification,
)
from trueband.reference.outputs import EncoderOutput, HeadOutput
from trueband.reference.pruning import prune_heads
from trueband.reference.roberta import roberta_causal_lm, roberta_masked_lm, roberta_model
from trueband.reference.roberta_heads import (
    roberta_multiple_choice,
    roberta_question_answering,
    roberta_sequence_classification,
    roberta_token_classification,
)

Arrays = dict[str, np.ndarray]


def roberta_lm(state: Arrays, config: XLMRobertaConfig, *given: Any, **options: Any) -> HeadOutput:
    """The language model that the configuration asks for: causal for a decoder."""
    model = roberta_causal_lm if config.is_decoder else roberta_masked_lm
    return model(state, config, *given, **options)


REFERENCE_HEADS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("xlm-roberta", "lm"): (XLMRobertaConfig, roberta_lm),
    ("longformer", "lm"): (LongformerConfig, longformer_masked_lm),
    ("led", "lm"): (LEDConfig, led_conditional_generation),
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

    def base(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any: ...

    def steps(
        self,
        architecture: str,
        config: dict[str, Any],
        state: Arrays,
        inputs: Arrays,
        rows: np.ndarray,
        following: list[np.ndarray],
        dtype: str,
    ) -> Any: ...

    def encode(self, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> list[np.ndarray]: ...

    def prune(
        self, config: dict[str, Any], state: Arrays, heads: dict[int, list[int]]
    ) -> tuple[dict[str, Any], Arrays]: ...

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

    features: frozenset[str] = frozenset({"nan_local"})

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        given: dict[str, Any] = {name: array for name, array in inputs.items() if name != "input_ids"}
        given["output_attentions"] = bool(inputs.get("output_attentions", False))
        ids = inputs.get("input_ids")
        if architecture == "led":
            led = led_conditional_generation(state, LEDConfig.from_dict(config), ids, **with_states(given))
            return {
                **taps(led),
                "logits": led.logits,
                "attentions": list(led.encoder_attentions or ()),
                "global_attentions": list(led.encoder_global_attentions or ()),
            }
        if architecture == "longformer":
            encoder = longformer_masked_lm(state, LongformerConfig.from_dict(config), ids, **given)
        else:
            encoder = roberta_lm(state, XLMRobertaConfig.from_dict(config), ids, **given)
        return {
            **taps(encoder),
            "logits": encoder.logits,
            "attentions": list(encoder.attentions or ()),
            "global_attentions": list(encoder.global_attentions or ()),
        }

    def base(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        given: dict[str, Any] = {name: array for name, array in inputs.items() if name != "input_ids"}
        ids = inputs.get("input_ids")
        if architecture == "led":
            led = led_model(state, LEDConfig.from_dict(config), ids, **given)
            return {**taps(led), "pooler_output": None}
        kind: Any
        kind, model = (
            (LongformerConfig, longformer_model) if architecture == "longformer" else (XLMRobertaConfig, roberta_model)
        )
        pooled = "pooler.dense.weight" in state
        output = model(state, kind.from_dict(config), ids, add_pooling_layer=pooled, **given)
        return {**taps(output), "pooler_output": output.pooler_output}

    def steps(
        self,
        architecture: str,
        config: dict[str, Any],
        state: Arrays,
        inputs: Arrays,
        rows: np.ndarray,
        following: list[np.ndarray],
        dtype: str,
    ) -> Any:
        whole = read_in_steps(architecture, inputs, rows, following)
        return self.forward(architecture, config, state, whole, dtype)

    def encode(self, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> list[np.ndarray]:
        return half_encoder(state, LEDConfig.from_dict(config), inputs, dtype)

    def prune(
        self, config: dict[str, Any], state: Arrays, heads: dict[int, list[int]]
    ) -> tuple[dict[str, Any], Arrays]:
        pruned, after = prune_heads(state, XLMRobertaConfig.from_dict(config), heads, "roberta.")
        return after.to_dict(), pruned

    def head(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str
    ) -> Any:
        kind, model = REFERENCE_HEADS[architecture, head]
        output = model(state, kind.from_dict(config), **inputs)
        logits = ("start_logits", "end_logits") if head == "qa" else ("logits",)
        loss = np.nan if output.loss is None else output.loss
        return {**taps(output), "loss": loss, **{name: getattr(output, name) for name in logits}}

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


def taps(output: Any) -> dict[str, Any]:
    """hidden_states, and encoder_hidden_states where there is an encoder apart."""
    if not hasattr(output, "decoder_hidden_states"):
        return {"hidden_states": list(output.hidden_states)}
    states = (output.decoder_hidden_states, output.encoder_hidden_states)
    return dict(zip(("hidden_states", "encoder_hidden_states"), map(list, states), strict=True))


def read_in_steps(architecture: str, inputs: Arrays, rows: np.ndarray, following: list[np.ndarray]) -> Arrays:
    """The inputs of all tokens at once: some rows (r,) of the batch, then what follows them, none of it masked.

    inputs: arrays whose first axis is the batch; following: arrays of ids (r, t).
    """
    prefix = "decoder_" if architecture == "led" else ""
    ids, mask = f"{prefix}input_ids", f"{prefix}attention_mask"
    whole = {name: array[rows] for name, array in inputs.items()}
    new = np.concatenate(following, axis=1)
    real = whole.get(mask, np.ones_like(whole[ids]))
    whole[mask] = np.concatenate([real, np.ones_like(new)], axis=1)
    whole[ids] = np.concatenate([whole[ids], new], axis=1)
    return whole

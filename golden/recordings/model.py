"""A model that taps can be recorded of: its family, its configuration, and where its weights stand.

Stages are the parts that are judged alone, each fed its own recorded input: "embeddings", "layer.0", ..., "logits"; of
LED "encoder.embeddings", "encoder.layer.0", ..., "decoder.embeddings", "decoder.layer.0", ..., "logits".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.layers import State
from trueband.reference.led_decoder import shift_right

Array = NDArray[Any]
Inputs = Mapping[str, Array]
Config = XLMRobertaConfig | LongformerConfig | LEDConfig

FAMILIES: dict[str, tuple[type[Config], tuple[str, ...]]] = {  # name in the classes -> configuration, model types
    "XLMRoberta": (XLMRobertaConfig, ("xlm-roberta", "roberta")),
    "Longformer": (LongformerConfig, ("longformer",)),
    "LED": (LEDConfig, ("led",)),
}
LANGUAGE_MODELS = {"XLMRoberta": "MaskedLM", "Longformer": "MaskedLM", "LED": "ConditionalGeneration"}
PREFIXES = {"XLMRoberta": "roberta.", "Longformer": "longformer.", "LED": "led."}
ENCODER_INPUTS = ("input_ids", "attention_mask")
INPUTS = {
    "XLMRoberta": ENCODER_INPUTS,
    "Longformer": (*ENCODER_INPUTS, "global_attention_mask"),
    "LED": (*ENCODER_INPUTS, "global_attention_mask", "decoder_input_ids", "decoder_attention_mask"),
}


@dataclass(frozen=True)
class Recorded:
    """What is recorded.

    Attributes:
        family: "XLMRoberta", "Longformer" or "LED".
        config: of the model.
        state: weights of any floating dtype under the Hub's keys.
        prefix: of the keys of the model inside a model with a head; "" where it has none.
    """

    family: str
    config: Config
    state: State
    prefix: str

    @property
    def has_logits(self) -> bool:
        """Whether the head is a language-model head, the one head that is recorded."""
        marks = ("final_logits_bias", "lm_head.weight") if self.family == "LED" else ("lm_head.dense.weight",)
        return any(mark in self.state for mark in marks)

    @property
    def stages(self) -> tuple[str, ...]:
        """In the order of computation."""
        if isinstance(self.config, LEDConfig):
            sides = {"encoder": self.config.encoder_layers, "decoder": self.config.decoder_layers}
        else:
            sides = {"": self.config.num_hidden_layers}
        found = []
        for side, layers in sides.items():
            start = f"{side}." if side else ""
            found += [f"{start}embeddings", *(f"{start}layer.{i}" for i in range(layers))]
        return (*found, "logits") if self.has_logits else tuple(found)

    @property
    def model_class(self) -> str:
        """Under the Hub's name: the base model where the head is not recorded."""
        return f"{self.family}For{LANGUAGE_MODELS[self.family]}" if self.has_logits else f"{self.family}Model"


def described(config: Mapping[str, Any], state: State) -> Recorded:
    """A model by the content of its `config.json` and its weights.

    Raises:
        ValueError: a model type, or a kind of model, that taps are not recorded of.
    """
    kind = config.get("model_type")
    family = next((name for name, (_, types) in FAMILIES.items() if kind in types), None)
    if family is None:
        known = ", ".join(each for _, types in FAMILIES.values() for each in types)
        raise ValueError(f"model_type: expected one of {known}, got {kind!r}")
    settings = FAMILIES[family][0].from_dict(config)
    if isinstance(settings, XLMRobertaConfig):
        for name in ("is_decoder", "pruned_heads"):
            if getattr(settings, name):
                raise ValueError(f"{name}: expected an encoder with all its heads, got {getattr(settings, name)!r}")
        if not settings.absolute_positions:
            raise ValueError(f"position_embedding_type: expected 'absolute', got {settings.position_embedding_type!r}")
    prefix = PREFIXES[family] if any(name.startswith(PREFIXES[family]) for name in state) else ""
    return Recorded(family, settings, _completed_led(state, prefix) if family == "LED" else state, prefix)


def _completed_led(state: State, prefix: str) -> State:
    """With the shared embeddings under their own name, and a bias of zeros where the head has none."""
    shared = f"{prefix}shared.weight"
    copies = (shared, f"{prefix}encoder.embed_tokens.weight", f"{prefix}decoder.embed_tokens.weight", "lm_head.weight")
    found = dict(state)
    words = next((state[name] for name in copies if name in state), None)
    if words is None:
        raise ValueError(f"state: expected word embeddings under {shared}, got none")
    found.setdefault(shared, words)
    if "lm_head.weight" in state:
        found.setdefault("final_logits_bias", np.zeros((1, len(words))))
    return found


def parts_of(stage: str) -> tuple[str, str, int]:
    """Side, kind and number of a stage.

    >>> parts_of("decoder.layer.3"), parts_of("embeddings")
    (('decoder', 'layer', 3), ('', 'embeddings', 0))
    """
    words = stage.split(".")
    side = words.pop(0) if words[0] in ("encoder", "decoder") else ""
    return side, words[0], int(words[1]) if len(words) > 1 else 0


def check_inputs(model: Recorded, given: Inputs) -> dict[str, Array]:
    """int64 ids and masks of 0 and 1 by argument name, the decoder's ids among them.

    Raises:
        ValueError: no input_ids, an argument that the model does not have, shapes or values that it refuses.
    """
    allowed = INPUTS[model.family]
    unknown = [name for name in given if name not in allowed]
    if unknown or "input_ids" not in given:
        got = f"also {', '.join(unknown)}" if unknown else f"only {', '.join(given) or 'nothing'}"
        raise ValueError(f"inputs: expected input_ids, and of {', '.join(allowed[1:])} what is needed, got {got}")
    inputs = {name: np.asarray(given[name]) for name in allowed if name in given}
    for name, array in inputs.items():
        if array.dtype.kind not in "biu" or array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name}: expected integers of shape (batch, tokens), got {array.dtype} {array.shape}")
        inputs[name] = array.astype(np.int64)
    _check_values(model, inputs)
    if isinstance(model.config, LEDConfig) and "decoder_input_ids" not in inputs:
        start = model.config.decoder_start_token_id
        inputs["decoder_input_ids"] = shift_right(inputs["input_ids"], model.config.pad_token_id, start)
    return inputs


def _check_values(model: Recorded, inputs: Inputs) -> None:
    for name, array in inputs.items():
        like = inputs.get("decoder_input_ids" if name.startswith("decoder_") else "input_ids")
        same = array.shape[:1] if name == "decoder_input_ids" else array.shape
        wanted = inputs["input_ids"].shape[:1] if name == "decoder_input_ids" else None if like is None else like.shape
        if wanted is None:
            raise ValueError(f"{name}: expected decoder_input_ids beside it, got none")
        if same != wanted:
            raise ValueError(f"{name}: expected shape {wanted}, got {same}")
        limit = model.config.vocab_size if name.endswith("input_ids") else 2
        outside = array[(array < 0) | (array >= limit)]
        if outside.size:
            what = f"ids below {limit}" if name.endswith("input_ids") else "0 and 1 only"
            raise ValueError(f"{name}: expected {what}, got {outside[0]}")

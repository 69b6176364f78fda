"""A model that taps can be recorded of: its family, its head, its configuration, and where its weights stand.

Stages are the parts that are judged alone, each fed its own recorded input: "embeddings", "layer.0", ..., "pooler",
"logits"; of LED "encoder.embeddings", "encoder.layer.0", ..., "decoder.embeddings", "decoder.layer.0", ..., "logits".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trueband.golden.recordings.heads import Head, has_head, head_of
from trueband.reference.config import MODEL_TYPES, Config, Family, LEDConfig, XLMRobertaConfig, family_of_type
from trueband.reference.layers import State


@dataclass(frozen=True)
class Recorded:
    """The model that is recorded.

    Attributes:
        family: its names.
        config: the config of the model.
        state: weights of any floating dtype under the Hub's keys.
        prefix: the prefix of the keys of the model inside a model with a head; "" where it has none.
        head: such as "MaskedLM"; "" for the base model.
    """

    family: Family
    config: Config
    state: State
    prefix: str
    head: str

    @property
    def reads(self) -> Head | None:
        """The tap that the head reads, and those that it gives. None for a base model."""
        return head_of(self.family, self.head) if self.head else None

    @property
    def has_pooler(self) -> bool:
        """Whether the pooler is recorded: not where a head leaves it unread."""
        there = f"{self.prefix}pooler.dense.weight" in self.state
        return self.head == "MultipleChoice" or (not self.head and there and self.family.pooler)

    @property
    def stages(self) -> tuple[str, ...]:
        """The names, in the order of computation."""
        if isinstance(self.config, LEDConfig):
            sides = {"encoder": self.config.encoder_layers, "decoder": self.config.decoder_layers}
        else:
            sides = {"": self.config.num_hidden_layers}
        names = []
        for side, layers in sides.items():
            start = f"{side}." if side else ""
            names += [f"{start}embeddings", *(f"{start}layer.{i}" for i in range(layers))]
        return (*names, *(["pooler"] if self.has_pooler else []), *(["logits"] if self.head else []))

    @property
    def model_class(self) -> str:
        """Under the Hub's name."""
        return f"{self.family.class_words[0]}For{self.head}" if self.head else self.family.base_class

    @property
    def left_out(self) -> list[str]:
        """First words of the keys of a head that is not recorded."""
        outside = self.prefix and not self.head
        return sorted({name.partition(".")[0] for name in self.state if outside and not name.startswith(self.prefix)})


def described(config: Mapping[str, Any], state: State) -> Recorded:
    """A model by the content of its `config.json` and its weights.

    The head is that of the class under `architectures`; where it names no class that is known here, it is the
    language-model head if its weights are there, and none otherwise.

    Raises:
        ValueError: a model type that taps are not recorded of, or a class whose weights are not there.
    """
    kind = config.get("model_type")
    family = family_of_type(kind)
    if family is None:
        raise ValueError(f"model_type: expected one of {', '.join(MODEL_TYPES)}, got {kind!r}")
    settings = family.config.from_dict(config)
    prefix = family.prefix if any(name.startswith(family.prefix) for name in state) else ""
    head = _head(family, config.get("architectures") or [], settings, state)
    if isinstance(settings, LEDConfig):
        state = _completed_led(state, prefix, head)
    return Recorded(family, settings, state, prefix, head)


def _head(family: Family, architectures: list[str], config: Config, state: State) -> str:
    for name in architectures:
        start, _, head = name.removesuffix("Model").partition("For")
        if start not in family.class_words or (head and head not in family.class_ends):
            continue
        if head and not has_head(family, head, state) and head != "ConditionalGeneration":  # which may be all tied
            module = head_of(family, head).module
            raise ValueError(f"architectures: expected the weights {module}.* of {name}, got none")
        return head
    decoder = isinstance(config, XLMRobertaConfig) and config.is_decoder
    language = (family.decoder_head if decoder else None) or family.heads["lm"]
    return language if has_head(family, language, state) else ""


def _completed_led(state: State, prefix: str, head: str) -> State:
    """Add the shared embeddings under their own name, and a bias of zeros where a language model has none."""
    shared = f"{prefix}shared.weight"
    copies = (shared, f"{prefix}encoder.embed_tokens.weight", f"{prefix}decoder.embed_tokens.weight", "lm_head.weight")
    completed = dict(state)
    words = next((state[name] for name in copies if name in state), None)
    if words is None:
        raise ValueError(f"state: expected word embeddings under {shared}, got none")
    completed.setdefault(shared, words)
    if head == "ConditionalGeneration":
        completed.setdefault("final_logits_bias", np.zeros((1, len(words))))
    return completed


def parts_of(stage: str) -> tuple[str, str, int]:
    """Side, kind and number of a stage.

    >>> parts_of("decoder.layer.3"), parts_of("embeddings")
    (('decoder', 'layer', 3), ('', 'embeddings', 0))
    """
    words = stage.split(".")
    side = words.pop(0) if words[0] in ("encoder", "decoder") else ""
    return side, words[0], int(words[1]) if len(words) > 1 else 0

"""The families of models: what the configuration, the classes and the weights of each are called. Names only.

Every other table of the package that is about families is made of this one, that of the optimized models too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueband.reference.config.models import LEDConfig, LongformerConfig, XLMRobertaConfig

Config = XLMRobertaConfig | LongformerConfig | LEDConfig


@dataclass(frozen=True, eq=False)
class Family:
    """What the models of one family are called. There is one object for each family.

    Attributes:
        name: of the architecture, such as "xlm-roberta". It is the `model_type` that is written to `config.json`.
        class_words: what the names of its classes begin with; the first is that of the classes of this package.
        config: the class of its configurations.
        model_types: each `model_type` of a `config.json` that asks for this family, in the order of `class_words`.
        prefix: of the names of weights, for those of the model inside a model with a head.
        word_table: name of the word embeddings without the prefix.
        pooler: whether the model without a head can have a pooling layer.
        heads: short name of a head -> end of the name of the class that has it. "lm" is the language model.
        decoder_head: the same end, for the language model of a decoder without an encoder; None: there is none.
    """

    name: str
    class_words: tuple[str, ...]
    config: type[Config]
    model_types: tuple[str, ...]
    prefix: str
    word_table: str
    pooler: bool
    heads: Mapping[str, str]
    decoder_head: str | None = None

    @property
    def word_embeddings(self) -> str:
        """Name of the word embeddings in a model with a head."""
        return f"{self.prefix}{self.word_table}"

    @property
    def base_class(self) -> str:
        """The class without a head."""
        return f"{self.class_words[0]}Model"

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes of this package that the family has."""
        return (self.base_class, *(f"{self.class_words[0]}For{end}" for end in self.class_ends))

    @property
    def class_ends(self) -> tuple[str, ...]:
        """Ends of the names of all classes with a head, the language models first."""
        first, *others = self.heads.values()
        return (first, *([self.decoder_head] if self.decoder_head else []), *others)

    def class_with(self, head: str) -> str:
        """The class with a head, which is one of `heads`, or "decoder" for the language model of a decoder."""
        end = self.decoder_head if head == "decoder" else self.heads[head]
        return f"{self.class_words[0]}For{end}"


_TASKS = {
    "sequence": "SequenceClassification",
    "token": "TokenClassification",
    "choice": "MultipleChoice",
    "qa": "QuestionAnswering",
}
# RoBERTa and CamemBERT compute the same as XLM-RoBERTa.
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="xlm-roberta",
            class_words=("XLMRoberta", "Roberta", "Camembert"),
            config=XLMRobertaConfig,
            model_types=("xlm-roberta", "roberta", "camembert"),
            prefix="roberta.",
            word_table="embeddings.word_embeddings.weight",
            pooler=True,
            heads={"lm": "MaskedLM", **_TASKS},
            decoder_head="CausalLM",
        ),
        Family(
            name="longformer",
            class_words=("Longformer",),
            config=LongformerConfig,
            model_types=("longformer",),
            prefix="longformer.",
            word_table="embeddings.word_embeddings.weight",
            pooler=True,
            heads={"lm": "MaskedLM", **_TASKS},
        ),
        Family(
            name="led",
            class_words=("LED",),
            config=LEDConfig,
            model_types=("led",),
            prefix="led.",
            word_table="shared.weight",
            pooler=False,
            heads={"lm": "ConditionalGeneration", "sequence": _TASKS["sequence"], "qa": _TASKS["qa"]},
        ),
    )
}
MODEL_TYPES = tuple(model_type for family in FAMILIES.values() for model_type in family.model_types)


def family_of_type(model_type: Any) -> Family | None:
    """The family that the `model_type` of a `config.json` asks for; None where there is none."""
    return next((family for family in FAMILIES.values() if model_type in family.model_types), None)


def family_of_config(kind: type[Config]) -> Family:
    """The family that has this class of configurations.

    Raises:
        ValueError: no family has it.
    """
    for family in FAMILIES.values():
        if family.config is kind:
            return family
    known = ", ".join(family.config.__name__ for family in FAMILIES.values())
    raise ValueError(f"config: expected one of {known}, got {kind.__name__}")


def family_of_class(model_class: str) -> Family:
    """The family of a class of this package, such as "LEDForQuestionAnswering".

    Raises:
        ValueError: there is no such class.
    """
    for family in FAMILIES.values():
        if model_class in family.classes:
            return family
    raise ValueError(f"model_class: expected a class of {', '.join(FAMILIES)}, got {model_class!r}")

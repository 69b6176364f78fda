"""What every configuration does besides holding its fields: be read, written and changed, and name its labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

from trueband.reference.config.generation import ANSWERS, HARMLESS, NEUTRAL, GenerationConfig

# Fields of every configuration of the Hub that a constructor takes, too: how a model answers, and what a file says.
GENERAL = (
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "label2id",
    "architectures",
    "model_type",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "sep_token_id",
    "cls_token_id",
    "is_encoder_decoder",
    "finetuning_task",
    "task_specific_params",
    "prefix",
    "name_or_path",
    "_name_or_path",
)
DEFAULTS: dict[str, Any] = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}


@dataclass(unsafe_hash=True)
class BaseConfig:
    """Attributes:
    id2label: number of a class -> its name; None: LABEL_0, LABEL_1, ...
    others: fields of a `config.json` that this package does not compute with, by name. They are attributes, too, and go
        out as they came in.
    """

    attribute_map: ClassVar[Mapping[str, str]] = {}  # other names of a field that the Hub knows
    own_type: ClassVar[str] = ""  # the `model_type`, unless a file has said another one of the same family

    id2label: Mapping[int, str] | None = field(default=None, kw_only=True, repr=False, hash=False)
    others: dict[str, Any] = field(default_factory=dict, kw_only=True, repr=False, hash=False, compare=False)

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Bring the fields into their form.

        Raises:
            ValueError: "<field>: expected ..., got ...". A model asks for this when it is made, as fields may change.
        """
        labels = {int(number): str(name) for number, name in (self.id2label or {}).items()}
        if len(labels) != self.num_labels:
            labels = default_labels(self.num_labels)
        object.__setattr__(self, "id2label", labels)

    @property
    def label2id(self) -> dict[str, int]:
        """Name of a class -> its number."""
        own: dict[str, int] | None = self.others.get("label2id")
        return {name: number for number, name in (self.id2label or {}).items()} if own is None else own

    @property
    def named_labels(self) -> bool:
        """Whether the classes have names of their own."""
        return self.id2label != default_labels(self.num_labels)

    def __setattr__(self, name: str, value: Any) -> None:
        name = self.attribute_map.get(name, name)
        if name not in {each.name for each in dataclasses.fields(self)}:
            self.others[name] = value
            return
        object.__setattr__(self, name, value)
        if name == "id2label" and value is not None and "others" in self.__dict__:
            object.__setattr__(self, "id2label", {int(number): label for number, label in value.items()})
            object.__setattr__(self, "num_labels", len(value))
            self.others.pop("label2id", None)
        elif name == "num_labels" and "others" in self.__dict__ and len(self.id2label or {}) != value:
            object.__setattr__(self, "id2label", default_labels(value))
            self.others.pop("label2id", None)

    def __getattr__(self, name: str) -> Any:
        others = self.__dict__.get("others", {})
        if name in others:
            return others[name]
        if name == "use_return_dict":
            return self.return_dict
        if name == "model_type":
            return self.own_type
        if name in DEFAULTS:
            return DEFAULTS[name]
        raise AttributeError(f"{name}: expected a field of {type(self).__name__}, got none")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Configuration from a `config.json` mapping; keys this class does not compute with are kept in `others`.

        `id2label` tells the number of labels where `num_labels` is not there.
        """
        known = {each.name for each in dataclasses.fields(cls)} - {"others"}
        renamed = {cls.attribute_map.get(key, key): value for key, value in values.items()}
        if values.get("id2label") is not None:
            renamed.setdefault("num_labels", len(values["id2label"]))
        others = {key: value for key, value in renamed.items() if key not in known}
        return cls(**{key: value for key, value in renamed.items() if key in known}, others=others)

    def to_dict(self) -> dict[str, Any]:
        """All fields, the others too. Labels that have no names of their own are counted only."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        others = values.pop("others")
        if not self.named_labels:
            del values["id2label"]
        return {"model_type": self.own_type, **others, **values}


Class = TypeVar("Class", bound=type[BaseConfig])


def takes_general_fields(kind: Class) -> Class:
    """The class, whose constructor also takes fields by the Hub's other names, `GENERAL` ones and options of decoding.

    Any other name is a TypeError, as that of every function.
    """
    own: Callable[..., None] = kind.__init__
    free = {*GENERAL, *ANSWERS, *HARMLESS, *NEUTRAL, *(each.name for each in dataclasses.fields(GenerationConfig))}

    def __init__(self: Any, *values: Any, others: Mapping[str, Any] | None = None, **named: Any) -> None:
        known = {each.name for each in dataclasses.fields(kind)}
        renamed = {kind.attribute_map.get(name, name): value for name, value in named.items()}
        loose = {name: renamed.pop(name) for name in list(renamed) if name in free and name not in known}
        if renamed.get("id2label") is not None:
            renamed.setdefault("num_labels", len(renamed["id2label"]))
        own(self, *values, others={**(others or {}), **loose}, **renamed)

    __init__.__doc__ = own.__doc__
    __init__.__wrapped__ = own  # type: ignore[attr-defined]
    setattr(kind, "__init__", __init__)  # noqa: B010
    return kind


def default_labels(count: Any) -> dict[int, str]:
    """The names of classes that have none; no names where the count is none."""
    return {number: f"LABEL_{number}" for number in range(count)} if isinstance(count, int) else {}

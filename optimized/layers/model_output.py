"""What every output of a model is besides a dataclass: subscripted, unpacked and listed as the Hub's outputs are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

# Fields that come before all others when an output is read as a tuple.
FIRST = ("loss", "logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output", "past_key_values")


class ModelOutput:
    """The base of the outputs. Only fields that are not None are seen as a tuple or a mapping: the loss is first.

    `output["logits"]`, `output[0]`, `output[:2]`, `loss, logits = output` and `dict(output)` work; `"loss" in output`
    says whether there is one. An output can be made from a mapping of its fields, or from their (name, value) pairs.
    """

    first: ClassVar[tuple[str, ...]] = FIRST

    def __post_init__(self) -> None:
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        given = getattr(self, names[0])
        if not isinstance(given, Mapping | Iterator):
            return
        values = dict(given)
        unknown = [name for name in values if name not in names]
        if unknown:
            raise TypeError(f"{unknown[0]}: expected a field of {type(self).__name__}, got none of {', '.join(names)}")
        for name in names:
            setattr(self, name, values.get(name))

    def keys(self) -> list[str]:
        """Names of the fields that are not None, in the order of the tuple."""
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        ordered = [name for name in self.first if name in names]
        ordered += [name for name in names if name not in ordered]
        return [name for name in ordered if getattr(self, name) is not None]

    def values(self) -> list[Any]:
        return [getattr(self, name) for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.keys()]

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not None."""
        return tuple(self.values())

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name) if name in self.keys() else default

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in {field.name for field in dataclasses.fields(self)}:  # type: ignore[arg-type]
            raise KeyError(name)
        setattr(self, name, value)

    def __iter__(self) -> Iterator[Any]:
        """The values: an output is unpacked like a tuple."""
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()


Mapping.register(ModelOutput)  # for tools that walk through nested results, such as those that change their dtype

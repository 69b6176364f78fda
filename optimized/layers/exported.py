"""Dataclasses that torch.export takes among the inputs and outputs of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils import _pytree

# torch 2.6's `torch.export.register_dataclass` calls a function that warns of itself; it does the same as `_register`.
WARNS_OF_ITSELF = not hasattr(_pytree, "register_dataclass")


def register(dataclass: type[Any]) -> None:
    """Registers a dataclass, once, whose fields are tensors, nested or not, or None."""
    (_register if WARNS_OF_ITSELF else torch.export.register_dataclass)(dataclass)


def _register(dataclass: type[Any]) -> None:
    """A node whose children are the fields that are not None; its context names them."""

    def flatten(instance: Any) -> tuple[list[Any], Any]:
        fields = {field.name: getattr(instance, field.name) for field in dataclasses.fields(dataclass)}
        present = {name: value for name, value in fields.items() if value is not None}
        return list(present.values()), [list(present), [name for name in fields if name not in present]]

    def unflatten(values: Iterable[Any], context: Any) -> Any:
        names, missing = context
        return dataclass(**dict(zip(names, values, strict=True)), **dict.fromkeys(missing))

    def flatten_with_keys(instance: Any) -> tuple[list[Any], Any]:
        values, context = flatten(instance)
        # The path of a field, as torch 2.6 writes it.
        return [(_pytree.MappingKey(name), value) for name, value in zip(context[0], values, strict=True)], context

    _pytree.register_pytree_node(dataclass, flatten, unflatten, flatten_with_keys_fn=flatten_with_keys)

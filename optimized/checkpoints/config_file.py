"""`config.json`, read and written under the Hub's names."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trueband.optimized.checkpoints.weight_files import read_json
from trueband.reference.config import Config, family_of_config

NAME = "config.json"


def config_class(model_class: type[nn.Module]) -> type[Config]:
    """The configuration that a model is built from: the annotation of `config` in its `__init__`."""
    hint: type[Config] = typing.get_type_hints(model_class.__init__)["config"]
    return hint


def check_config(model_class: type[nn.Module], config: Any) -> Config:
    """The configuration that a model is to be built from, with its fields in their form.

    Raises:
        TypeError: of another class; how to make one of a configuration of transformers is said.
        ValueError: fields that the configuration refuses.
    """
    kind = config_class(model_class)
    if not isinstance(config, kind):
        module = type(config).__module__
        got, hint = f"{module}.{type(config).__name__}", ""
        if module.startswith("transformers."):
            hint = f"; trueband's {kind.__name__}.from_dict(config.to_dict()) makes one of it"
        raise TypeError(f"config: expected a {kind.__module__}.{kind.__name__}, got a {got}{hint}")
    config.validate()
    return config


def takes_pooling_layer(model_class: type[nn.Module]) -> bool:
    """Return whether a model can be built without its pooling layer."""
    return "add_pooling_layer" in inspect.signature(model_class.__init__).parameters


def read_config(directory: Path, kind: type[Config]) -> Config:
    """The configuration in a folder.

    Raises:
        ValueError: no `config.json`, not JSON, of another `model_type`, or values that the configuration refuses.
    """
    path = directory / NAME
    values = read_json(path)
    expected = family_of_config(kind).model_types
    if values.get("model_type", expected[0]) not in expected:  # old files do not say it
        wanted = " or ".join(repr(name) for name in expected)
        raise ValueError(f"{path}: expected model_type {wanted}, got {values.get('model_type')!r}")
    try:
        return kind.from_dict(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def config_content(config: Config, architecture: str, dtype: torch.dtype) -> dict[str, Any]:
    """Return the content of `config.json` for a new model: `architecture` is its class."""
    values = file_form(config)
    for name in ("num_labels", "torch_dtype"):
        values.pop(name, None)
    return values | {"architectures": [architecture], "dtype": str(dtype).removeprefix("torch.")}


def file_form(config: Config) -> dict[str, Any]:
    """All fields as JSON has them."""
    values = config.to_dict()
    labels = config.id2label or {}
    values["id2label"] = {str(number): label for number, label in labels.items()}
    values["label2id"] = dict(config.label2id)
    pruned = values.pop("pruned_heads", {})
    if pruned:
        values["pruned_heads"] = {str(layer): list(heads) for layer, heads in pruned.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

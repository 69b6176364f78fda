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
    if values.get("model_type") not in expected:
        wanted = " or ".join(repr(name) for name in expected)
        raise ValueError(f"{path}: expected model_type {wanted}, got {values.get('model_type')!r}")
    try:
        return kind.from_dict(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def config_content(config: Config, architecture: str, dtype: torch.dtype) -> dict[str, Any]:
    """Return the content of `config.json` for a model: `architecture` is its class."""
    values = config.to_dict()
    labels = [f"LABEL_{i}" for i in range(values.pop("num_labels"))]
    values["id2label"] = {str(i): label for i, label in enumerate(labels)}
    values["label2id"] = {label: i for i, label in enumerate(labels)}
    pruned = values.pop("pruned_heads", {})
    if pruned:
        values["pruned_heads"] = {str(layer): list(heads) for layer, heads in pruned.items()}
    named = {"architectures": [architecture], "model_type": family_of_config(type(config)).name}
    return named | values | {"dtype": str(dtype).removeprefix("torch.")}

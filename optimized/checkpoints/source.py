"""What a model's folder said besides its weights, kept so that it goes out as it came in."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from trueband.optimized.checkpoints.config_file import NAME, config_content, file_form
from trueband.optimized.checkpoints.weight_files import read_json
from trueband.reference.config import ANSWERS, NEUTRAL, Config, GenerationConfig, family_of_config

GENERATION = "generation_config.json"


class Source(NamedTuple):
    """Attributes:
    text, values: of `config.json`, as it is and as JSON.
    config: the configuration in it.
    dtype: that the weights are stored in; None: several.
    generation: the text of `generation_config.json`; None: there is none.
    """

    text: str
    values: dict[str, Any]
    config: Config
    dtype: torch.dtype | None
    generation: str | None


def read_source(directory: Path, config: Config, dtype: torch.dtype | None) -> Source:
    """Read the folder's texts. `config`: what its `config.json` says; a copy of it is kept."""
    path, own = directory / NAME, directory / GENERATION
    generation = own.read_text(encoding="utf-8") if own.is_file() else None
    if generation is not None:
        read_json(own)  # an error names the file
    return Source(path.read_text(encoding="utf-8"), read_json(path), copy.deepcopy(config), dtype, generation)


def config_text(source: Source | None, config: Config, model_class: str, dtype: torch.dtype) -> str:
    """The text of `config.json` for a model: that of its source, but for what has changed."""
    if source is None:
        return as_text(config_content(config, model_class, dtype))
    values, before, now = dict(source.values), source.config.to_dict(), config.to_dict()
    names = {config.attribute_map.get(name, name): name for name in values}  # as the file calls them
    changed = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    if changed & {"id2label", "label2id", "num_labels"}:
        changed |= {"id2label", "label2id"}
        changed -= {"num_labels"} if "num_labels" not in values else set()
    form = file_form(config)
    for name in changed:
        if name in form:
            values[names.get(name, name)] = form[name]
        else:
            values.pop(names.get(name, name), None)
    architecture = architecture_of(config, model_class)
    if [architecture] != (values.get("architectures") or [])[:1]:
        values["architectures"] = [architecture]
    if dtype != source.dtype:
        values["dtype" if "torch_dtype" not in values else "torch_dtype"] = str(dtype).removeprefix("torch.")
    return source.text if values == source.values else as_text(values)


def architecture_of(config: Config, model_class: str) -> str:
    """The Hub's class for a class of this package, such as RobertaModel for the XLMRobertaModel of a RoBERTa."""
    family = family_of_config(type(config))
    words = dict(zip(family.model_types, family.class_words, strict=False))
    own = family.class_words[0]
    return model_class.replace(own, words.get(config.model_type, own), 1)


def generation_values(source: Source | None, config: Config) -> dict[str, Any]:
    """The options of decoding in `generation_config.json`, or else those in `config.json`, by name."""
    if source is not None and source.generation is not None:
        values = json.loads(source.generation)
    else:
        known = (*GenerationConfig.__dataclass_fields__, *NEUTRAL)
        values = {name: value for name, value in config.others.items() if name in known}
    return {name: value for name, value in values.items() if name not in ANSWERS}


def generation_text(source: Source | None, given: Mapping[str, Any] | None) -> str | None:
    """The text of `generation_config.json`: that of the source, with what was given since; None: no file."""
    text = None if source is None else source.generation
    if given is None:
        return text
    values = {} if text is None else json.loads(text)
    new = {**values, **{name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}}
    return text if text is not None and new == values else as_text(new)


def as_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, sort_keys=True) + "\n"

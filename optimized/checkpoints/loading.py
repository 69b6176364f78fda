"""Building a model around the tensors of a checkpoint: no weight is initialized first, none is held twice.

A weight begins on a line of 64 bytes, as every tensor that torch makes: on some processors the last bits of a product
depend on where its operands lie, and a model is to compute the same before it is written and after it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from trueband.optimized.attention.chunked.space import LINE
from trueband.optimized.checkpoints.config_file import NAME, config_class, read_config, takes_pooling_layer
from trueband.optimized.checkpoints.keys import ZERO, listed, match, tied_names, with_prefix_of
from trueband.optimized.checkpoints.source import Source, read_source
from trueband.optimized.checkpoints.weight_files import FLOATS, Stored, floating, read_weights
from trueband.reference.config import Config, family_of_config

Model = TypeVar("Model", bound=nn.Module)


class Loaded(NamedTuple):
    """Attributes:
    model: in eval mode.
    initialized: names of new weights, of a head that the checkpoint does not have.
    unexpected: names in the checkpoint that the model has no place for.
    mismatched: of the new weights those whose tensors have another shape in the checkpoint.
    source: what the folder says besides.
    """

    model: Any
    initialized: list[str]
    unexpected: list[str]
    mismatched: list[str]
    source: Source


class Wanted(NamedTuple):
    """What is asked of a model besides its folder.

    Attributes:
        dtype: of the weights; "auto": that of `config.json`, or else as stored; None: as stored.
        device: None: the CPU.
        new_head: initialize a head that the checkpoint does not have.
        config: in the place of that of the folder.
        changes: fields of the configuration.
        options: arguments of the model's `__init__`.
        ignore_mismatched_sizes: initialize weights whose tensors have another shape.
    """

    dtype: torch.dtype | str | None = None
    device: torch.device | str | None = None
    new_head: bool = False
    config: Config | None = None
    changes: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}
    ignore_mismatched_sizes: bool = False


def load(model_class: type[nn.Module], directory: Path, wanted: Wanted) -> Loaded:
    """A model of a class, with the weights in a folder. See `PretrainedModel.from_pretrained`."""
    if not directory.is_dir():
        raise ValueError(f"directory: expected a folder with a checkpoint, got {directory}")
    kind = config_class(model_class)
    stored_config = read_config(directory, kind)
    config = changed_config(stored_config if wanted.config is None else wanted.config, wanted.changes, stored_config)
    dtype, new_head = checked_dtype(wanted.dtype, stored_config), wanted.new_head
    stored_copy = read_config(directory, kind)
    weights = read_weights(directory)
    options: dict[str, Any] = dict(wanted.options)
    if (
        "add_pooling_layer" not in options
        and takes_pooling_layer(model_class)
        and not any("pooler." in name for name in weights)
    ):
        options["add_pooling_layer"] = False
    try:
        with torch.device("meta"):
            model = model_class(config, **options)
    except ValueError as error:
        raise ValueError(f"{directory / NAME}: {error}") from error
    groups = tied_names(model)
    prefix = family_of_config(kind).prefix
    stored = with_prefix_of((name for group in groups.values() for name in group), weights, prefix)
    if not config.tie_word_embeddings:
        stored = untied(stored, groups)
    matched = match(groups, stored)
    mismatched = []
    if wanted.ignore_mismatched_sizes:
        mismatched = [
            name for name, here in matched.found.items() if stored[here[0]].tensor.shape != shape_of(model, name)
        ]
    for name in mismatched:
        matched.missing.append(name)
        del matched.found[name]
    head = [name for name in matched.missing if is_head(name, prefix, groups)]
    missing = [name for name in matched.missing if name not in mismatched and not (new_head and name in head)]
    if missing:
        hint = "; with new_head=True a new head is initialized" if set(missing) <= set(head) else ""
        raise ValueError(f"{_files(weights)}: expected {listed(missing)}, got no such tensors{hint}")
    if matched.missing:
        model = model_class(config, **options)  # weights of its own, for the head to start from
        if dtype is not None:
            model = model.to(dtype)
    common = dtype or _common_dtype({name: stored[here[0]] for name, here in matched.found.items()})
    for first, names in groups.items():
        if first in matched.found:
            tensor = _tied(matched.found[first], stored)
            shape = shape_of(model, first)
            if tensor.shape != shape:
                at, hint = stored[matched.found[first][0]].file, ""
                if is_head(first, prefix, groups):
                    hint = "; with ignore_mismatched_sizes=True it is initialized"
                raise ValueError(f"{at}: expected {first} of shape {tuple(shape)}, got {tuple(tensor.shape)}{hint}")
            put(model, names, on_a_line(tensor.to(common)))
        elif first == ZERO:
            put(model, names, torch.zeros(model.get_buffer(first).shape, dtype=common))
    unfilled = [name for name, value in _values(model) if value.is_meta]
    if unfilled:
        raise ValueError(f"{model_class.__name__}: expected all tensors in the state dict, got others: {unfilled}")
    if matched.missing:
        model = model.to(common)
    placed = model if wanted.device is None else model.to(wanted.device)
    dtypes = {value.tensor.dtype for value in stored.values() if value.tensor.is_floating_point()}
    source = read_source(directory, stored_copy, dtypes.pop() if len(dtypes) == 1 else None)
    return Loaded(placed.eval(), matched.missing, matched.unexpected, mismatched, source)


def changed_config(config: Config, changes: Mapping[str, Any], stored: Config) -> Config:
    """The configuration with some fields changed, in place."""
    if isinstance(config, type(stored)):  # else the model says what it expected
        for name, value in sorted(changes.items(), key=lambda item: item[0] == "label2id"):
            setattr(config, name, value)
    return config


def checked_dtype(dtype: Any, config: Config) -> torch.dtype | None:
    """The dtype that is meant; None: as stored. ValueError for others than models compute in."""
    given = dtype
    if dtype == "auto":
        dtype = config.others.get("dtype", config.others.get("torch_dtype"))
    if isinstance(dtype, str):
        dtype = getattr(torch, dtype.removeprefix("torch."), dtype)
    if dtype is not None and dtype not in FLOATS:
        raise ValueError(f'dtype: expected one of {", ".join(map(str, FLOATS))}, "auto" or None, got {given}')
    checked: torch.dtype | None = dtype
    return checked


def shape_of(model: nn.Module, name: str) -> torch.Size:
    return model.get_parameter(name).shape if _is_parameter(model, name) else model.get_buffer(name).shape


def untied(stored: Mapping[str, Stored], groups: Mapping[str, list[str]]) -> dict[str, Stored]:
    """The tensors of a checkpoint whose words are not tied, under the names of a model that has them all apart.

    transformers 4 keeps one table for both stacks of LED; transformers 5 keeps a bias of the head that nothing uses.
    """
    names = {name for group in groups.values() for name in group}
    result = dict(stored)
    for name in names:
        if name.endswith("coder.embed_tokens.weight") and name not in result:
            shared = re.sub(r"(en|de)coder\.embed_tokens", "shared", name)
            if shared in result:
                result[name] = result[shared]
    if {"lm_head.bias", "lm_head.decoder.bias"} <= result.keys():
        del result["lm_head.bias"]
    return result


def is_head(name: str, prefix: str, groups: Mapping[str, list[str]]) -> bool:
    """Return whether a weight belongs to a head or pooling layer on top of the encoder, not to the encoder itself."""
    with_head = any(group.startswith(prefix) for group in groups)
    return (with_head and not name.startswith(prefix)) or ".pooler." in f".{name}"


def on_a_line(tensor: Tensor) -> Tensor:
    """The tensor as it is if it begins on a line; a copy, which does, where the file puts it elsewhere."""
    return tensor if tensor.data_ptr() % LINE == 0 else tensor.clone()


def put(model: nn.Module, names: list[str], tensor: Tensor) -> None:
    """Put one tensor into all places of a tied group, without a copy."""
    is_parameter = _is_parameter(model, names[0])
    value = nn.Parameter(tensor) if is_parameter else tensor
    for name in names:
        module, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(module), leaf, value)


def _is_parameter(model: nn.Module, name: str) -> bool:
    module, _, leaf = name.rpartition(".")
    return isinstance(getattr(model.get_submodule(module), leaf), nn.Parameter)


def _values(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _tied(names: list[str], stored: Mapping[str, Stored]) -> Tensor:
    """The one tensor that tied names stand for; ValueError where a file holds different ones."""
    first, *others = (floating(name, stored[name]) for name in names)
    for name, other in zip(names[1:], others, strict=True):
        if other.data_ptr() != first.data_ptr() and not (other.shape == first.shape and torch.equal(other, first)):
            raise ValueError(f"{stored[name].file}: expected {name} to be {names[0]} (tied), got other values")
    return first


def _common_dtype(stored: Mapping[str, Stored]) -> torch.dtype:
    """The dtype of all tensors; ValueError where they have several."""
    by_dtype: dict[torch.dtype, tuple[str, Stored]] = {}
    for name, tensor in stored.items():
        by_dtype.setdefault(floating(name, tensor).dtype, (name, tensor))
    if len(by_dtype) != 1:
        dtypes = ", ".join(f"{dtype} ({name})" for dtype, (name, _) in by_dtype.items())
        raise ValueError(f"{_files(stored)}: expected one dtype (or the argument dtype), got {dtypes}")
    return next(iter(by_dtype))


def _files(stored: Mapping[str, Stored]) -> str:
    return listed(sorted({str(tensor.file) for tensor in stored.values()}), 2)

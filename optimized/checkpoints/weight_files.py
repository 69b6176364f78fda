"""Reading the tensors of a checkpoint's folder, mapped into memory: nothing is copied until somebody writes to it.

What lies on no line of 64 bytes in its file does not do so here either: `loading` copies it.

Of `model.safetensors`, `model.safetensors.index.json` (shards), `pytorch_model.bin` and `pytorch_model.bin.index.json`
the first that is there is read. A `.bin` is a pickle: only tensors are taken from it, no code of the file runs.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
INDEX = ".index.json"
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class Stored(NamedTuple):
    """Attributes:
    tensor: as stored, on the CPU.
    file: the file it stands in.
    """

    tensor: Tensor
    file: Path


def read_weights(directory: Path) -> dict[str, Stored]:
    """Read all tensors of a folder, by their names.

    Raises:
        ValueError: no weights there; a truncated or corrupt file, with its name; an index that names a missing shard
            or a tensor that its shard does not hold.
    """
    for name in (SAFETENSORS, BIN):
        if (directory / name).is_file():
            return read_file(directory / name)
        if (directory / f"{name}{INDEX}").is_file():
            return _read_shards(directory / f"{name}{INDEX}")
    raise ValueError(f"directory: expected {SAFETENSORS} or {BIN} (or an index of shards) in {directory}, got neither")


def read_file(path: Path) -> dict[str, Stored]:
    """Read all tensors of one file, `.safetensors` or a pickle of `torch.save`."""
    tensors = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    return {name: Stored(tensor, path) for name, tensor in tensors.items()}


def floating(name: str, stored: Stored) -> Tensor:
    """The tensor, if its dtype is one that models compute in."""
    if stored.tensor.dtype not in FLOATS:
        kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATS)
        raise ValueError(f"{stored.file}: expected {name} in one of {kinds}, got {stored.tensor.dtype}")
    return stored.tensor


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a whole safetensors file, got: {error}") from error


def _pickled(path: Path) -> dict[str, Tensor]:
    mapped = zipfile.is_zipfile(path)  # torch.save's form before release 1.6 cannot be mapped
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever a broken or hostile pickle raises
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: expected a file of tensors written by torch.save, got: {said}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected a state dict, got {type(content).__name__}")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"{path}: expected tensors by name, got {type(tensor).__name__} under {name!r}")
    return dict(content)


def _read_shards(index: Path) -> dict[str, Stored]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ValueError(f"{index}: expected a weight_map of tensors and their shards, got {places!r}")
    shards: dict[str, dict[str, Stored]] = {}
    for name, shard in places.items():
        if not isinstance(shard, str) or shard != Path(shard).name:
            raise ValueError(f"{index}: expected the name of a file beside it for {name}, got {shard!r}")
        if shard not in shards:
            if not (index.parent / shard).is_file():
                raise ValueError(f"{index}: expected the shard {shard} of {name} beside it, got no such file")
            shards[shard] = read_file(index.parent / shard)
        if name not in shards[shard]:
            raise ValueError(f"{index.parent / shard}: expected {name} (as {index.name} says), got a file without it")
    return {name: shards[shard][name] for name, shard in places.items()}


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object; ValueError, with its name, otherwise."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"directory: expected {path.name} in {path.parent}, got no such file") from error
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content

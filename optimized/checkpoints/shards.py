"""Weights that are written to several files, none larger than wanted unless one tensor is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from trueband.optimized.checkpoints.weight_files import INDEX, SAFETENSORS

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def size_in_bytes(size: int | str) -> int:
    """An int, or a text such as "5GB" or "200MiB"; ValueError otherwise."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B", str(size).upper()) if isinstance(size, str) else None
    if matched is None or float(matched[1]) <= 0:
        raise ValueError(f'max_shard_size: expected a number of bytes or a text such as "5GB", got {size!r}')
    return int(float(matched[1]) * UNITS[matched[2]])


def split(tensors: Mapping[str, Tensor], most: int) -> dict[str, dict[str, Tensor]]:
    """File name -> its tensors, in their order: one file where that is enough."""
    parts: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if parts[-1] and filled + size > most:
            parts.append({})
            filled = 0
        parts[-1][name] = tensor
        filled += size
    if len(parts) == 1:
        return {SAFETENSORS: parts[0]}
    stem = SAFETENSORS.removesuffix(".safetensors")
    return {f"{stem}-{i:05d}-of-{len(parts):05d}.safetensors": part for i, part in enumerate(parts, start=1)}


def index_text(files: Mapping[str, Mapping[str, Tensor]]) -> str:
    """The text of the index of several files."""
    every = [tensor for part in files.values() for tensor in part.values()]
    content = {
        "metadata": {
            "total_parameters": sum(tensor.numel() for tensor in every),
            "total_size": sum(tensor.numel() * tensor.element_size() for tensor in every),
        },
        "weight_map": {name: file for file, part in files.items() for name in part},
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def outdated(directory: Path, files: Mapping[str, object]) -> list[str]:
    """Files of weights in a folder that a reader would take for the model's once `files` are written there."""
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    index = f"{SAFETENSORS}{INDEX}"
    shards = {name for name in names if SHARD.fullmatch(name) and name not in files}
    stale = shards | ({index} if SAFETENSORS in files else {SAFETENSORS})
    return sorted(stale & set(names))

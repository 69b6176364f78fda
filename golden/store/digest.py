"""sha256 of arrays, of inputs, and of files, the same on every platform."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array_sha256(array: NDArray[Any]) -> str:
    """The sha256 of dtype, shape and values in little-endian, row-major order."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    header = f"{array.dtype.name} {array.shape} ".encode()
    return hashlib.sha256(header + little.tobytes()).hexdigest()


def inputs_sha256(recipe: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """The sha256 of a recipe as canonical JSON, and of the arrays that it names."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True, ensure_ascii=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {array_sha256(arrays[name])}".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

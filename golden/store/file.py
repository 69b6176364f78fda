"""One golden as one safetensors file: arrays, and the metadata with the sha256 of each array."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from trueband.golden.store.digest import array_sha256
from trueband.golden.store.errors import GoldenFileError
from trueband.golden.store.metadata import Metadata

KEY, DIGESTS, SEAL = "golden", "sha256", "golden_sha256"  # the seal is the sha256 of the metadata's text
ENDING = ".safetensors"


@dataclass(frozen=True)
class Golden:
    """Metadata and arrays. "expected" is what was published; inputs that are arrays are "input.<name>"."""

    metadata: Metadata
    arrays: dict[str, NDArray[Any]]

    @property
    def id(self) -> str:
        return self.metadata.id

    @property
    def expected(self) -> NDArray[Any]:
        """The published array.

        Raises:
            GoldenFileError: the golden holds texts.
        """
        if "expected" not in self.arrays:
            raise GoldenFileError(f"{self.id}: expected an array, got a golden of texts")
        return self.arrays["expected"]

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """Inputs that are stored as arrays, by the names of the arguments."""
        return {name.removeprefix("input."): array for name, array in self.arrays.items() if name.startswith("input.")}


def write_golden(path: Path, golden: Golden) -> None:
    """Write a file, whole or not at all: beside its place, then renamed.

    Raises:
        OSError: the folder cannot be written. The old file is as it was.
    """
    digests = {name: array_sha256(array) for name, array in golden.arrays.items()}
    fields = _json(golden.metadata.to_dict())
    metadata = {KEY: fields, DIGESTS: _json(digests), SEAL: _seal(fields)}
    content = save({name: np.asarray(array, order="C") for name, array in golden.arrays.items()}, metadata)
    write_bytes(path, _in_order(content))


def check_writable(name: str, path: Path) -> None:
    """Raise ValueError, naming the argument `name`, where the folder of `path` cannot be written."""
    if path.is_dir():
        raise ValueError(f"{name}: expected a file, got the folder {path}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{name}: expected a folder that can be written, got {folder}")


def write_bytes(path: Path, content: bytes) -> None:
    """The whole file or none; an interrupt or a full disk leaves nothing behind and the old file in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:  # some name no file, the others the one beside
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def read_golden(path: Path) -> Golden:
    """Read and check a file.

    Raises:
        GoldenFileError: no such file, truncated, not a golden, of an unknown format, or an altered array.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GoldenFileError(f"{path}: expected a golden, got: {error.strerror}") from error
    return parse_golden(content, str(path))


def parse_golden(content: bytes, where: str) -> Golden:
    """Read and check the bytes of a file; `where` names it in errors."""
    try:
        arrays: dict[str, NDArray[Any]] = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError) as error:
        raise GoldenFileError(f"{where}: expected a whole safetensors file, got: {error}") from error
    fields: Mapping[str, str] = header.get("__metadata__", {})
    if KEY not in fields:
        raise GoldenFileError(f"{where}: expected a golden, got a safetensors file without its metadata")
    if fields.keys() != {KEY, DIGESTS, SEAL}:
        raise GoldenFileError(
            f"{where}: metadata: expected {KEY}, {DIGESTS} and {SEAL}, got {', '.join(sorted(fields))}"
        )
    if fields[SEAL] != _seal(fields[KEY]):
        raise GoldenFileError(f"{where}: metadata: expected sha256 {fields[SEAL]}, got another: it was altered")
    try:
        metadata, digests = json.loads(fields[KEY]), json.loads(fields[DIGESTS])
    except ValueError as error:
        raise GoldenFileError(f"{where}: metadata: expected JSON, got: {error}") from error
    golden = Golden(Metadata.from_dict(metadata, where), arrays)
    if digests.keys() != arrays.keys():
        raise GoldenFileError(f"{where}: expected the arrays {sorted(digests)}, got {sorted(arrays)}")
    for name, array in arrays.items():
        if array_sha256(array) != digests[name]:
            raise GoldenFileError(f"{where}: {name}: expected sha256 {digests[name]}, got another: it was altered")
    return golden


def _in_order(content: bytes) -> bytes:
    """The same file with the keys of its header sorted: the same golden gives the same bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = _json(json.loads(content[8:end])).encode()
    header += b" " * (-len(header) % 8)  # the arrays stay aligned
    return len(header).to_bytes(8, "little") + header + content[end:]


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))

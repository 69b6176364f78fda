"""A folder of goldens with its index: every file is listed, every listed file is there, and none was altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trueband.golden.store.errors import GoldenFileError
from trueband.golden.store.file import ENDING, Golden, parse_golden, write_bytes
from trueband.golden.store.metadata import FORMAT

INDEX = "index.json"
FOLDER = Path(__file__).resolve().parents[1] / "store-data"
FIELDS = ("file", "sha256", "kind", "checkpoint", "claim")


@dataclass(frozen=True)
class Store:
    """An opened store.

    Attributes:
        folder: the folder that holds the index.
        index: id -> {"file", "sha256", "kind", "checkpoint", "claim"}, in the order of the index.
    """

    folder: Path
    index: dict[str, dict[str, Any]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def golden(self, name: str) -> Golden:
        """Read one golden by its id, and check it against the index.

        Raises:
            GoldenFileError: an unknown id; a file that is missing, altered or disagrees with the index.
        """
        if name not in self.index:
            raise GoldenFileError(f"id: expected one of `trueband golden list`, got {name!r}")
        entry = self.index[name]
        path = self.folder / entry["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise GoldenFileError(f"{path}: expected the file of {name}, got: {error.strerror}") from error
        # Read first: where a file is truncated or an array altered, its own error says so better.
        golden = parse_golden(content, str(path))
        got = hashlib.sha256(content).hexdigest()
        if got != entry["sha256"]:
            raise GoldenFileError(f"{path}: expected sha256 {entry['sha256']} of the index, got {got}")
        actual = _entry(golden, entry["file"], got)
        if golden.id != name or actual != entry:
            raise GoldenFileError(f"{path}: expected {name} as in the index, got {golden.id} as {actual}")
        return golden

    def check(self) -> None:
        """Check that all files are as listed, and that there is no other.

        Raises:
            GoldenFileError: a file that no entry names (an unused golden), or what `golden` raises.
        """
        listed = {entry["file"] for entry in self.index.values()}
        files = {path.relative_to(self.folder).as_posix() for path in self.folder.rglob(f"*{ENDING}")}
        if files - listed:
            raise GoldenFileError(f"{self.folder}: expected only listed goldens, got also {sorted(files - listed)}")
        for name in self:
            self.golden(name)


@cache
def open_store(folder: Path = FOLDER) -> Store:
    """The store of the package, or of a folder.

    Raises:
        GoldenFileError: no index, an index of another format or with unknown fields.
    """
    path = folder / INDEX
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GoldenFileError(f"{path}: expected the index of a store, got: {error}") from error
    if not isinstance(content, dict) or content.keys() != {"format", "goldens"}:
        raise GoldenFileError(f"{path}: expected the fields format and goldens, got another content")
    if content["format"] != FORMAT:
        raise GoldenFileError(f"{path}: format: expected {FORMAT}, got {content['format']!r}")
    for name, entry in content["goldens"].items():
        if not isinstance(entry, dict) or entry.keys() != set(FIELDS):
            raise GoldenFileError(f"{path}: {name}: expected the fields {', '.join(FIELDS)}, got {entry!r}")
    return Store(folder, content["goldens"])


def write_index(folder: Path) -> None:
    """List all files of a folder, sorted by kind and id.

    Raises:
        GoldenFileError: a file that cannot be read, or two of one id.
    """
    entries: dict[str, dict[str, Any]] = {}
    for path in folder.rglob(f"*{ENDING}"):
        content = path.read_bytes()
        golden = parse_golden(content, str(path))
        if golden.id in entries or path.stem != golden.id:
            raise GoldenFileError(f"{path}: expected a file named after its id, once, got {golden.id}")
        file = path.relative_to(folder).as_posix()
        entries[golden.id] = _entry(golden, file, hashlib.sha256(content).hexdigest())
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1]["file"], item[0])))
    text = json.dumps({"format": FORMAT, "goldens": ordered}, indent=1, ensure_ascii=True)
    write_bytes(folder / INDEX, f"{text}\n".encode())


def _entry(golden: Golden, file: str, sha256: str) -> dict[str, Any]:
    metadata = golden.metadata
    return {
        "file": file,
        "sha256": sha256,
        "kind": metadata.kind,
        "checkpoint": metadata.checkpoint,
        "claim": metadata.claim,
    }

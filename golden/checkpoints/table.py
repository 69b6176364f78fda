"""The table of checkpoints that goldens belong to: names, shapes, digests (`store-data/checkpoints.json`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from trueband.golden.store import GoldenFileError
from trueband.golden.store.store import FOLDER

TABLE = FOLDER / "checkpoints.json"


@dataclass(frozen=True)
class CheckpointEntry:
    """One checkpoint.

    Attributes:
        id: on the Hub, "owner/name".
        model_type: the model type of its config.json.
        shape: fields of config.json that the shapes of its tensors follow from. Empty: not known; then it is found
            by its name only.
        computes: other fields of config.json that its outputs depend on, such as attention_window.
        aliases: other names of the same weights.
        architecture: the class that config.json names, to distinguish checkpoints of one shape.
        weights_sha256: file -> sha256, of each form that the weights are published in; empty: not known.
        derived_from: a checkpoint whose goldens are those of this one, too: the weights are the same.
        license: as the Hub states it.
        note: for a reader.
    """

    id: str
    model_type: str
    shape: Mapping[str, Any] = field(default_factory=dict)
    computes: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    architecture: str | None = None
    weights_sha256: Mapping[str, str] = field(default_factory=dict)
    derived_from: str | None = None
    license: str = "not stated"
    note: str = ""

    @property
    def names(self) -> set[str]:
        """All names, in lower case."""
        return {name.lower() for name in (self.id, *self.aliases)}

    @property
    def keys(self) -> set[str]:
        """The values of `Metadata.checkpoint` in its goldens."""
        return {self.id} | ({self.derived_from} if self.derived_from else set())


def read_table(path: Path = TABLE) -> dict[str, CheckpointEntry]:
    """Read all checkpoints, by their ids.

    Raises:
        GoldenFileError: no such file, not JSON, unknown or missing fields, a derived_from that is not there.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GoldenFileError(f"{path}: expected the table of checkpoints, got: {error}") from error
    known = {field.name for field in fields(CheckpointEntry)}
    table = {}
    for name, values in content.items():
        unknown = sorted(values.keys() - known)
        if unknown or "id" in values:
            raise GoldenFileError(f"{path}: {name}: expected the fields {', '.join(sorted(known))}, got {unknown}")
        try:
            table[name] = CheckpointEntry(id=name, **values | {"aliases": tuple(values.get("aliases", ()))})
        except TypeError as error:
            raise GoldenFileError(f"{path}: {name}: expected all fields that have no default, got: {error}") from error
    for entry in table.values():
        if entry.derived_from is not None and entry.derived_from not in table:
            raise GoldenFileError(f"{path}: {entry.id}: derived_from: expected one listed, got {entry.derived_from}")
    return table

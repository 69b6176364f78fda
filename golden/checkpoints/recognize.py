"""Recognizes a published checkpoint in a folder: by the sha256 of its weights, else by its name and its shape,
else by its shape alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueband.golden.checkpoints.table import CheckpointEntry, read_table
from trueband.golden.store.digest import file_sha256
from trueband.reference.config import family_of_type

SAME_MODEL = {"camembert": "roberta"}  # types that compute what another one does, under the same names of weights
SHOWN = 5


@dataclass(frozen=True)
class Recognition:
    """Attributes:
    entry: the checkpoint.
    by: what it was recognized by, for a reader.
    weights: file -> (published sha256, sha256 here), of the files whose digest is published.
    """

    entry: CheckpointEntry
    by: str
    weights: Mapping[str, tuple[str, str]]


def recognize(
    directory: Path,
    config: Mapping[str, Any],
    chosen: str | None = None,
    table: Mapping[str, CheckpointEntry] | None = None,
) -> Recognition:
    """The checkpoint in a folder.

    Args:
        directory: the directory with the weights.
        config: content of its config.json.
        chosen: what the user says it is: an id of the table, or another name of it.
        table: None: the one of the package.

    Raises:
        ValueError: none of the table fits, with what was compared; several fit; the chosen one is unknown or does not
            fit.
    """
    known = read_table() if table is None else table
    if chosen is not None:
        entry = _named(chosen, known)
        differ = differences(entry, config)
        if differ:
            raise ValueError(f"--as: expected the shape of {entry.id}, got another: {'; '.join(differ)}")
        return Recognition(entry, "--as", digests(directory, entry))
    fitting = [entry for entry in known.values() if not differences(entry, config)]
    digests_of = {entry.id: digests(directory, entry) for entry in fitting}
    for entry in fitting:
        for file, (published, here) in digests_of[entry.id].items():
            if published == here:
                return Recognition(entry, f"sha256 of {file}", digests_of[entry.id])
    names = names_of(directory, config)
    by_name = [entry for entry in fitting if entry.names & names]
    by_last = [entry for entry in fitting if entry.id.lower().rpartition("/")[2] in names]
    by_shape = [entry for entry in fitting if entry.shape]
    architectures = config.get("architectures") or []
    same_class = [entry for entry in by_shape if entry.architecture in architectures]
    any_class = [entry for entry in by_shape if entry.architecture is None]
    narrowed = same_class or any_class or by_shape
    for by, candidates in (("name and shape", by_name or by_last), ("shape", narrowed)):
        if len(candidates) == 1:
            return Recognition(candidates[0], by, digests_of[candidates[0].id])
        if candidates:
            listed = ", ".join(entry.id for entry in candidates)
            raise ValueError(
                f"--checkpoint: expected one checkpoint that {directory} can be, got {listed}; say which with --as ID"
            )
    raise ValueError(f"--checkpoint: expected a checkpoint that goldens are known of, got {_compared(config, known)}")


def differences(entry: CheckpointEntry, config: Mapping[str, Any]) -> list[str]:
    """What of a configuration's type and shape is not the checkpoint's: "field: published ..., here ..."."""
    return compared({"model_type": entry.model_type, **entry.shape}, config)


def compared(published: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Fields that differ, those that a configuration leaves out taken as its class's defaults."""
    here = complete(config)
    return [
        f"{name}: published {value}, here {here.get(name)}"
        for name, value in published.items()
        if _each(name, value, here) != _each(name, here.get(name), here)
    ]


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a configuration with the defaults of its class and the number of its labels."""
    kind = config.get("model_type", "")
    family = family_of_type(SAME_MODEL.get(kind, kind))
    defaults = {} if family is None else {field.name: field.default for field in dataclasses.fields(family.config)}
    labels = {"num_labels": len(config["id2label"])} if config.get("id2label") else {"num_labels": 2}
    return defaults | labels | dict(config)


def digests(directory: Path, entry: CheckpointEntry) -> dict[str, tuple[str, str]]:
    """file -> (published sha256, sha256 here), of the files that the checkpoint was published in and that are here."""
    pairs = {}
    for file, published in entry.weights_sha256.items():
        path = directory / file
        if path.is_file():
            pairs[file] = published, file_sha256(path)
    return pairs


def names_of(directory: Path, config: Mapping[str, Any]) -> set[str]:
    """Return the names that a folder may have: by its configuration, path and place in the Hub's cache; lower case."""
    path = directory.resolve()
    names = {str(config.get("_name_or_path") or ""), path.name, "/".join(path.parts[-2:])}
    names |= {part.removeprefix("models--").replace("--", "/") for part in path.parts if part.startswith("models--")}
    return {name.lower() for name in names if name}


def _named(name: str, table: Mapping[str, CheckpointEntry]) -> CheckpointEntry:
    entries = [entry for entry in table.values() if name.lower() in entry.names]
    if not entries:
        raise ValueError(f"--as: expected one of {', '.join(table)}, got {name!r}")
    return entries[0]


def _each(name: str, value: Any, config: Mapping[str, Any]) -> Any:
    """A window for every layer as a list of them; other values as they are."""
    if name == "attention_window" and isinstance(value, int):
        layers = config.get("encoder_layers", config.get("num_hidden_layers", 1))
        return [value] * layers
    return list(value) if isinstance(value, tuple) else value


def _compared(config: Mapping[str, Any], table: Mapping[str, CheckpointEntry]) -> str:
    """The checkpoints that are nearest to a configuration, and what they differ in."""
    kind = config.get("model_type")
    same = [entry for entry in table.values() if entry.model_type == kind and entry.shape]
    if not same:
        types = sorted({entry.model_type for entry in table.values()})
        return f"model_type {kind!r}; known: {', '.join(types)}"
    nearest = sorted(same, key=lambda entry: len(differences(entry, config)))[:SHOWN]
    lines = [f"\n  not {entry.id}: {'; '.join(differences(entry, config))}" for entry in nearest]
    return f"another shape of model_type {kind!r}{''.join(lines)}"

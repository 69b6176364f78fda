"""Outputs recorded from transformers 4.46 for what 5.x removed: head masks, relative positions, pruning of heads, LED's
sequence classification. Tiny models with random weights; tests/tools/record_peer.py made the files.

Read with NumPy alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files
from typing import Any, NamedTuple

from numpy.typing import NDArray
from safetensors import safe_open

Arrays = dict[str, NDArray[Any]]
FOLDER = "recorded-data"


class Recording(NamedTuple):
    """Attributes:
    name: of the file, without its ending.
    model_class: of the peer.
    config: fields of its configuration.
    state: float32 weights under the Hub's keys.
    inputs: what the peer was given, by the names of its arguments.
    outputs: what it returned, float64; "hidden_states.0" and so on for tuples.
    metadata: everything that is told of the recording: what, class, config, seed, transformers, torch, numpy.
    more: arrays that are none of these, such as `pruned_state.*`, by their full names.
    """

    name: str
    model_class: str
    config: dict[str, Any]
    state: Arrays
    inputs: Arrays
    outputs: Arrays
    metadata: dict[str, Any]
    more: Arrays

    def taps(self, name: str) -> list[NDArray[Any]]:
        """The arrays of a tuple among the outputs, in order."""
        return [self.outputs[f"{name}.{i}"] for i in range(sum(key.startswith(f"{name}.") for key in self.outputs))]


@cache
def index() -> Mapping[str, dict[str, Any]]:
    """What has been recorded: name -> metadata with sha256 and size in bytes of its file."""
    text = files("trueband.golden").joinpath(FOLDER, "index.json").read_text(encoding="utf-8")
    content: dict[str, dict[str, Any]] = json.loads(text)
    return content


@cache
def recorded(name: str) -> Recording:
    """One recording. Read it, do not change it.

    Raises:
        ValueError: no recording of that name.
    """
    if name not in index():
        raise ValueError(f"name: expected one of {', '.join(sorted(index()))}, got {name!r}")
    resource = files("trueband.golden").joinpath(FOLDER, f"{name}.safetensors")
    with as_file(resource) as path, safe_open(path, framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        metadata = json.loads(file.metadata()["recording"])
    parts: dict[str, Arrays] = {"state": {}, "input": {}, "output": {}, "": {}}
    for key, array in arrays.items():
        part, _, rest = key.partition(".")
        if part in parts:
            parts[part][rest] = array
        else:
            parts[""][key] = array
    return Recording(
        name,
        metadata["class"],
        metadata["config"],
        parts["state"],
        parts["input"],
        parts["output"],
        metadata,
        parts[""],
    )

"""Outputs recorded from transformers 4.46 for what 5.x removed: head masks, relative positions, pruning of heads, LED's
sequence classification. Tiny models with random weights, of the goldens of kind "peer"; tests/tools/record_peer.py made
them.

Read with NumPy alone.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from numpy.typing import NDArray

from trueband.golden.store import open_store

Arrays = dict[str, NDArray[Any]]
START = "peer_4_"  # of the ids in the store


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


def names() -> tuple[str, ...]:
    """What has been recorded."""
    return tuple(name.removeprefix(START) for name in open_store() if name.startswith(START))


@cache
def recorded(name: str) -> Recording:
    """One recording. Read it, do not change it.

    Raises:
        ValueError: no recording of that name.
    """
    if name not in names():
        raise ValueError(f"name: expected one of {', '.join(names())}, got {name!r}")
    golden = open_store().golden(f"{START}{name}")
    told = golden.metadata.details
    parts: dict[str, Arrays] = {"state": {}, "input": {}, "output": {}, "": {}}
    for key, array in golden.arrays.items():
        part, _, rest = key.partition(".")
        if part in parts:
            parts[part][rest] = array
        else:
            parts[""][key] = array
    return Recording(
        name, told["class"], told["config"], parts["state"], parts["input"], parts["output"], told, parts[""]
    )

"""Describes the calls that a check has made, where they differ from its case.

A case is small and plain. Many checks replace its numbers by arrays of their own, or take another window or head_dim:
whoever fixes a kernel has to know what it was called with.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.cases.case import Case
from trueband.properties.cases.inputs import MASKS, Inputs

Array = NDArray[Any]
KEPT = 3  # calls of one verdict that are described
NAMED_TOKENS = 8  # more are not listed
MOST_NUMBERS = 1 << 20  # of an array; larger ones are not compared
PLURALS = {
    "query": "queries",
    "key": "keys",
    "value": "values",
    "query_global": "queries of globals",
    "key_global": "keys of globals",
    "value_global": "values of globals",
}


@dataclass(frozen=True)
class Call:
    """One call of a candidate.

    Attributes:
        inputs: its inputs.
        layout: the layout of the inputs in memory.
        of: the names of the inputs that have this layout; (): all of them.
        grad_output: the gradient of the output; None for a call without gradients.
        ranks: how many it was dealt to; None: the target has none.
    """

    inputs: Inputs
    layout: str = "contiguous"
    of: tuple[str, ...] = ()
    grad_output: Array | None = None
    ranks: int | None = None


class Calls:
    """The calls of a check since its last verdict.

    Args:
        case: the case of the check.
        inputs: a function that returns the inputs of the case itself.
    """

    def __init__(self, case: Case, inputs: Callable[[], Inputs]) -> None:
        self._case, self._inputs = case, inputs
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._judged = False

    def add(self, call: Call) -> None:
        """Add a call that is about to be made."""
        if self._judged:
            self._calls.clear()
            self._judged = False
        self._calls.append(call)

    def judged(self) -> None:
        """Note a verdict on these calls; a next verdict without further calls is on the same ones."""
        self._judged = True

    def descriptions(self) -> tuple[dict[str, Any], ...]:
        """Describe the calls that differ from the case, the last one first, each once."""
        descriptions: list[dict[str, Any]] = []
        for call in reversed(self._calls):
            description = self._described(call)
            if description and description not in descriptions:
                descriptions.append(description)
        return tuple(descriptions)

    def _described(self, call: Call) -> dict[str, Any]:
        """Describe a call for JSON: all sizes, and what differs from the case. Empty where nothing differs."""
        inputs, case = call.inputs, self._case
        batch, heads, tokens, head_dim = shape = inputs.shape
        own_shape = (case.batch, case.heads, case.tokens, case.head_dim)
        arrays = self._arrays(call) if max(math.prod(shape), math.prod(own_shape)) <= MOST_NUMBERS else []
        own = case.options()
        changed = {
            name: inputs.options.get(name)
            for name in dict.fromkeys((*own, *inputs.options))
            if inputs.options.get(name) != own.get(name)
        }
        described = f"{call.layout} of {', '.join(call.of)}" if call.of else call.layout
        layout = {} if call.layout == "contiguous" else {"layout": described}
        ranks = {} if call.ranks is None else {"ranks": call.ranks}
        if not arrays and not changed and not layout and not ranks and shape == own_shape:
            return {}
        changed.pop("window", None)
        sizes = {"batch": batch, "tokens": tokens, "window": inputs.options["window"], "heads": heads}
        return {**sizes, "head_dim": head_dim, **ranks, **changed, "arrays": arrays, **layout}

    def _arrays(self, call: Call) -> list[str]:
        """Describe the arrays of a call that are not the case's."""
        inputs, own = call.inputs.arrays, self._inputs().arrays
        differences = [_array(name, inputs.get(name), own.get(name)) for name in dict.fromkeys([*own, *inputs])]
        if call.grad_output is not None and call.inputs.shape == self._inputs().shape:
            differences.append(_array("grad_output", call.grad_output, self._case.grad_output()))
        return [difference for difference in differences if difference]


def in_words(called: Mapping[str, Any]) -> str:
    """Describe one call: "tokens 7, window 2, heads 1, head_dim 32, queries 0, one-hot values"."""
    sizes = [f"{name} {_plain(value)}" for name, value in called.items() if name not in ("arrays", "batch", "layout")]
    batch = [f"batch {called['batch']}"] if called["batch"] != 1 else []
    layout = [f"memory {called['layout']}"] if "layout" in called else []
    return ", ".join([*batch, *sizes, *called["arrays"], *layout])


def all_in_words(called: Sequence[Mapping[str, Any]]) -> str:
    """Describe all calls in one line; "" where there are none."""
    return "; and with ".join(in_words(call) for call in called)


def _array(name: str, array: Array | None, own: Array | None) -> str:
    """Describe an argument that differs from the case's; "" where it is the same."""
    if array is None:
        return f"no {name}"
    if own is not None and array.shape == own.shape and np.array_equal(array, own, equal_nan=True):
        return ""
    if name in MASKS:
        return _mask(name, array)
    plural = PLURALS.get(name, name)
    return next(_in_words(plural, array, own), f"other {plural}")


def _mask(name: str, mask: Array) -> str:
    if mask.all() or not mask.any():
        return f"{name} all {'true' if mask.all() else 'false'}"
    where = [np.flatnonzero(row).tolist() for row in mask[:2]]
    return f"{name} true at {where[0]}" if len(mask) == 1 and len(where[0]) <= NAMED_TOKENS else f"another {name}"


def _in_words(plural: str, array: Array, own: Array | None) -> Iterator[str]:
    """Yield descriptions of floating numbers, the plainest first."""
    if array.size == 0:
        return
    first = array.flat[0]
    constant = bool(np.isfinite(first) and (array == first).all())
    if constant and first in (0, 1):
        yield f"{plural} {first:g}"
    if array.ndim != 4:
        return
    ones = array != 0
    if array.shape[-1] > 1 and (array[ones] == 1).all() and (ones.sum(axis=-1) == 1).all():
        yield f"one-hot {plural}"
    if own is None or array.shape != own.shape:
        return
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        differ = ~((array == own) | (np.isnan(array) & np.isnan(own)))
        factors = np.where(own != 0, array / own, np.where(array == 0, np.nan, np.inf))
    factor = factors[~np.isnan(factors)]
    if factor.size and np.isfinite(factor[0]) and (factor == factor[0]).all() and not np.isnan(array).any():
        yield f"{plural} times {factor[0]:g}"
    if constant:
        yield f"{plural} {first:g}"
    tokens = np.flatnonzero(differ.any(axis=(0, 1, 3)))
    for kind, special in (("NaN", np.isnan(array)), ("infinity", np.isinf(array))):
        where = np.flatnonzero(special.any(axis=(0, 1, 3)))
        if where.size and np.array_equal(where, tokens):
            yield f"{kind} in the {plural} of {_tokens(where)}"
    kept = np.flatnonzero((array != 0).any(axis=(0, 1, 3)))
    if len(tokens) <= min(NAMED_TOKENS, array.shape[2] - 1):
        yield f"other {plural} at {_tokens(tokens)}"
    if len(kept) <= min(NAMED_TOKENS, array.shape[2] - 1):
        yield f"{plural} 0 but at {_tokens(kept)}"


def _tokens(tokens: Array) -> str:
    listed = ", ".join(map(str, tokens[:NAMED_TOKENS]))
    return (
        f"token {listed}" if len(tokens) == 1 else f"tokens {listed}" + (" ..." if len(tokens) > NAMED_TOKENS else "")
    )


def _plain(value: Any) -> str:
    return "not passed" if value is None else str(value)

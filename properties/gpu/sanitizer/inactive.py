"""Loads without `other`: what inactive lanes hold is undefined. Does it change what the kernel writes?

Triton's interpreter fills such lanes with 0, so that the fault never shows. The launch is therefore run again, from the
same memory, with something else in these lanes; a launch that writes other bytes then has the fault, and one that does
not has none that these fillings show.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.sanitizer.finding import Finding, Place
from trueband.properties.gpu.sanitizer.launch import Grid, Launch
from trueband.properties.gpu.sanitizer.memory import PAGE, Pages

# NaN shows wherever it is computed with, but fmax and comparisons drop it; states and counts are small numbers.
FILLINGS = ("nan or largest", "large", "ones", "small")
# What changes: a tensor's name, dtype and shape, the first element and how many; or no element (see `Finding`).
Seen = tuple[str, str, tuple[int, ...], tuple[int, ...], int]
_NAN_BITS = {"bf16": 0x7FC0, "fp8e5": 0x7F, "fp8e4nv": 0x7F, "fp8e5b16": 0x80, "fp8e4b8": 0x80, "fp8e4b15": 0x7F}


class Filling:
    """The contents of inactive lanes of loads without `other`, at some places of the source.

    Args:
        kind: one of FILLINGS.
    """

    def __init__(self, kind: str, places: Collection[Place]) -> None:
        self.kind, self.places = kind, places
        self._random = np.random.default_rng(0)

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any], scalar: str) -> NDArray[Any]:
        """(shape) of a dtype of NumPy that stands for triton's type `scalar`."""
        if dtype.kind == "b":
            return np.ones(shape, dtype)
        if scalar in _NAN_BITS:  # kept as bits
            return np.full(shape, _NAN_BITS[scalar] if self.kind == FILLINGS[0] else 0x45, dtype)
        if self.kind == "ones":
            return np.ones(shape, dtype)
        if self.kind == "small":
            return self._random.integers(0, 4, shape).astype(dtype)
        if dtype.kind == "f":
            return np.full(shape, np.nan if self.kind == FILLINGS[0] else 1e4, dtype)
        return np.full(shape, np.iinfo(dtype).max if self.kind == FILLINGS[0] else 100, dtype)


def examine(launch: Launch, run: Callable[[Filling], None]) -> None:
    """Run the launch again with each filling, and add a finding for each place whose filling changes the result.

    Leaves memory as the first run has left it.
    """
    for kind in FILLINGS:
        suspects = set(launch.without_other)
        together = _changed(launch, run, Filling(kind, suspects)) if suspects else None
        if together is not None:
            guilty = {place: _changed(launch, run, Filling(kind, {place})) for place in suspects}
            if not any(guilty.values()):  # no place alone
                guilty = dict.fromkeys(suspects, together)
            for place, seen in guilty.items():
                if seen is not None:
                    program = launch.without_other.pop(place)
                    launch.add(_finding(launch, place, program, seen))


def _finding(launch: Launch, place: Place, program: Grid, seen: Seen) -> Finding:
    name, dtype, shape, index, count = seen
    known = (launch.kernel, launch.number, place, name, dtype, shape, index, count)
    return Finding("missing other", *known, program, launch.grid)


def _changed(launch: Launch, run: Callable[[Filling], None], filling: Filling) -> Seen | None:
    """Describe what another run did differently from the first; None if it did the same."""
    memories = launch.memories.values()
    first = {memory.address: memory.swap(memory.before) for memory in memories}
    launch.again, launch.reached = True, None
    failed = False
    try:
        run(filling)
    except Exception:  # what is undefined has become an index, a bound of a loop, a failed assertion
        failed = True
    finally:
        launch.again = False
        for memory in memories:  # pages that the first run had left alone
            first[memory.address] |= {
                page: content for page, content in memory.before.items() if page not in first[memory.address]
            }
        second = {memory.address: memory.swap(first[memory.address]) for memory in memories}
    for argument in launch.arguments:
        address = argument.memory.address
        differ = _differences(first[address], second[address]) - argument.start
        differ = differ[argument.contains(differ, 1)]
        if differ.size:
            count = len(np.unique(differ // argument.item))
            return argument.name, argument.dtype, argument.shape, argument.index(int(differ[0])), count
    if launch.reached is not None:
        return launch.reached.name, launch.reached.dtype, launch.reached.shape, (), 0
    return ("", "", (), (), 0) if failed else None


def _differences(first: Pages, second: Pages) -> NDArray[np.int64]:
    """The bytes of a storage, in order, that differ between two versions of the same pages."""
    places = [page * PAGE + np.flatnonzero(first[page] != second[page]) for page in sorted(second)]
    return np.concatenate([*places, np.zeros(0, dtype=np.int64)])

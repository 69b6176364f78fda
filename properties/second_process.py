"""A second process is asked what the first has been asked, in another order: neither may have been told the answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trueband.properties.checks import Check
from trueband.properties.inputs import Inputs
from trueband.properties.remote import PastCall
from trueband.properties.verdict import Verdict, judge

NAME = "second_process"
CLAIM = "a second process, asked in another order, gives the same"
KEPT = 12  # calls for each dtype
MOST_NUMBERS = 4096


class Memory:
    """A random sample of the calls of a run, the same number for each dtype."""

    def __init__(self) -> None:
        self._kept: dict[str, list[PastCall]] = {}
        self._seen: dict[str, int] = {}
        self._random = random.Random(0)  # which calls are kept tells nothing

    def add(self, call: PastCall) -> None:
        """Keep it, in the place of another when there are enough; not if it is large or holds what is not finite."""
        arrays = call.arrays.values()
        if sum(array.size for array in arrays) > MOST_NUMBERS or not all(np.isfinite(array).all() for array in arrays):
            return
        dtype = call.dtype
        kept = self._kept.setdefault(dtype, [])
        self._seen[dtype] = self._seen.get(dtype, 0) + 1
        if len(kept) < KEPT:
            kept.append(call)
            return
        place = self._random.randrange(self._seen[dtype])
        if place < KEPT:
            kept[place] = call

    def of(self, dtype: str) -> list[PastCall]:
        """The calls of a dtype, the last first."""
        return self._kept.get(dtype, [])[::-1]


def second_process(calls: Sequence[PastCall]) -> Check:
    """The check of these calls; its function takes the candidate itself."""

    def check_second_process(candidate: Any) -> Iterator[Verdict]:
        for call in calls:
            layout = "contiguous" if call.layout == "reused" else call.layout
            output = candidate.call(call.arrays, call.options, call.dtype, layout)
            accumulator = candidate.accumulators.get(call.dtype)
            bound = Inputs(call.arrays, call.options, call.dtype, accumulator).bound
            yield judge(output, call.output, bound + bound, "output in a second process")

    return Check(NAME, CLAIM, check_second_process)

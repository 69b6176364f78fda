"""A second process is asked what the first has been asked, in another order: neither may have been told the answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trueband.properties.candidate.remote import Past, PastGradients
from trueband.properties.cases.inputs import Inputs
from trueband.properties.checks import Check
from trueband.properties.results.verdict import Verdict, judge

NAME = "second_process"
CLAIM = "a second process, asked in another order, gives the same"
KEPT = 12  # calls for each dtype
MOST_NUMBERS = 4096


class Memory:
    """A random sample of the calls of a run, the same number for each dtype."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Past]] = {}
        self._seen: dict[str, int] = {}
        self._random = random.Random(0)  # which calls are kept tells nothing
        self._first = False

    def add(self, call: Past) -> None:
        """Keep it, in the place of another when there are enough; not if it is large or holds what is not finite."""
        self._first = True
        arrays = [*call.arrays.values()]
        if isinstance(call, PastGradients):
            if call.how.layout == "reused" or call.how.way == "added":
                return  # what lay there before counts, and is not told; a sum is rounded by more than a gradient
            arrays += [call.grad_output, *call.gradients.values()]
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

    def begin_second(self) -> bool:
        """Whether the process that now runs has made calls that were remembered, so that another one is needed."""
        first, self._first = self._first, False
        return first

    def of(self, dtype: str) -> list[Past]:
        """The calls of a dtype, the last first."""
        return self._kept.get(dtype, [])[::-1]


def second_process(calls: Sequence[Past]) -> Check:
    """The check of these calls; its function takes the candidate itself."""

    def check_second_process(candidate: Any) -> Iterator[Verdict]:
        for call in calls:
            accumulator = candidate.accumulators.get(call.dtype)
            # How a call is dealt to ranks is none of the contract's options.
            options = {name: value for name, value in call.options.items() if name not in ("ranks", "late")}
            inputs = Inputs(call.arrays, options, call.dtype, accumulator, candidate.stored_scores)
            if isinstance(call, PastGradients):
                yield from _same_gradients(candidate, call, inputs)
                continue
            layout = "contiguous" if call.layout == "reused" else call.layout
            output = candidate.call(call.arrays, call.options, call.dtype, layout, call.of)
            yield judge(output, call.output, inputs.bound.scaled(2), "output in a second process")

    return Check(NAME, CLAIM, check_second_process)


def _same_gradients(candidate: Any, call: PastGradients, inputs: Inputs) -> Iterator[Verdict]:
    found = candidate.gradients(call.arrays, call.options, call.dtype, call.grad_output, call.names, call.how)
    bounds = inputs.gradient_bounds(call.grad_output)
    for name in sorted(bounds.keys() & found.keys()):
        what = f"gradient of {name} in a second process"
        yield judge(found[name], call.gradients[name], bounds[name].scaled(2), what)

"""Queries that stand elsewhere than at the first keys: chunks, steps with a cache, rows beyond the keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import MASKS, Inputs
from trueband.properties.cases.limits import NotTaken
from trueband.properties.cases.strategies import Structure
from trueband.properties.cases.windows import sides
from trueband.properties.checks.check import check
from trueband.properties.results.verdict import Verdict, judge, judge_exact

HERE = EVERY_KIND - {"offset"}
NO_GLOBALS = frozenset({"globals"})
STEPS = 3  # of a cache, for a case


@check(
    "queries in parts, each at its offset, give what they give at once",
    Structure(without=NO_GLOBALS, tokens=(1, 40), long=False, takes=HERE),
    ["offset"],
    weight=3,
)
def check_queries_in_parts(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another number of queries may be another order of summation. They are asked for with a window of all
    keys, too, where every key that is lost is seen.
    """
    yield from _parts(probe, probe.inputs)
    if not probe.has("causal_only"):
        reach = (None, None) if probe.has("unlimited_side") else probe.candidate.limits.covering(probe.inputs.shape[2])
        yield from _parts(probe, probe.inputs.with_arrays(segments=None).with_options(window=reach, causal=None))


def _parts(probe: Probe, whole: Inputs) -> Iterator[Verdict]:
    """Yield verdicts on queries in parts."""
    tokens, output = whole.shape[2], probe.run(whole)
    cuts = sorted({0, tokens, *(int(cut) for cut in probe.random.integers(0, tokens + 1, 2))})
    for first, last in itertools.pairwise(cuts):
        rows = np.s_[:, :, first:last]
        part = whole.with_arrays(query=whole.arrays["query"][rows]).with_options(offset=first or None)
        what = f"output for queries {first}..{last - 1} with offset {first}"
        yield judge(probe.run(part), output[rows], part.bound + whole.bound.at(rows), what, "as in the whole sequence")


@check(
    "causal steps with a cache that grows, by one token or by some, give what the whole sequence gives",
    Structure(require=frozenset({"causal"}), without=NO_GLOBALS, tokens=(1, 40), long=False, takes=HERE),
    ["bottom_right"],
    weight=3,
)
def check_cache_that_grows(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another length may be another order of summation."""
    yield from _steps(probe)


@check(
    "causal steps with a cache that grows, each at its offset, give what the whole sequence gives",
    Structure(require=frozenset({"causal"}), without=NO_GLOBALS, tokens=(1, 40), long=False, takes=HERE),
    ["offset"],
    weight=3,
)
def check_cache_with_offset(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another length may be another order of summation."""
    yield from _steps(probe)


@check(
    "a row of the batch with an offset of its own gives what it gives alone",
    Structure(require=frozenset({"offset"}), without=NO_GLOBALS, batch=(2, 4), takes=EVERY_KIND),
    ["offset", "offset_per_row"],
    weight=2,
)
def check_offset_of_each_row(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another batch may be another order of summation."""
    inputs = probe.inputs
    tokens, queries = inputs.real.shape[1], inputs.shape[2]
    if "offset" not in inputs.arrays:
        free = max(tokens - queries, 0)
        offsets = probe.random.integers(0, free + 1, len(inputs.real)).astype(np.int64)
        inputs = inputs.with_arrays(offset=offsets).with_options(offset=None)
    if probe.has("slopes") and "dilation" not in inputs.options:
        inputs = inputs.with_arrays(slopes=np.full(inputs.shape[1], 0.25))  # distances count, too
    output = probe.run(inputs)
    for row, offset in enumerate(inputs.arrays["offset"]):
        alone = inputs.with_arrays(offset=None).rows([row]).with_options(offset=int(offset) or None)
        bound = alone.bound + inputs.bound.at(np.s_[row : row + 1])
        what = f"row {row} of the batch alone with offset {offset}"
        yield judge(probe.run(alone), output[row : row + 1], bound, what, "as with an offset for each row")


@check(
    "rows that attend no key are exactly 0",
    Structure(without=NO_GLOBALS | {"causal"}, long=False, takes=HERE - {"segments"}),
    ["offset"],
    weight=3,
)
def check_rows_without_keys(probe: Probe) -> Iterator[Verdict]:
    """Exact: the contract's definition, 0 is stored and not computed."""
    inputs = probe.inputs
    tokens = inputs.real.shape[1]
    left, right = sides(inputs.options["window"])
    dilation = inputs.options.get("dilation", 1)
    step = max(dilation) if isinstance(dilation, tuple) else dilation
    places = [] if left is None else [tokens + left * step, tokens + left * step + 70]
    places += [] if right is None else [-tokens - right * step - 1]
    if not places:
        raise NotTaken("a window without a limit on both sides")
    for place in places:
        output = probe.run(inputs.with_options(offset=place))
        yield judge_exact(output, np.zeros_like(output), f"output for queries from token {place} on, which see no key,")


@check(
    "gradients of rows that attend no key are exactly 0, and other rows do not notice them",
    Structure(without=NO_GLOBALS | {"causal"}, long=False, takes=HERE - {"segments"}),
    ["offset", "backward"],
)
def check_gradients_without_keys(probe: Probe) -> Iterator[Verdict]:
    """Exact: nothing depends on anything."""
    inputs = probe.inputs
    left, _ = sides(inputs.options["window"])
    if left is None:
        raise NotTaken("a window without a limit to the left")
    dilation = inputs.options.get("dilation", 1)
    step = max(dilation) if isinstance(dilation, tuple) else dilation
    far = inputs.with_options(offset=inputs.real.shape[1] + left * step)
    for name, gradient in probe.gradients(probe.case.grad_output(), far).items():
        yield judge_exact(gradient, np.zeros_like(gradient), f"gradient of {name} of rows that see no key")


def _steps(probe: Probe) -> Iterator[Verdict]:
    """Yield verdicts on some steps of a cache, each against the same rows of the whole sequence: one of several tokens,
    one of the last token, then others.
    """
    whole, output = probe.inputs, probe.run()
    tokens = whole.shape[2]
    for number in range(min(STEPS, tokens)):
        least = min(2, tokens) if number == 0 else 1
        cached = tokens - 1 if number == 1 else int(probe.random.integers(0, tokens - least + 1))
        new = int(probe.random.integers(least, tokens - cached + 1))
        step, rows = _step(whole, cached, cached + new), np.s_[:, :, cached : cached + new]
        what = f"output of {new} new tokens after {cached}"
        yield judge(probe.run(step), output[rows], step.bound + whole.bound.at(rows), what, "as in the whole sequence")


def _step(whole: Inputs, first: int, last: int) -> Inputs:
    """Return a call for tokens first..last-1 with the keys up to them."""
    cut = {name: whole.arrays[name][:, :, :last] for name in ("key", "value")}
    cut |= {name: whole.arrays[name][:, :last] for name in (*MASKS, "segments") if name in whole.arrays}
    return whole.with_arrays(query=whole.arrays["query"][:, :, first:last], **cut).with_options(offset=first or None)

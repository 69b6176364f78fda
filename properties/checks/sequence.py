"""Symmetries along the sequence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.results.verdict import Verdict, judge

NO_MASKS = frozenset({"padding", "globals"})


@check("reversing the sequence reverses the output", Structure(without=frozenset({"causal"})))
def check_reversal(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another order of the keys is another order of the sums."""
    inputs = probe.inputs
    reverse = lambda array: array[:, ::-1] if array.ndim == 2 else array[:, :, ::-1]  # noqa: E731
    reversed_ = inputs.map_arrays(reverse, [name for name in inputs.arrays if name != "head_mask"])
    bound = reversed_.bound + inputs.bound.at(np.s_[:, :, ::-1])
    yield judge(
        probe.run(reversed_),
        probe.run(inputs)[:, :, ::-1],
        bound,
        "output for the reversed sequence",
        "as the reversed output",
    )


@check(
    "rows whose window lies inside a part of the sequence are the same in that part alone", Structure(without=NO_MASKS)
)
def check_translation(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another place in the tiles may be another order of the sums."""
    inputs = probe.inputs
    tokens = inputs.shape[2]
    first = int(probe.random.integers(tokens))
    last = int(probe.random.integers(first, tokens)) + 1
    part = inputs.map_arrays(lambda array: array[:, :, first:last], inputs.floating)
    inside = inputs.visible.copy()
    inside[..., first:last] = False
    complete = np.logical_not(inside.any(axis=(0, 1, 3)))[first:last]  # rows that attend nothing outside of the part
    bound = part.bound.at(np.s_[:, :, complete]) + inputs.bound.at(np.s_[:, :, first:last]).at(np.s_[:, :, complete])
    yield judge(
        probe.run(part)[:, :, complete],
        probe.run(inputs)[:, :, first:last][:, :, complete],
        bound,
        f"output for tokens {first}..{last - 1} alone",
        "as in the whole sequence",
    )


@check("a window longer than the sequence is as long as the sequence")
def check_window_beyond_length(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another window may be another path."""
    tokens = probe.candidate.limits.covering(probe.inputs.shape[2])
    longer = probe.candidate.limits.covering(4 * tokens + 1)
    just, beyond = probe.inputs.with_options(window=tokens), probe.inputs.with_options(window=longer)
    yield judge(
        probe.run(beyond),
        probe.run(just),
        just.bound + beyond.bound,
        f"output with window {longer}",
        f"as with window {tokens}",
    )


@check(
    "where the window covers the sequence, the order of keys and values does not matter",
    Structure(dense=True, without=NO_MASKS | {"causal", "dilation"}),
)
def check_key_order(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another order of the keys is another order of the sums."""
    inputs = probe.inputs
    order = probe.random.permutation(inputs.shape[2])
    permuted = inputs.map_arrays(lambda array: array[:, :, order], ["key", "value"])
    yield judge(
        probe.run(permuted),
        probe.run(inputs),
        inputs.bound + permuted.bound,
        "output for reordered keys and values",
        "as in their order",
    )


@check(
    "where the window covers the sequence, repeating the whole sequence changes nothing",
    Structure(dense=True, long=False, without=NO_MASKS | {"causal", "dilation"}),
)
def check_repeated_sequence(probe: Probe) -> Iterator[Verdict]:
    """Bounded: twice the keys are other sums."""
    inputs = probe.inputs
    tokens = inputs.shape[2]
    twice = inputs.map_arrays(lambda array: np.concatenate([array, array], axis=2), inputs.floating)
    twice = twice.with_options(window=probe.candidate.limits.covering(2 * tokens))
    once, bound = probe.run(inputs), inputs.bound
    output = probe.run(twice)
    for half in (np.s_[:, :, :tokens], np.s_[:, :, tokens:]):
        what = "output for the sequence twice in a row"
        yield judge(output[half], once, bound + twice.bound.at(half), what, "as for the sequence once")


@check(
    "a dilated window is a plain window on every residue of the positions", Structure(without=NO_MASKS), ["dilation"]
)
def check_dilation_is_a_window_on_residues(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another length and dilation are another path."""
    dilation = 2 + probe.case.seed % 2
    inputs = probe.inputs.with_options(dilation=dilation)
    output = probe.run(inputs)
    plain = inputs.with_options(dilation=None)
    for residue in range(min(dilation, inputs.shape[2])):
        rows = np.s_[:, :, residue::dilation]
        part = plain.map_arrays(lambda array, rows=rows: array[rows], inputs.floating)
        what = f"output for tokens {residue}, {residue + dilation}, ... alone, not dilated,"
        bound = part.bound + inputs.bound.at(rows)
        yield judge(probe.run(part), output[rows], bound, what, f"as with dilation {dilation} in the whole sequence")

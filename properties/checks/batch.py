"""Batch and heads: every row of the batch and every head is computed as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.checks.check import check
from trueband.properties.inputs import Inputs
from trueband.properties.probe import Probe
from trueband.properties.strategies import Structure
from trueband.properties.verdict import Verdict, judge, judge_exact

ROWS = Structure(batch=(2, 4))


@check("reordering the rows of the batch reorders the output", ROWS)
def check_batch_permutation(probe: Probe) -> Iterator[Verdict]:
    inputs = probe.inputs
    order = probe.random.permutation(inputs.shape[0])
    permuted = _rows(inputs, order)
    bound = permuted.bound + inputs.bound.at(np.s_[order])
    yield judge(probe.run(permuted), probe.run(inputs)[order], bound)


@check("a row of the batch computed alone gives the same", ROWS, weight=2)
def check_row_alone(probe: Probe) -> Iterator[Verdict]:
    inputs = probe.inputs
    row = [int(probe.random.integers(inputs.shape[0]))]
    alone = _rows(inputs, row)
    in_batch, by_itself = probe.run(inputs)[row], probe.run(alone)
    yield judge(by_itself, in_batch, alone.bound + inputs.bound.at(np.s_[row]), f"row {row[0]} of the batch alone")


@check("a row of the batch computed alone gives the same, bit for bit", ROWS, needs=["batch_invariant"])
def check_batch_invariance(probe: Probe) -> Iterator[Verdict]:
    inputs = probe.inputs
    output = probe.run(inputs)
    for row in range(inputs.shape[0]):
        yield judge_exact(probe.run(_rows(inputs, [row]))[0], output[row], f"row {row} of the batch alone")


@check("equal rows of the batch give equal results, bit for bit", ROWS)
def check_duplicate_rows(probe: Probe) -> Iterator[Verdict]:
    output = probe.run(_rows(probe.inputs, [0] * probe.inputs.shape[0]))
    yield judge_exact(output, np.broadcast_to(output[:1], output.shape))


@check("reordering the heads reorders the output", Structure(heads=(2, 4)))
def check_head_permutation(probe: Probe) -> Iterator[Verdict]:
    inputs = probe.inputs
    order = probe.random.permutation(inputs.shape[1])
    permuted = inputs.map_arrays(lambda array: array[:, order], inputs.floating)
    permuted = permuted.map_arrays(lambda array: array[order], ["head_mask"])
    if isinstance(inputs.options.get("dilation"), tuple):
        permuted = permuted.with_options(dilation=tuple(inputs.options["dilation"][head] for head in order))
    bound = permuted.bound + inputs.bound.at(np.s_[:, order])
    yield judge(probe.run(permuted), probe.run(inputs)[:, order], bound)


def _rows(inputs: Inputs, rows: list[int] | np.ndarray) -> Inputs:
    """Some rows of the batch, in the given order."""
    return inputs.map_arrays(lambda array: array[rows], [name for name in inputs.arrays if name != "head_mask"])

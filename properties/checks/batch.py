"""Batch and heads: every row of the batch and every head is computed as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import PER_HEAD
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.same import judge_same
from trueband.properties.results.verdict import Verdict, judge

ROWS = Structure(batch=(2, 4), takes=EVERY_KIND)


@check("reordering the rows of the batch reorders the output", ROWS)
def check_batch_permutation(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another place in the batch may be another address, tile or thread."""
    inputs = probe.inputs
    order = probe.random.permutation(inputs.shape[0])
    permuted = inputs.rows(order)
    bound = permuted.bound + inputs.bound.at(np.s_[order])
    yield judge(
        probe.run(permuted),
        probe.run(inputs)[order],
        bound,
        "output for reordered rows of the batch",
        "as the output, reordered",
    )


@check("a row of the batch computed alone gives the same", ROWS, weight=2)
def check_row_alone(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another shape may be another order of summation."""
    inputs = probe.inputs
    row = [int(probe.random.integers(inputs.shape[0]))]
    alone = inputs.rows(row)
    in_batch, by_itself = probe.run(inputs)[row], probe.run(alone)
    yield judge(
        by_itself,
        in_batch,
        alone.bound + inputs.bound.at(np.s_[row]),
        f"row {row[0]} of the batch alone",
        "as in the batch",
    )


@check(
    "a row of the batch computed alone gives the same, bit for bit",
    ROWS,
    ["batch_invariant"],
    exact_with="batch_invariant",
)
def check_batch_invariance(probe: Probe) -> Iterator[Verdict]:
    """Exact with batch_invariant, which is declared; no other kernel is held to it."""
    inputs = probe.inputs
    output = probe.run(inputs)
    for row in range(inputs.shape[0]):
        alone, bound = inputs.rows([row]), inputs.bound.at(np.s_[row : row + 1])
        yield judge_same(
            probe,
            probe.run(alone),
            output[row : row + 1],
            alone.bound + bound,
            f"row {row} of the batch alone",
            "the same row in another batch",
            "batch_invariant",
        )


@check("equal rows of the batch give equal results", ROWS, exact_with="batch_invariant")
def check_duplicate_rows(probe: Probe) -> Iterator[Verdict]:
    """Exact with batch_invariant; bounded without: the rows lie at other addresses."""
    rows = probe.inputs.rows([0] * probe.inputs.shape[0])
    output = probe.run(rows)
    first = np.broadcast_to(output[:1], output.shape)
    compared = "the same row at another place of the batch"
    yield judge_same(probe, output, first, rows.bound.scaled(2), "output for equal rows", compared, "batch_invariant")


@check("reordering the heads reorders the output", Structure(heads=(2, 4), takes=EVERY_KIND - {"gqa"}))
def check_head_permutation(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another place among the heads may be another address, tile or thread."""
    inputs = probe.inputs
    order = probe.random.permutation(inputs.shape[1])
    permuted = inputs.map_arrays(lambda array: array[:, order], inputs.floating)
    permuted = permuted.map_arrays(lambda array: array[order], list(PER_HEAD))
    if isinstance(inputs.options.get("dilation"), tuple):
        permuted = permuted.with_options(dilation=tuple(inputs.options["dilation"][head] for head in order))
    bound = permuted.bound + inputs.bound.at(np.s_[:, order])
    yield judge(
        probe.run(permuted),
        probe.run(inputs)[:, order],
        bound,
        "output for reordered heads",
        "as the output, reordered",
    )

"""Verdicts on large results, part by part: each describes the worst element and where it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.inputs import Inputs
from trueband.properties.checks.same import judge_same
from trueband.properties.linear.counts import Counts
from trueband.properties.linear.gradients import SomeGradients
from trueband.properties.linear.rows import Rows, at_rows, placed, reference_at
from trueband.properties.results.verdict import Verdict, judge, judge_exact
from trueband.reference.arguments import Float


def worst(verdicts: Iterable[Verdict]) -> Iterable[Verdict]:
    """Return the verdict of largest error/bound; nothing where there is none."""
    kept: Verdict | None = None
    for verdict in verdicts:
        if kept is None or verdict.ratio > kept.ratio:
            kept = verdict
    return () if kept is None else (kept,)


def judge_counts(output: Float, expected: Counts, what: str) -> Verdict:
    """Judge one head of an output (b, h, n, d) against its counts; the note of a failure has the counts."""
    place = expected.batch, expected.head
    verdict = judge(output[place], expected.output, expected.bound, what)
    if verdict.passed:
        return verdict
    row, channel = verdict.index
    keys, count = float(expected.keys[row, 0]), float(expected.counts[row, channel])
    note = f"times the {keys:g} keys of the row: {verdict.value * keys:.6g} instead of {count:.6g}"
    return replace(verdict, index=(*place, row, channel), note=note if keys else "")


def judge_gradient(computed: Float, expected: SomeGradients, suffix: str = "") -> Verdict:
    """Judge a gradient (b, h, n, d) at the positions whose gradient is expected."""
    some = computed[expected.batch, expected.heads]
    if len(expected.positions) < some.shape[1]:
        some = some[:, expected.positions]
    verdict = judge(some, expected.exact, expected.bound, f"gradient of {expected.name}{suffix}")
    if len(verdict.index) != 3:
        return verdict
    head, place, channel = verdict.index
    first = expected.heads.start or 0
    return replace(verdict, index=(expected.batch, first + head, int(expected.positions[place]), channel))


def judge_same_rows(
    probe: Probe,
    actual: Float,
    expected: Float,
    inputs: Inputs,
    rows: Rows,
    what: str,
    compared: str,
    feature: str = "deterministic",
) -> Verdict:
    """Compare two outputs that are equal in exact arithmetic: with the feature all bits, else some rows.

    Args:
        inputs: the inputs of both, as far as the rows see them.
        rows: the rows (b, r) to compare within the bounds of both.
        compared, feature: as in `judge_same`.
    """
    if probe.has(feature):
        verdict = judge_exact(actual, expected, what)
        if verdict.passed:
            return verdict
        rows = np.full((len(rows), 1), verdict.index[2])
    bound = reference_at(inputs, rows).bound.scaled(2)
    return placed(
        judge_same(probe, at_rows(actual, rows), at_rows(expected, rows), bound, what, compared, feature), rows
    )

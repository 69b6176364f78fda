"""Draws the evidence: which keys a row sees, and where the errors are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trueband.properties.candidate.probe import Candidate
from trueband.properties.cases.case import Case
from trueband.properties.results import histogram
from trueband.properties.results.record import Record
from trueband.properties.running.evidence import Evidence, gather
from trueband.reports.svg import Cell, bars, grid

# Shades of an error/bound up to 1, from the least: the upper end of each.
SHADES = (0.0, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Picture:
    """Drawings of the case of a record.

    Attributes:
        evidence: what they show.
        figures: (caption, SVG) each.
        remark: what is missing, or to know.
    """

    evidence: Evidence
    figures: list[tuple[str, str]]
    remark: str


def pictures(records: Sequence[Record], candidate: Candidate) -> dict[tuple[str, str], Picture]:
    """By (check, dtype): of the smallest failing case of each operator check that failed, and of the worst case of
    each that passed, in the dtype where its error was largest. Cases that are too long are left out."""
    failed = [record for record in records if record.suite == "operator" and record.case is not None]
    worst: dict[str, Record] = {}
    for record in records:
        if record.suite == "operator" and record.case is None and record.worst_case is not None:
            worst[record.check] = max(worst.get(record.check, record), record, key=lambda record: record.worst)
    drawings = {}
    for record in [*failed, *worst.values()]:
        evidence = _gather(candidate, record)
        if evidence is not None:
            drawings[record.check, record.dtype] = _picture(evidence)
    return drawings


def spread(counts: Sequence[int], what: str) -> str:
    """The histogram of error/bound, both axes logarithmic."""
    names = [histogram.name_of(index) for index in range(histogram.BINS)]
    marks = {names[0]: "0", names[-1]: ">1"}
    for decade in range(-histogram.DECADES, 0, 2):
        marks[names[2 + (decade + histogram.DECADES) * histogram.PER_DECADE]] = f"1e{decade}"
    description = ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True) if count)
    return bars(
        dict(zip(names, counts, strict=True)),
        names[-1:],
        marks,
        f"Cases by error/bound, {what}",
        f"Number of cases with an error/bound of {description or 'none'}.",
    )


def _gather(candidate: Candidate, record: Record) -> Evidence | None:
    case, failed = record.case or record.worst_case, record.case is not None
    assert case is not None
    index = tuple((record.verdict or {}).get("index", ()))
    where = index if failed and len(index) == 4 else ()
    return gather(candidate, Case.from_dict(case), where, decode=failed, gradients="gradient" in record.check)


def _picture(evidence: Evidence) -> Picture:
    figures = []
    if evidence.decoded is not None:
        figures += [
            ("should see", _mask(evidence, evidence.expected, "Keys that each row should see")),
            ("does see", _mask(evidence, evidence.decoded, "Keys that each row sees", evidence.weight)),
        ]
    figures.append(("error/bound of the output, by row and by the keys that have values", _heat(evidence)))
    if evidence.gradients:
        figures.append(("error/bound of the gradients, by argument and token", _gradients(evidence)))
    remark = (
        f"Something is missing here, because the kernel did not answer: {evidence.trouble}" if evidence.trouble else ""
    )
    if not remark and evidence.decoded is not None and not evidence.alarming:
        remark = (
            "On this input, called once, the kernel is right: what fails is what the check does besides, "
            "such as another call, layout or input."
        )
    return Picture(evidence, figures, remark)


def _mask(evidence: Evidence, counts: np.ndarray, title: str, weight: np.ndarray | None = None) -> str:
    """Rows by keys; with the weights, a last column marks the rows whose weights do not sum to 1."""
    tokens = len(counts)
    cells = [[_sight(counts[i, j], evidence.expected[i, j]) for j in range(tokens)] for i in range(tokens)]
    lines = [
        f"row {i}, key {j}: {_count_text(counts[i, j])}"
        for i in range(tokens)
        for j in range(tokens)
        if counts[i, j] != evidence.expected[i, j]
    ]
    names = columns = _names(evidence)
    if weight is not None:
        for row, (value, wrong) in enumerate(zip(weight, evidence.weighs_wrong, strict=True)):
            cells[row].append(Cell("over", "?" if math.isnan(value) else number(value)) if wrong else Cell("unseen"))
            lines += [f"row {row}: its weights sum to {value:.3g}"] if wrong else []
        columns = [*names, "sum"]
    differences = f"{len(lines)} differences: {'; '.join(lines[:12])}." if lines else "All as expected."
    return grid(cells, names, columns, ("row", "key"), title, f"{tokens} rows by {tokens} keys. {differences}")


def _sight(count: float, expected: float) -> Cell:
    """Seen, not seen; or wrongly so: missing, extra, counted more than once, unreadable."""
    if math.isnan(count):
        return Cell("unreadable", "?")
    if count == expected:
        return Cell("seen" if count else "unseen")
    if count == 0:
        return Cell("missing", "M")
    return Cell("extra", "E") if expected == 0 else Cell("multiple", f"{count:.0f}")


def _count_text(count: float) -> str:
    if math.isnan(count):
        return "cannot be read"
    return "not seen" if count == 0 else f"seen {count:.0f} times" if count > 1 else "seen"


def _names(evidence: Evidence) -> list[str]:
    """Numbers of tokens: x for a masked one, G for a global one."""
    marks = [
        "x" if masked else "G" if flagged else ""
        for masked, flagged in zip(evidence.masked, evidence.flagged, strict=True)
    ]
    return [f"{mark}{number}" for number, mark in enumerate(marks)]


def _heat(evidence: Evidence) -> str:
    cells = np.concatenate([evidence.ratio, evidence.total[:, None]], axis=1)
    names = [str(first) if first == last else f"{first}-{last}" for first, last in evidence.blocks]
    return _ratios(cells, _names(evidence), [*names, "all"], ("row", "keys with values"), "output")


def _gradients(evidence: Evidence) -> str:
    cells = np.stack(list(evidence.gradients.values()))
    names = [_shortened(name) for name in evidence.gradients]
    return _ratios(cells, names, _names(evidence), ("argument", "token"), "gradients")


def _shortened(name: str) -> str:
    """q, k, v; gq, gk, gv for the rows of global tokens."""
    return ("g" if name.endswith("_global") else "") + name[0]


def _ratios(cells: np.ndarray, rows: Sequence[str], columns: Sequence[str], axes: tuple[str, str], what: str) -> str:
    largest = float(np.nanmax(cells, initial=0.0))
    over = int((cells > 1).sum())
    description = f"The largest is {number(largest)}; {over} of {cells.size} cells are above 1."
    return grid(
        [[_ratio(float(value)) for value in row] for row in cells],
        rows,
        columns,
        axes,
        f"error/bound of the {what}",
        description,
    )


def _ratio(value: float) -> Cell:
    if math.isnan(value):
        return Cell("unreadable", "?")
    if value > 1:
        return Cell("over", number(value))
    shade = next(index for index, end in enumerate(SHADES) if value <= end)
    return Cell(f"shade{shade}", number(value) if value else "")


def number(value: float) -> str:
    """An error/bound in few letters: .05, 3e4, ∞."""
    if math.isinf(value):
        return "∞"
    if value >= 100 or 0 < value < 0.01:
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:.2g}".removeprefix("0") or "0"

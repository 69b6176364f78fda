"""Fills the template of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from trueband.properties.candidate.called import all_in_words
from trueband.properties.results import histogram
from trueband.properties.results.record import Record
from trueband.reports.machines import machines_of, rows
from trueband.reports.pictures import Picture, number, spread
from trueband.reports.style import STYLE
from trueband.reports.summary import headline, smallest_first
from trueband.reports.svg import Cell, swatch

# Without a picture a failure is described in words. Nobody reads a page of hundreds of pictures.
SHOWN = 40
LEGEND = {
    "seen": "seen",
    "unseen": "not seen",
    "missing": "M: should be seen, is not",
    "extra": "E: seen, should not be",
    "multiple": "2: counted more than once",
    "shade4": "error/bound up to 1, darker is more",
    "over": "above 1: wrong",
}
LETTERS = {"missing": "M", "extra": "E", "multiple": "2", "over": "3e4"}
NOT_ENVIRONMENT = ("record", "target", "machine", "machines", "covered", "left_out", "models_covered")

Pictures = Mapping[tuple[str, str], Picture]


class Spread(NamedTuple):
    """The histogram of one dtype, over all cases."""

    dtype: str
    svg: str
    cases: int
    above: int
    largest: float


def page(
    records: Sequence[Record], run: Mapping[str, Any], drawn: Pictures, interrupted: bool = False, planned: int = 0
) -> str:
    """The HTML text.

    Args:
        records: the records of the run.
        run: what ran where; see `trueband.reports.json_lines.run_head`.
        drawn: the drawings of `trueband.reports.pictures`.
        interrupted: the run did not end by itself.
        planned: how many checks should have run, where that is known.
    """
    verdict = headline(records, planned)
    near = [r for r in records if r.passed and r.worst_case and (r.check, r.dtype) in drawn]
    text: str = _template().render(
        target=str(run.get("target", "trueband")),
        run={"trueband": "", "covered": "", "left_out": {}, "models_covered": "", **run},
        records=records,
        failed=smallest_first(record for record in records if not record.passed),
        expected=[record for record in records if record.status == "expected"],
        interrupted=interrupted,
        headline=f"{verdict[0].upper()}{verdict[1:]}",
        style=STYLE,
        shown=SHOWN,
        drawn=drawn,
        legend=[(swatch(Cell(kind, LETTERS.get(kind, ""))), meaning) for kind, meaning in LEGEND.items()],
        matrices=[_matrix(records, suite) for suite in dict.fromkeys(record.suite for record in records)],
        spreads=_spreads(records),
        closest=sorted(near, key=lambda record: -record.worst),
        environment=_environment(records, run),
        machines=[rows(machine) for machine in machines_of(run)],
    )
    return text


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # nothing but a page needs it

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"json": json.dumps, "anchor": _anchor, "number": number, "all_in_words": all_in_words}
    return environment.get_template("page.html")


def _matrix(records: Sequence[Record], suite: str) -> tuple[str, list[str], dict[str, dict[str, Record]]]:
    """A suite, its columns (dtypes, architectures, or witnesses), and the records of each check by column."""
    cells: dict[str, dict[str, Record]] = {}
    for record in records:
        if record.suite == suite:
            cells.setdefault(record.check, {})[record.target if suite == "golden" else record.dtype] = record
    return suite, list(dict.fromkeys(name for row in cells.values() for name in row)), cells


def _spreads(records: Sequence[Record]) -> list[Spread]:
    counted = [record for record in records if any(record.histogram)]
    drawings = []
    for dtype in dict.fromkeys(record.dtype for record in counted):
        of_dtype = [record for record in counted if record.dtype == dtype]
        counts = histogram.add(record.histogram for record in of_dtype)
        largest = max((record.worst for record in of_dtype), default=0.0)
        drawings.append(Spread(dtype, spread(counts, dtype), sum(counts), counts[-1], largest))
    return drawings


def _environment(records: Sequence[Record], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [(name, _plain(value)) for name, value in run.items() if name not in NOT_ENVIRONMENT]
    return [*rows, ("suites", ", ".join(dict.fromkeys(record.suite for record in records)))]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | dict) else str(value)


def _anchor(record: Record) -> str:
    return f"{record.suite}-{record.check}-{record.dtype}-{record.target}".replace(" ", "-")

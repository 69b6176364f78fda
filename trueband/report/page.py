"""The page itself: the verdict first, then what failed, then everything else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from trueband.made_on import machines_of, rows
from trueband.properties import histogram
from trueband.properties.called import shown_all
from trueband.properties.record import Record, without_answer
from trueband.report.pictures import Picture, number, spread
from trueband.report.style import STYLE
from trueband.report.svg import Cell, swatch

# Without a picture a failure is told in words; a page of hundreds of pictures is read by nobody.
SHOWN = 40

Pictures = Mapping[tuple[str, str], Picture]


def page(records: Sequence[Record], run: Mapping[str, Any], drawn: Pictures, interrupted: bool = False) -> str:
    """The HTML text.

    Args:
        records: of the run.
        run: what ran where; see `trueband.reports.run_head`.
        drawn: of `trueband.report.pictures`.
        interrupted: the run did not end by itself.
    """
    failed = sorted((r for r in records if not r.passed), key=lambda r: (r.case or {}).get("tokens", 0))
    expected = [record for record in records if record.status == "expected"]
    target = str(run.get("target", "trueband"))
    parts = [
        f"<header><p class=soft>trueband {escape(str(run.get('trueband', '')))}</p><h1>{escape(target)}</h1>",
        _verdict(records, failed, expected, interrupted),
        _covered(run),
        "</header>",
        *_failures(failed, drawn),
        *_expected(expected),
        *_matrices(records, failed),
        *_spreads(records),
        *_worst(records, drawn),
        _environment(records, run),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>trueband: {escape(target)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def headline(records: Sequence[Record]) -> str:
    """The verdict in one line."""
    failed = sum(not record.passed for record in records)
    expected, left = (sum(record.status == status for record in records) for status in ("expected", "not asked"))
    cases, seconds = sum(record.cases for record in records), sum(record.seconds for record in records)
    if not records:
        return "Nothing ran"
    told = f"{failed} of {len(records)} checks failed{without_answer(records)}"
    told = told if failed else f"All {len(records) - expected - left} checks passed"
    more = f", {expected} failed as expected" if expected else ""
    more += f", {left} not asked" if left else ""
    return f"{told}{more}: {cases:,} cases in {seconds:.0f} s"


def _verdict(records: Sequence[Record], failed: Sequence[Record], expected: Sequence[Record], interrupted: bool) -> str:
    kind = "bad" if failed or not records else "warn" if expected or interrupted else "good"
    cut = "<p class=warn>The run was interrupted: this is what had finished.</p>" if interrupted else ""
    return f'<p class="verdict {kind}">{escape(headline(records))}</p>{cut}'


def _failures(failed: Sequence[Record], drawn: Pictures) -> Iterator[str]:
    if not failed:
        return
    yield f"<h2>What failed</h2>{_legend()}"
    for record in failed[:SHOWN]:
        yield (
            f'<section class=case id="{_anchor(record)}"><h3><span class=bad>{escape(record.status.upper())}</span> '
            f"{escape(record.check)} [{escape(record.dtype)}]</h3><p class=soft>{escape(record.claim)}</p>"
            f"<p><b>{escape(record.message)}</b></p>{_case(record.case)}"
            f"{_called(record)}{_figures(drawn.get((record.check, record.dtype)))}"
            + (f"<p class=soft>See it again:</p><pre>{escape(record.reproduce)}</pre>" if record.reproduce else "")
            + "</section>"
        )
    for record in failed[SHOWN:]:
        yield (
            f'<p id="{_anchor(record)}"><b class=bad>{escape(record.status.upper())}</b> {escape(record.check)} '
            f"[{escape(record.dtype)}] {escape(record.message)}</p>"
        )


def _expected(expected: Sequence[Record]) -> Iterator[str]:
    if expected:
        yield "<h2>Failed as expected</h2><div class=wide><table><thead><tr><th>check<th>reason</thead><tbody>"
        for record in expected:
            yield f"<tr><td>{escape(record.check)} [{escape(record.dtype)}]<td>{escape(record.reason)}"
        yield "</tbody></table></div>"


def _matrices(records: Sequence[Record], failed: Sequence[Record]) -> Iterator[str]:
    """One table for each suite: checks by dtype (or architecture and dtype, or witness)."""
    links = set(map(_anchor, failed))
    for suite in dict.fromkeys(record.suite for record in records):
        rows: dict[str, dict[str, Record]] = {}
        for record in records:
            if record.suite == suite:
                rows.setdefault(record.check, {})[_column(record)] = record
        columns = list(dict.fromkeys(name for row in rows.values() for name in row))
        yield (
            f"<h2>Checks: {escape(suite)}</h2><p class=soft>A number is the largest error found, in units of the bound "
            "computed for its element; above 1 is a fault.</p><div class=wide><table class=matrix><thead><tr><th>check"
            + "".join(f"<th>{escape(name)}" for name in columns)
            + "</thead><tbody>"
        )
        for check, row in rows.items():
            cells = "".join(f"<td class=cell>{_cell(row.get(name), links)}" for name in columns)
            claim = escape(next(iter(row.values())).claim)
            yield f'<tr><th scope=row title="{claim}">{escape(check)}{cells}'
        yield "</tbody></table></div>"


def _column(record: Record) -> str:
    return record.target if record.suite == "golden" else record.dtype


def _cell(record: Record | None, links: set[str]) -> str:
    if record is None:
        return ""
    if not record.passed:
        told = f"<b class=bad>{escape(record.status.upper())}</b>"
        return f'<a href="#{_anchor(record)}">{told}</a>' if _anchor(record) in links else told
    if record.status == "expected":
        return "<span class=warn>expected</span>"
    if record.status == "not asked":
        return "not asked"
    return "<span class=good>ok</span>" + (f" {number(record.worst)}" if record.worst else "")


def _spreads(records: Sequence[Record]) -> Iterator[str]:
    """A histogram for each dtype, over all cases."""
    counted = [record for record in records if any(record.histogram)]
    if not counted:
        return
    yield "<h2>How large the errors are</h2><p class=soft>Cases by their largest error/bound, on two logarithmic axes. "
    yield 'The bar at 0 has no error at all; one at "&gt;1" is an alarm. Cases tried while shrinking are left out.</p>'
    yield "<div class=figures>"
    for dtype in dict.fromkeys(record.dtype for record in counted):
        counts = histogram.add(record.histogram for record in counted if record.dtype == dtype)
        largest = max((record.worst for record in counted if record.dtype == dtype), default=0.0)
        yield (
            f"<figure>{spread(counts, dtype)}<figcaption>{escape(dtype)}: {sum(counts):,} cases, {counts[-1]} above 1, "
            f"largest that passed {number(largest)}</figcaption></figure>"
        )
    yield "</div>"


def _worst(records: Sequence[Record], drawn: Pictures) -> Iterator[str]:
    """The case that came closest to its bound, of each check that passed and has a picture."""
    told = [r for r in records if r.passed and r.worst_case and (r.check, r.dtype) in drawn]
    if not told:
        return
    yield "<h2>Closest to the bound</h2><p class=soft>Of each check that passed, the case with the largest error.</p>"
    for record in sorted(told, key=lambda record: -record.worst):
        assert record.worst_case is not None
        yield (
            f"<details><summary>{escape(record.check)} [{escape(record.dtype)}]: {number(record.worst)}</summary>"
            f"{_case(record.worst_case, 'The case')}{_figures(drawn[record.check, record.dtype])}"
            f"<pre>{escape(record.reproduce_case(record.worst_case))}</pre></details>"
        )


def _case(case: Mapping[str, Any] | None, what: str = "The smallest case") -> str:
    if case is None:
        return ""
    return f"<p>{what}: <code>{escape(json.dumps(case))}</code></p>"


def _called(record: Record) -> str:
    return f"<p>Called with {escape(shown_all(record.called))}.</p>" if record.called else ""


def _figures(picture: Picture | None) -> str:
    if picture is None:
        return ""
    where = f"sequence {picture.evidence.batch}, head {picture.evidence.head} of the case, as it is"
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for caption, svg in picture.figures
    )
    remark = f"<p>{escape(picture.remark)}</p>" if picture.remark else ""
    return f"<div class=figures>{figures}</div><p class=soft>Pictures: {where}.</p>{remark}"


def _legend() -> str:
    keys = {
        "seen": "seen", "unseen": "not seen", "missing": "M: should be seen, is not",
        "extra": "E: seen, should not be", "multiple": "2: counted more than once",
        "shade4": "error/bound up to 1, darker is more", "over": "above 1: wrong",
    }  # fmt: skip
    letters = {"missing": "M", "extra": "E", "multiple": "2", "over": "3e4"}
    drawn = "".join(f"<span>{swatch(Cell(kind, letters.get(kind, '')))}{told}</span>" for kind, told in keys.items())
    return f"<p class=key>{drawn}<span>x3: token 3 is masked; G3: it is global</span></p>"


def _covered(run: Mapping[str, Any]) -> str:
    """The sizes that a kernel was asked for, and what was too much for it."""
    if not run.get("covered"):
        return ""
    left = "".join(f"<li>{escape(shape)}: {escape(why)}" for shape, why in run.get("left_out", {}).items())
    listed = f"<details><summary>Left out</summary><ul>{left}</ul></details>" if left else ""
    return f"<p>Covered: {escape(str(run['covered']))}.</p>{listed}"


def _environment(records: Sequence[Record], run: Mapping[str, Any]) -> str:
    left = ("record", "target", "machine", "machines", "covered", "left_out")
    told = [(name, _plain(value)) for name, value in run.items() if name not in left]
    told.append(("suites", ", ".join(dict.fromkeys(record.suite for record in records))))
    machines = machines_of(run)
    parts = [f"<h2>Environment</h2>{_list(told)}"]
    for place, machine in enumerate(machines, start=1):
        title = "Machine" if len(machines) == 1 else f"Machine {place} of {len(machines)}"
        parts.append(f"<h3>{title}</h3>{_list(rows(machine))}")
    return "".join(parts)


def _list(told: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}<dd>{escape(value)}" for name, value in told) + "</dl>"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | dict) else str(value)


def _anchor(record: Record) -> str:
    return escape(f"{record.suite}-{record.check}-{record.dtype}-{record.target}".replace(" ", "-"))

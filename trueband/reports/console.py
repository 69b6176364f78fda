"""The report of a run for a person: the table of checks, and the failures."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trueband.properties.candidate.called import all_in_words
from trueband.properties.candidate.covered import Covered
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.candidate.target import FEATURES
from trueband.properties.checks import CHECKS
from trueband.properties.models.training import TRAINING
from trueband.properties.results.record import Record
from trueband.reports.summary import by_error, headline, smallest_first
from trueband.witnesses.torch_models import TorchModels

MODEL_FEATURES = ("deterministic", *TRAINING)
SHOWN_FAILURES = 3
SHOWN_LEFT_OUT = 3
SHOWN_LINES = 8  # the last ones of a traceback, and of what a kernel has printed
WIDTH_OF_A_FILE = 120
WIDEST = 10_000  # columns of a table in a file, which takes what it needs of them


def report_console() -> Console:
    """The console of reports: stdout, as wide as the terminal, or as is readable in a file."""
    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout, width=None if terminal else WIDTH_OF_A_FILE, highlight=False, soft_wrap=not terminal
    )


def print_line(line: str) -> None:
    """Print one line on stdout."""
    report_console().print(Text(line))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> None:
    """Print a table on stdout. In a file every row is one line, however long.

    Args:
        heads: the heads of the columns. No heads are printed where all are empty.
        right: the heads of the columns that are aligned to the right.
    """
    console = report_console()
    if console.is_terminal:
        console.print(_plain(heads, rows, right, wrap=True))
    else:
        print(table_text(heads, rows, right))


def print_fields(fields: Iterable[tuple[str, str | None]], indent: str = "") -> None:
    """Print names and values on stdout as a table. Empty values are left out."""
    print_table(("", ""), ((indent + name, value) for name, value in fields if value))


def table_text(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> str:
    """The table of `print_table` as plain text. Every row is one line, without spaces at its end."""
    console = Console(file=io.StringIO(), width=WIDEST, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(_plain(heads, rows, right, wrap=False))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _plain(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str], wrap: bool) -> Table:
    table = Table(box=None, pad_edge=False, show_header=any(heads))
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", no_wrap=not wrap)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def print_report(
    records: Sequence[Record], candidate: RemoteRunner | None, tried: TorchModels | None = None, planned: int = 0
) -> None:
    """The tables, the failures, and the last line that sums up.

    Args:
        candidate: the kernel, tried: the models, that were checked; None where there were none.
        planned: how many checks should have run, where that is known.
    """
    console = report_console()
    operator = [record for record in records if record.suite == "operator"]
    models = [record for record in records if record.suite == "models"]
    golden = [record for record in records if record.suite == "golden"]
    if candidate is not None and operator:
        print_covered(candidate.covered)
    if operator:
        console.print(_table(operator, f"{operator[0].target}: checks by dtype"))
    if models:
        if tried is not None and tried.covered:
            console.print(Text(f"Covered: {tried.covered}."))
        console.print(_table(models, "Models on random weights, float64 and float32: checks by architecture"))
    if golden:
        console.print(_table(golden, "Published trained weights: checks by witness"))
    if records:
        console.print(Text("A number is the largest error found, in units of the bound computed for its case."))
    if candidate is not None and operator:
        missing = [name for name in FEATURES if name not in candidate.features and name not in ("limits", "streams")]
        if missing:
            console.print(Text(f"Not claimed by the target, and not checked: {', '.join(missing)}."))
        if candidate.library == "torch" and "streams" not in candidate.features:
            console.print(Text(f"Checked on a CUDA device only: {', '.join(on_devices(candidate.features))}."))
        if "deterministic" in missing:
            console.print(Text("Two calls that should give the same were compared by their bounds, not bit for bit."))
    if tried is not None and models:
        missing = [name for name in MODEL_FEATURES if name not in tried.features]
        if missing:
            console.print(Text(f"Not claimed by the models, and not checked: {', '.join(missing)}."))
    print_expected([record for record in records if record.status == "expected"])
    print_failures([record for record in records if not record.passed])
    wrong = not records or any(not record.passed for record in records)
    console.print(Text(f"\n{headline(records, planned)}", style="bold red" if wrong else "bold green"))


def on_devices(features: Collection[str]) -> list[str]:
    """Name the checks that a target would be asked on a device, too."""
    there = {*features, "streams"}
    return [name for name, check in CHECKS.items() if "streams" in check.needs and check.applies_to(there)]


def print_covered(covered: Covered) -> None:
    """The sizes that a kernel was asked for, and those that were too much for it."""
    console = report_console()
    if covered:
        console.print(Text(f"Covered: {covered}."))
    for note in covered.notes:
        console.print(Text(f"  noted: {note}"))
    for shape, why in list(covered.left_out.items())[:SHOWN_LEFT_OUT]:
        console.print(Text(f"  left out: {shape}: {why}"))
    rest = len(covered.left_out) - SHOWN_LEFT_OUT
    if rest > 0:
        console.print(Text(f"  left out: {rest} more (all of them with --json FILE)"))


def print_expected(expected: Sequence[Record]) -> None:
    """Print what failed as expected, each reason once."""
    console = report_console()
    reasons: dict[str, list[str]] = {}
    for record in expected:
        reasons.setdefault(record.reason, []).append(f"{record.check} [{record.dtype}]")
    if reasons:
        console.print(Text("\nFailed as expected:", style="bold yellow"))
    for reason, names in reasons.items():
        more = f" and {len(names) - SHOWN_FAILURES} more" if len(names) > SHOWN_FAILURES else ""
        console.print(Text(f"  {reason}: {', '.join(names[:SHOWN_FAILURES])}{more}"))


def print_failures(failures: Sequence[Record]) -> None:
    """The failures with the smallest cases in full, and the names of the rest."""
    console = report_console()
    groups = by_error(smallest_first(failures))
    for record, *same in groups[:SHOWN_FAILURES]:
        console.print(Text(f"\n{record.status.upper()} {record.check} [{record.dtype}]", style="bold red"))
        console.print(Text(f"  claim      {record.claim}"))
        if record.case is not None:
            console.print(Text(f"  case       {json.dumps(record.case)}  (the smallest found)"))
        if record.called:
            console.print(Text(f"  called     with {all_in_words(record.called)}"))
        console.print(Text(f"  verdict    {record.message}"))
        for head, lines in (("traceback", record.traceback), ("printed", record.printed)):
            for line in lines.splitlines()[-SHOWN_LINES:]:
                console.print(Text(f"  {head:9}  {line}"))
                head = ""
        if same:
            console.print(Text(f"  hides      {len(same)} more checks that the same error ended: {_names(same)}"))
        if record.reproduce:
            console.print(Text(f"  reproduce  {record.reproduce}"))
    rest = [record for group in groups[SHOWN_FAILURES:] for record in group]
    if rest:
        console.print(Text(f"\n{len(rest)} more (all of them with --json FILE): {_names(rest)}"))


def _names(records: Sequence[Record]) -> str:
    return ", ".join(f"{record.check} [{record.dtype}]" for record in records)


def _table(records: Sequence[Record], title: str) -> Table:
    """Make a table with a row for each check, and a column for each dtype, architecture or witness."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("check", no_wrap=True)
    columns = list(dict.fromkeys(_column(record) for record in records))
    for column in columns:
        table.add_column(column, no_wrap=True)
    cells: dict[str, dict[str, Record]] = {}
    for record in records:
        row = cells.setdefault(record.check, {})
        there = row.get(_column(record))
        if there is None or _gravity(record) > _gravity(there):
            row[_column(record)] = record
    for check, row in cells.items():
        table.add_row(check, *(_cell(row.get(column)) for column in columns))
    return table


def _gravity(record: Record) -> tuple[bool, bool, float]:
    """Order the records of one cell: a failure comes before an expected failure, before the largest error."""
    return not record.passed, record.status == "expected", record.worst


def _column(record: Record) -> str:
    if record.suite == "golden":
        return "optimized" if "optimized" in record.target else "reference"
    return record.dtype.split()[0]  # the architecture of "led float64"


def _cell(record: Record | None) -> Text:
    if record is None:
        return Text("")
    if not record.passed:
        return Text(record.status.upper(), style="bold red")
    if record.status == "expected":
        return Text("expected", style="yellow")
    if record.status == "not asked":
        return Text("not asked", style="yellow")
    return Text(f"ok {record.worst:.2g}" if record.worst else "ok", style="green")

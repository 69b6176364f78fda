"""The report of a campaign for a person: cases, alarms, the spread of errors for each dtype, then the failures."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.table import Table
from rich.text import Text

from trueband.properties.results.histogram import BINS, add, name_of
from trueband.properties.results.record import Record
from trueband.properties.running.campaign import Block
from trueband.reports.console import print_expected, print_failures, report_console


def print_campaign(title: str, blocks: Sequence[Block], records: Sequence[Record]) -> None:
    """The tables, the failures, and one line that sums up."""
    console = report_console()
    dtypes = list(dict.fromkeys(block.dtype for block in blocks))
    groups = [[block for block in blocks if block.dtype == dtype] for dtype in dtypes]
    expected = {(record.check, record.dtype) for record in records if record.status == "expected"}
    console.print(_counts(title, dtypes, groups, expected))
    console.print(_spread(dtypes, groups))
    print_expected([record for record in records if record.status == "expected"])
    failed = [record for record in records if not record.passed]
    print_failures(failed)
    cases, seconds = sum(block.cases for block in blocks), sum(block.seconds for block in blocks)
    summary = f"{_alarms(blocks, expected):,} alarms in {cases:,} cases of {len(records)} checks, {seconds:.0f} s"
    if expected:
        summary += f"; {len(expected)} checks failed as expected"
    stale = sum(bool(record.reason) for record in failed)
    if stale:
        summary += f"; {stale} expected to fail, and passed"
    console.print(Text(f"\n{summary}", style="bold red" if failed else "bold green"))


def _alarms(blocks: Sequence[Block], expected: Collection[tuple[str, str]]) -> int:
    return sum(block.alarms for block in blocks if (block.check, block.dtype) not in expected)


def _counts(
    title: str, dtypes: Sequence[str], groups: Sequence[Sequence[Block]], expected: Collection[tuple[str, str]]
) -> Table:
    table = _table(title, "", dtypes)
    random = [[block for block in group if block.histogram] for group in groups]
    table.add_row("random cases", *(f"{sum(block.cases for block in group):,}" for group in random))
    small = [[block for block in group if not block.histogram] for group in groups]
    table.add_row("patterns of the small world", *(f"{sum(block.cases for block in group):,}" for group in small))
    table.add_row("alarms", *(f"{_alarms(group, expected):,}" for group in groups))
    table.add_row("largest error/bound", *(f"{max(block.worst for block in group):.3g}" for group in groups))
    return table


def _spread(dtypes: Sequence[str], groups: Sequence[Sequence[Block]]) -> Table:
    """Random cases by their largest error/bound; ranges without a case at either end are left out."""
    sums = [add(block.histogram for block in group) for group in groups]
    table = _table("\nRandom cases by largest error/bound", "error/bound", dtypes)
    used = [index for index in range(BINS) if any(counts[index] for counts in sums)]
    for index in range(used[0], used[-1] + 1) if used else ():
        table.add_row(name_of(index), *(f"{counts[index]:,}" for counts in sums))
    return table


def _table(title: str, first: str, dtypes: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for dtype in dtypes:
        table.add_column(dtype, justify="right", no_wrap=True)
    return table

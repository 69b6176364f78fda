"""The report of `trueband faults`."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from trueband.properties.checks import CHECKS
from trueband.properties.faults.campaign import Row
from trueband.properties.faults.catalog import Entry, catalog
from trueband.properties.faults.invisible import INVISIBLE
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.reports.console import print_line, print_table

QUICKLY, QUICKLY_AT_SIZE = 1.0, 5.0  # seconds
GOAL_QUICKLY, GOAL_QUICK_TIER, GOAL_TOKENS = 0.95, 0.98, 4


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures that the goals are set for."""
    detections = {row.fault: row.detection for row in rows if row.detection is not None}
    tokens = [detection.tokens for detection in detections.values() if detection.tokens is not None]
    at_size = [row.fault for row in rows if catalog()[row.fault].at_size]
    within = [name for name, detection in detections.items() if detection.caught and detection.seconds <= _bar(name)]
    return {
        "faults": len(rows),
        "classes": dict(Counter(catalog()[row.fault].kind for row in rows)),
        "caught": sum(row.caught for row in rows),
        "survivors": [row.fault for row in rows if not row.caught],
        "within_1_s": sum(name not in at_size for name in within) if detections else None,
        "at_size": len(at_size),
        "within_5_s": sum(name in at_size for name in within) if detections else None,
        "median_tokens": statistics.median(tokens) if tokens else None,
    }


def _bar(name: str) -> float:
    """Seconds that a fault should be noticed in."""
    return QUICKLY_AT_SIZE if catalog()[name].at_size else QUICKLY


def print_list(entries: Sequence[Entry]) -> None:
    """Name, class, level and story of faults, and what no check can see."""
    print_table(
        ("",) * 4,
        (
            (entry.name, entry.kind, entry.level, f"{entry.story}{f'  [seen: {entry.seen}]' if entry.seen else ''}")
            for entry in entries
        ),
    )
    names = {entry.name for entry in entries}
    for fault in INVISIBLE:
        if fault.fault in names:
            print_line(f"invisible in {', '.join(fault.dtypes)}: {fault.fault}: {fault.argument}")
    print_line(f"{len(entries)} faults in {len({entry.kind for entry in entries})} classes")


def print_rows(rows: Sequence[Row], matrix: bool) -> None:
    """The table, and how the figures stand to the goals."""
    if not rows:
        return
    (_print_matrix if matrix else _print_detections)(rows)
    totals = summary(rows)
    print_line("")
    print_line("by class: " + ", ".join(f"{kind} {count}" for kind, count in totals["classes"].items()))
    print_line(f"caught: {totals['caught']} of {totals['faults']} (goal: all)")
    for name in totals["survivors"]:
        print_line(f"  SURVIVES {name}: {catalog()[name].story}")
    if not matrix:
        quick = sum(row.caught and row.tier == "quick" for row in rows)
        if any(row.tier == "quick" for row in rows):
            print_line(f"by the quick tier alone: {quick}, {quick / len(rows):.1%} (goal: {GOAL_QUICK_TIER:.0%})")
        small = len(rows) - totals["at_size"]
        _print_share(f"within {QUICKLY:g} s", totals["within_1_s"], small)
        _print_share(
            f"within {QUICKLY_AT_SIZE:g} s, of those that size alone shows", totals["within_5_s"], totals["at_size"]
        )
        print_line(f"median tokens of the smallest counterexample: {totals['median_tokens']} (goal: {GOAL_TOKENS})")


def _print_share(what: str, within: int, of: int) -> None:
    if of:
        print_line(f"{what}: {within} of {of}, {within / of:.1%} (goal: {GOAL_QUICKLY:.0%})")


def _print_detections(rows: Sequence[Row]) -> None:
    heads = ("fault", "class", "noticed by", "dtype", "s", "tokens", "size")
    print_table(heads, map(_detection, rows), right=("s", "tokens"))


def _detection(row: Row) -> tuple[str, ...]:
    detection, entry = row.detection, catalog()[row.fault]
    assert detection is not None
    size = "needed" if entry.at_size else ""
    if not detection.caught:
        return row.fault, entry.kind, f"SURVIVES {detection.cases:,} cases", "", "", "", size
    tokens = "" if detection.tokens is None else str(detection.tokens)
    return row.fault, entry.kind, detection.check, detection.dtype, f"{detection.seconds:.2f}", tokens, size


def _marks(row: Row, checks: Sequence[str]) -> str:
    return "".join("X" if check in row.killed_by else "." if check in row.spared_by else " " for check in checks)


def _print_matrix(rows: Sequence[Row]) -> None:
    """A column for each check, numbered: X notices the fault, . does not, a blank does not apply."""
    tried = {check for row in rows for check in (*row.killed_by, *row.spared_by)}
    checks = [check for check in ("small_world", *CHECKS, *MODEL_CHECKS) if check in tried]
    killed = Counter(check for row in rows for check in row.killed_by)
    print_table(("number", "check"), ((str(i), check) for i, check in enumerate(checks, 1)), right=("number",))
    width = len(str(len(checks)))
    numbers = [str(i).rjust(width) for i in range(1, len(checks) + 1)]
    digits = [("", "".join(number[place] for number in numbers)) for place in range(width)]
    print_table(("", ""), [*digits, *((row.fault, _marks(row, checks)) for row in rows)])
    print_line("")
    print_line("faults that each check notices: " + ", ".join(f"{check} {killed[check]}" for check in checks))
    alone = [f"{row.fault} ({row.killed_by[0]})" for row in rows if len(row.killed_by) == 1]
    print_line("noticed by one check alone: " + (", ".join(alone) or "none"))
    idle = [check for check in checks if not killed[check]]
    print_line("checks that notice none: " + (", ".join(idle) or "none"))

"""`trueband golden diff A B`: two recordings, layer by layer."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.golden.recordings.difference import Apart, difference
from trueband.golden.store import Golden, read_golden
from trueband.properties.results.machine import Machine, machine
from trueband.reports.console import print_line, print_table
from trueband.reports.json_lines import first_line

DESCRIPTION = """\
Compare two recordings of the same inputs, layer by layer. A number is the largest difference in units of the bound of
two correct implementations, one in the dtype of each recording: up to 1 is rounding. The first column compares the
references: beyond 1 the weights or the configuration differ from that layer on. The second compares the outputs of the
optimized models. The exit code is 1 if a number is above 1."""


def add_diff(actions: Commands[Command]) -> None:
    """Register the action."""
    command = add_command(actions, "diff", "compare two recordings, layer by layer", DESCRIPTION, run_diff)
    command.add_argument("a", type=Path, metavar="A", help="a recording")
    command.add_argument("b", type=Path, metavar="B", help="another one of the same inputs")
    command.add_argument("--json", action="store_true", help="print one JSON object")


def run_diff(options: argparse.Namespace) -> int:
    """Compare and report."""
    a, b = (read_golden(path) for path in (options.a, options.b))
    differences = difference(a, b)
    within = all(tap.within for tap in differences)
    if options.json:
        details = first_line(
            "diff", machine(), a=a.id, b=b.id, within=within, taps=[tap.to_dict() for tap in differences]
        )
        print(json.dumps({**details, "machines": [machine_of(a), machine_of(b)]}))
        return exit_codes.PASSED if within else exit_codes.FAILED
    for golden in (a, b):
        details = {**machine_of(golden), **golden.metadata.details}
        versions = ", ".join(f"{name} {details[name]}" for name in ("torch", "device") if name in details)
        print_line(f"{golden.id}: {golden.metadata.dtype}, {versions or 'the reference alone'}")
    print_apart(differences)
    first = next((tap.name for tap in differences if not tap.within), None)
    print_line("no layer is apart by more than rounding" if first is None else f"apart from {first} on")
    return exit_codes.PASSED if within else exit_codes.FAILED


def machine_of(golden: Golden) -> Machine:
    """The machine that made a recording. It is empty in recordings of older versions."""
    recorded: Machine = golden.metadata.details.get("machine", {})
    return recorded


def print_apart(differences: Sequence[Apart]) -> None:
    """A table of taps."""
    if differences:
        print_table(("tap", "reference", "optimized", ""), map(_row, differences), right=("reference", "optimized"))


def _row(apart: Apart) -> tuple[str, ...]:
    own = "" if apart.own is None else f"{apart.own:.3g}"
    return apart.name, f"{apart.reference:.3g}", own, "" if apart.within else "APART"

"""`trueband faults`: run the suite against every seeded fault."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from trueband.cluster.faults import cluster_faults
from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.commands.campaign import check_address
from trueband.properties.faults.campaign import Row, run_faults
from trueband.properties.faults.catalog import catalog
from trueband.properties.results.machine import machine
from trueband.properties.running.plan import matches
from trueband.reports.faults import print_list, print_rows, summary
from trueband.reports.json_lines import JsonLines, first_line
from trueband.reports.progress import Progress
from trueband.session.interrupt import Interrupt
from trueband.session.request import positive

DESCRIPTION = """\
How strong is the suite? Every seeded fault is a small patch of a correct kernel or model. The checks of a tier run on
it until one fails: first a few small cases of each check, then long ones of some, then shapes of production, then more.
No check knows the faults. The table shows which check noticed each fault, how long it took (processor time, without
shrinking), how many tokens the smallest failing case has, and whether size alone shows it. A fault that the quick tier
misses meets the full one. With --matrix every check runs on every fault, which takes hours for all of them: choose some
with -k. The exit code is 1 if a fault survives."""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(commands, "faults", "measure the checks against the seeded faults", DESCRIPTION, run_command)
    add = command.add_argument
    add("-k", dest="pattern", metavar="EXPR", help="faults with EXPR in name, class or level; 'a or b', 'not a'")
    add("--tier", choices=("quick", "full"), default="quick", help="how much of the suite to run (default: quick)")
    add(
        "--dtype",
        action="append",
        choices=("float64", "float32", "float16"),
        metavar="DTYPE",
        help="float64, float32 or float16; may be given more than once (default: all)",
    )
    add("--seed", type=int, default=0, metavar="S", help="seed of the search for cases (default: 0)")
    add("--matrix", action="store_true", help="run every check on every fault, and print a matrix")
    add("--list", action="store_true", help="list the faults, and run nothing")
    add("--json", type=Path, metavar="FILE", help="write one JSON line for each fault, as faults finish")
    add("--jobs", type=positive, default=1, metavar="N", help="processes (default: 1)")
    add(
        "--ray",
        metavar="ADDRESS",
        help="run them on a cluster of Ray: HOST:PORT of its head node, or auto, a local one",
    )


def run_command(options: argparse.Namespace) -> int:
    """Run, print the table and the goals, and return the exit code."""
    entries = [
        entry for entry in catalog().values() if matches(options.pattern, f"{entry.name} {entry.kind} {entry.level}")
    ]
    if not entries:
        raise ValueError(f"-k: expected a part of a fault's name, class or level, got {options.pattern!r}")
    names = [entry.name for entry in entries]
    dtypes = tuple(options.dtype) if options.dtype else None
    if options.list:
        print_list(entries)
        return exit_codes.PASSED
    check_address(options.ray)
    if options.ray and options.jobs > 1:
        raise ValueError("--jobs cannot be used with --ray: the cluster has as many as it has CPUs")
    rows: list[Row] = []
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        lines = stack.enter_context(JsonLines(options.json))
        lines.start(first_line("run", machine(), faults=len(names)))
        progress = stack.enter_context(Progress(len(names), "faults"))
        try:
            results = _results(options, names, dtypes, interrupt)
            for row in interrupt.through(results):
                rows.append(row)
                lines.write("fault", row.to_dict())
                progress.advance(row.fault, "" if row.caught else f"{row.fault} SURVIVES", wrong=True)
                interrupt.raise_if_interrupted()
        except KeyboardInterrupt:
            stack.close()
            print_rows(rows, options.matrix)
            raise
        lines.write("summary", summary(rows))
    print_rows(rows, options.matrix)
    return exit_codes.PASSED if all(row.caught for row in rows) else exit_codes.FAILED


def _results(
    options: argparse.Namespace, names: list[str], dtypes: tuple[str, ...] | None, interrupt: Interrupt
) -> Iterator[Row]:
    if not options.ray:
        return run_faults(names, dtypes, options.tier, options.seed, options.jobs, options.matrix)
    return cluster_faults(
        names, dtypes, options.tier, options.seed, options.matrix, options.ray, interrupt.raise_if_interrupted
    )

"""The files that --junit and --html ask for, and the summary of a step of GitHub Actions."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueband.properties.candidate.probe import Candidate
from trueband.properties.results.record import Record
from trueband.reports.junit import write_junit
from trueband.reports.page import page
from trueband.reports.pictures import pictures
from trueband.reports.step_summary import append_step_summary
from trueband.reports.whole_file import write_whole


def add_options(command: argparse.ArgumentParser, what: str = "a page with pictures of the failures") -> None:
    """--junit and --html."""
    command.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit XML report")
    command.add_argument("--html", type=Path, metavar="FILE", help=f"write {what}, to read in a browser")


def begin_files(options: argparse.Namespace, target: str) -> None:
    """Create empty files: a path that cannot be written fails now, not at the end."""
    if options.junit:
        write_junit(options.junit, [])
    if options.html:
        write_whole(options.html, page([], {"target": target}, {}))


def end_files(
    options: argparse.Namespace,
    records: Sequence[Record],
    run: Mapping[str, Any],
    candidate: Candidate | None,
    interrupted: bool = False,
    planned: int = 0,
) -> None:
    """Write them.

    Args:
        run: what ran where, the result of `trueband.reports.json_lines.run_head`.
        candidate: for the pictures; without it there are none.
        interrupted: the run did not end by itself.
        planned: how many checks should have run, where that is known.
    """
    if options.junit:
        write_junit(options.junit, records)
    append_step_summary(records, run["target"], planned)
    if options.html:
        drawn = pictures(records, candidate) if candidate is not None else {}
        write_whole(options.html, page(records, run, drawn, interrupted, planned))

"""`trueband repro CASE TARGET`: one check on one case again."""

from __future__ import annotations

import argparse
import json
from typing import Any

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.results.record import Record
from trueband.reports.console import print_failures, print_line
from trueband.session.request import FORMER_MODELS, OWN_KERNEL, OWN_MODELS, Request
from trueband.session.run import Run

DESCRIPTION = """\
Run one check on one case again, as the report of a failure says. CASE is a JSON line {"check": NAME, "case": {...}};
the case may be edited by hand."""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(commands, "repro", "run one check on one case again", DESCRIPTION, run_command)
    command.add_argument("case", metavar="CASE", help='a JSON line {"check": NAME, "case": {...}}')
    command.add_argument("target", nargs="?", default=OWN_KERNEL, metavar="TARGET", help="as for trueband check")
    command.add_argument("--device", default="cpu", help="where the target runs (default: cpu)")


def run_command(options: argparse.Namespace) -> int:
    """Run it, print the verdict, and return the exit code."""
    try:
        line = json.loads(options.case)
    except json.JSONDecodeError as error:
        raise ValueError(f"CASE: expected a JSON line, got {options.case!r} ({error})") from error
    if not isinstance(line, dict):
        raise ValueError(f"CASE: expected a JSON object, got {options.case!r}")
    record = _record(line, options)
    if record.passed:
        print_line(f"passed: {record.check} [{record.dtype}] {record.claim} (error/bound {record.worst:.3g})")
    else:
        print_failures([record])
    return exit_codes.of_records([record])


def _record(line: dict[str, Any], options: argparse.Namespace) -> Record:
    """Make the record with the suite that has the check, opened for this alone."""
    of_models = line.get("check") in MODEL_CHECKS and set(line) == {"check", "case"}
    own = options.target in (OWN_KERNEL, OWN_MODELS, FORMER_MODELS)
    request = (
        Request(models=OWN_MODELS if own else options.target, suites=("models",))
        if of_models
        else Request(target=options.target, device=options.device)
    )
    with Run(request) as run:
        return run.rerun(line)

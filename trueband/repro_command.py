"""`trueband repro CASE TARGET`: one check on one case again."""

from __future__ import annotations

import argparse
import json

from trueband import exit_codes
from trueband.adapters import resolve
from trueband.check_command import OWN_TARGET
from trueband.console import print_failures, print_line
from trueband.gate import cheating_record
from trueband.model_run import OWN_MODELS, reproduce_model
from trueband.properties.engine import reproduce
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.remote import CandidateCheating, RemoteRunner

DESCRIPTION = """\
Run one check on one case again, as the report of a failure says. CASE is a JSON line
{"check": NAME, "case": {...}}; the case may be edited by hand."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    command = commands.add_parser(
        "repro",
        help="run one check on one case again",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("case", metavar="CASE", help='a JSON line {"check": NAME, "case": {...}}')
    command.add_argument("target", nargs="?", default=OWN_TARGET, metavar="TARGET", help="as for trueband check")
    command.add_argument("--device", default="cpu", help="where the target runs (default: cpu)")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Run it, print the verdict, and return the exit code."""
    try:
        line = json.loads(options.case)
    except json.JSONDecodeError as error:
        raise ValueError(f"CASE: expected a JSON line, got {options.case!r} ({error})") from error
    if not isinstance(line, dict):
        raise ValueError(f"CASE: expected a JSON object, got {options.case!r}")
    if line.get("check") in MODEL_CHECKS and set(line) == {"check", "case"}:
        own = options.target in (OWN_TARGET, OWN_MODELS)
        record = reproduce_model(line, OWN_MODELS if own else options.target)
    else:
        try:
            with RemoteRunner(resolve(options.target).spec, options.device) as candidate:
                record = reproduce(line, options.target, candidate, options.device)
        except CandidateCheating as error:
            record = cheating_record(options.target, options.device, str(error))
    if record.passed:
        print_line(f"passed: {record.check} [{record.dtype}] {record.claim} (error/bound {record.worst:.3g})")
    else:
        print_failures([record])
    return exit_codes.of_records([record])

"""`trueband check [TARGET]`."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from trueband.commands import campaign as campaign_run
from trueband.commands import exit_codes
from trueband.commands.again import again
from trueband.commands.arguments import Command, Commands, add_command
from trueband.commands.campaign import is_campaign, run_campaign
from trueband.properties.results.machine import machine
from trueband.properties.results.record import Record
from trueband.reports import files as report_files
from trueband.reports.console import print_line, print_report
from trueband.reports.files import begin_files, end_files
from trueband.reports.json_lines import JsonLines, first_line
from trueband.reports.progress import CheckProgress
from trueband.session.interrupt import Interrupt
from trueband.session.request import OWN_KERNEL, OWN_MODELS, SUITES, Options, Request, add_options
from trueband.session.request_error import RequestError
from trueband.session.run import Run

DESCRIPTION = f"""\
Check a kernel against the contract: named checks on random cases, exact probes, and every pattern of a small world.
TARGET is module:callable or file.py:callable with the signature of trueband.optimized.band_attention; an argument that
it does not take is a feature that it does not claim. A trueband.Target can declare more. Or TARGET is one of the names
that `trueband targets` lists. Without TARGET the package checks itself ({OWN_KERNEL}), its models, and published
trained weights, which are fetched once."""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(commands, "check", "check a kernel, or the package itself", DESCRIPTION, run_command)
    add = command.add_argument
    add("target", nargs="?", default=OWN_KERNEL, metavar="TARGET", help="what to check (default: the package itself)")
    add_options(add, select=("-k", "--select"))
    add(
        "--suite",
        choices=("operator", "models", "golden", "all"),
        help="operator: the kernel; models: the package's "
        "models on random weights; golden: published weights "
        "(default: all without TARGET, operator with one)",
    )
    add(
        "--model-target",
        metavar="FACTORY",
        help="models to check instead of the package's: module:factory, "
        "file.py:factory or a name (hf); factory(architecture, class name, config, state) gives a model with the "
        "Hub's signature",
    )
    add("-x", "--exitfirst", action="store_true", help="stop at the first failure")
    add("--json", type=Path, metavar="FILE", help="write one JSON record per line, as checks finish")
    report_files.add_options(command)
    campaign_run.add_options(command)


def run_command(options: argparse.Namespace) -> int:
    """Run the checks, print the report, and return the exit code."""
    request = request_of(options)
    if is_campaign(options, request):
        return run_campaign(options, request)
    records: list[Record] = []
    interrupted, planned = False, 0
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        lines = stack.enter_context(JsonLines(options.json))
        begin_files(options, options.target)
        run = None
        try:
            run = stack.enter_context(Run(request))
            lines.start(run.head() or _head(options, load=not run.cheating))
            planned = len(run.steps)
            progress = stack.enter_context(CheckProgress(planned))

            def on_case(check: str, dtype: str) -> None:
                interrupt.raise_if_interrupted()
                progress.case(check, dtype)

            for record in run.records(on_case, interrupt.through):
                records.append(record)
                lines.write("check", record.to_dict())
                progress.finished(record)
                if options.exitfirst and not record.passed:
                    break
        except KeyboardInterrupt:
            interrupted = True
        candidate = None if run is None else run.candidate
        tried = None if run is None else run.models
        head = {} if run is None else run.head()
        covered: dict[str, Any] = {}
        if candidate:
            covered = {"covered": str(candidate.covered), "left_out": candidate.covered.left_out}
        if tried is not None and tried.covered:
            covered["models_covered"] = str(tried.covered)
        seed = options.seed if run is None else run.seed
        end_files(
            options, records, {**(head or _head(options)), **covered, "seed": seed}, candidate, interrupted, planned
        )
        sizes = [part.covered for part in (candidate, tried) if part is not None and part.covered]
        if sizes:
            lines.write("covered", {name: value for part in sizes for name, value in part.to_dict().items()})
        if request.gate and run is not None:
            run.close()
            lines.write("gate", {"seed": run.seed})
    print_report(records, candidate, tried, planned)
    if request.gate and run is not None:
        print_line(f"The secret seed was {run.seed}. The same cases again: {again(options, run.seed)}")
    if interrupted:
        print("trueband: interrupted; the above had finished", file=sys.stderr)
        return exit_codes.INTERRUPTED
    return exit_codes.of_records(records)


def request_of(options: argparse.Namespace) -> Request:
    """Make the request of the options. Raises ValueError for options that cannot be combined."""
    own = options.target == OWN_KERNEL
    suite = options.suite or ("models" if options.model_target else "all" if own else "operator")
    if suite != "operator" and not own:
        raise RequestError("{suites}: expected operator for a target of your own, got {value}", value=suite)
    if options.model_target and suite != "models":
        raise RequestError("{suites}: expected models with {models}, got {value}", value=suite)
    values = {name: getattr(options, name) for name in Options.__annotations__}
    suites = SUITES if suite == "all" else (suite,)
    return Request(target=options.target, models=options.model_target or OWN_MODELS, suites=suites, **values)


def _head(options: argparse.Namespace, load: bool = False) -> dict[str, Any]:
    """The first line where no kernel runs: models and goldens are computed in this process."""
    target = options.model_target or options.target
    seed = None if options.gate else options.seed or 0
    return first_line("run", machine("cpu", load), target=target, device=options.device, seed=seed)

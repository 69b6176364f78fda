"""`trueband check [TARGET]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from trueband import exit_codes
from trueband.campaign_run import add_options, is_campaign, run_blocks
from trueband.console import Progress, print_report
from trueband.golden_run import choose, golden_names, golden_records, load_weights
from trueband.interrupt import Interrupt
from trueband.model_run import count_model_records, model_names, model_records
from trueband.properties.bounds.precision import DTYPES
from trueband.properties.engine import TIERS, Plan, make_plan, run, steps
from trueband.properties.record import Record
from trueband.properties.remote import RemoteRunner
from trueband.reports import JsonLines, write_junit

OWN_TARGET = "trueband.targets:chunked"

DESCRIPTION = f"""\
Check a kernel against the contract: named checks on random cases, exact probes, and every pattern of a small world.
TARGET is module:callable or file.py:callable with the signature of trueband.optimized.band_attention; arguments it does
not take are features it does not claim. Give it more to say as a trueband.Target. Without TARGET the package checks
itself ({OWN_TARGET}) and its models, on published trained weights, which are fetched once."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    command = commands.add_parser(
        "check",
        help="check a kernel, or the package itself",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("target", nargs="?", default=OWN_TARGET, metavar="TARGET", help="what to check (default: the package itself)")
    add("--tier", choices=TIERS, default="quick", help=f"how much: {_tiers()} (default: quick)")
    add("--cases", type=positive, metavar="N", help="random cases for each dtype, instead of the tier's")
    add("--dtype", action="append", metavar="DTYPE", help=f"one of {', '.join(DTYPES)}, or several with commas "
        "(default: all that the target declares)")  # fmt: skip
    add("--device", default="cpu", help="where the target runs, such as cuda (default: cpu)")
    add("--seed", type=int, default=0, metavar="S", help="of the search for cases (default: 0)")
    add("-k", dest="pattern", metavar="EXPR", help="checks whose name has EXPR in it; 'a or b', 'not a'")
    add("--suite", choices=("operator", "models", "golden", "all"), help="operator: the kernel; models: the package's "
        "models on random weights; golden: published weights "
        "(default: all without TARGET, operator with one)")  # fmt: skip
    add("-x", "--exitfirst", action="store_true", help="stop at the first failure")
    add("--time-limit", type=float, default=60.0, metavar="SECONDS", help="for one call of the target (default: 60)")
    add("--json", type=Path, metavar="FILE", help="write one JSON record per line, as they finish")
    add("--junit", type=Path, metavar="FILE", help="write a JUnit XML report")
    add_options(command)
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Run the checks, print the report, and return the exit code."""
    own = options.target == OWN_TARGET
    suite = options.suite or ("all" if own else "operator")
    if suite != "operator" and not own:
        raise ValueError("--suite: expected operator for a target of your own, got " + suite)
    if is_campaign(options, operator_only=suite == "operator"):
        return _run_campaign(options)
    records: list[Record] = []
    interrupted = False
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        lines = stack.enter_context(JsonLines(options.json))
        if options.junit:
            write_junit(options.junit, [])  # a path that cannot be written is told now, not at the end
        try:
            golden = golden_names(options.pattern) if suite in ("golden", "all") else ()
            models = model_names(options.pattern) if suite in ("models", "all") else ()
            if golden:
                load_weights(choose(golden).items)
            plan, candidate = None, None
            if suite in ("operator", "all"):
                candidate = stack.enter_context(RemoteRunner(options.target, options.device, options.time_limit))
                plan = _plan(options, candidate)
                lines.start(candidate, plan)
            if not golden and not models and not (plan and plan.checks):
                raise ValueError(f"-k: expected a part of a check's name, got {options.pattern!r}")
            total = (len(steps(plan)) if plan else 0) + count_model_records(models) + len(golden) * 2
            progress = stack.enter_context(Progress(total))
            for record in _records(options, plan, candidate, models, golden, progress, interrupt):
                records.append(record)
                lines.write(record)
                progress.finished(record)
                if options.exitfirst and not record.passed:
                    break
        except KeyboardInterrupt:
            interrupted = True
    print_report(records, candidate)
    if options.junit:
        write_junit(options.junit, records)
    if interrupted:
        print("trueband: interrupted; the above had finished", file=sys.stderr)
        return exit_codes.INTERRUPTED
    return exit_codes.of_records(records)


def _run_campaign(options: argparse.Namespace) -> int:
    with RemoteRunner(options.target, options.device, options.time_limit) as candidate:
        plan = _plan(options, candidate)
        if not plan.checks:
            raise ValueError(f"-k: expected a part of a check's name, got {options.pattern!r}")
        return run_blocks(options, plan, candidate)


def _records(
    options: argparse.Namespace,
    plan: Plan | None,
    candidate: RemoteRunner | None,
    models: tuple[str, ...],
    golden: tuple[str, ...],
    progress: Progress,
    interrupt: Interrupt,
) -> Iterator[Record]:
    def on_case(check: str, dtype: str) -> None:
        interrupt.raise_if_asked()
        progress.case(check, dtype)

    if plan is not None and candidate is not None:
        yield from run(plan, candidate, on_case)
    if models:
        yield from model_records(models, options.tier, options.seed, lambda: on_case("models", ""))
    if golden:
        yield from golden_records(golden)


def _plan(options: argparse.Namespace, candidate: RemoteRunner) -> Plan:
    asked = [name for each in options.dtype or [] for name in each.split(",") if name]
    for name in asked:
        if name not in DTYPES:
            raise ValueError(f"--dtype: expected some of {', '.join(DTYPES)}, got {name!r}")
    return make_plan(
        options.target, candidate, options.tier, options.cases, asked, options.pattern, options.device, options.seed
    )


def _tiers() -> str:
    return ", ".join(f"{name} {cases:,} cases for each dtype" for name, (cases, _) in TIERS.items())


def positive(text: str) -> int:
    """An int >= 1 of the command line."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an int >= 1, got {text!r}")
    return number

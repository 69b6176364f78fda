"""`trueband check [TARGET]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from trueband import campaign_run, exit_codes, report_files
from trueband.adapters import resolve
from trueband.campaign_run import is_campaign, run_blocks
from trueband.console import Progress, print_line, print_report
from trueband.expectations import expected_failures, known_cases, known_model_cases, known_names
from trueband.gate import again, cheating_record, settle_seed
from trueband.golden_run import choose, golden_names, golden_records, load_weights
from trueband.interrupt import Interrupt
from trueband.model_run import (
    OWN_MODELS,
    model_candidate,
    model_names,
    reproduce_model,
)
from trueband.model_witness import OptimizedModels
from trueband.properties.bounds.precision import DTYPES
from trueband.properties.engine import reproduce, run
from trueband.properties.expected_failures import ExpectedFailures
from trueband.properties.machine import machine
from trueband.properties.manifest import unrun
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.engine import ModelStep, model_steps, run_model_step
from trueband.properties.plan import TIERS, Plan, make_plan, steps
from trueband.properties.production.shapes import read_shapes
from trueband.properties.record import Record
from trueband.properties.remote import CandidateCheating, RemoteRunner
from trueband.report_files import begin_files, end_files
from trueband.reports import JsonLines, first_line, run_head

OWN_TARGET = "chunked"

DESCRIPTION = f"""\
Check a kernel against the contract: named checks on random cases, exact probes, and every pattern of a small world.
TARGET is module:callable or file.py:callable with the signature of trueband.optimized.band_attention; arguments it does
not take are features it does not claim. Give it more to say as a trueband.Target. Or TARGET is one of the names that
`trueband targets` lists. Without TARGET the package checks itself ({OWN_TARGET}) and its models, on published trained
weights, which are fetched once."""


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
    add("--seed", type=int, metavar="S", help="of the search for cases (default: 0)")
    add("--gate", action="store_true", help="judge by cases that nobody can know before: the seed is a secret, told "
        "at the end; a second process is asked too")  # fmt: skip
    add("-k", dest="pattern", metavar="EXPR", help="checks whose name has EXPR in it; 'a or b', 'not a'")
    add("--suite", choices=("operator", "models", "golden", "all"), help="operator: the kernel; models: the package's "
        "models on random weights; golden: published weights "
        "(default: all without TARGET, operator with one)")  # fmt: skip
    add("--model-target", metavar="FACTORY", help="models to check instead of the package's: module:factory, "
        "file.py:factory or a name (hf); factory(architecture, class name, config, state) gives a model with the "
        "Hub's signature")  # fmt: skip
    add("--expected-failures", type=Path, metavar="FILE", help="known failures, JSON or TOML, {check: reason}: they "
        "still run, and one that passes is a failure (default: the file of a shipped target)")  # fmt: skip
    add("--shapes", type=Path, metavar="FILE", help="sizes that must be checked, whatever they take: JSON, a list of "
        '{"tokens": 4096, "window": 256, "heads": 12, "head_dim": 64}')  # fmt: skip
    add("-x", "--exitfirst", action="store_true", help="stop at the first failure")
    add("--time-limit", type=float, default=60.0, metavar="SECONDS", help="for one call of the target (default: 60)")
    add("--memory-limit", type=positive, metavar="MIB", help="that calls may take beyond what the loaded target has "
        "(default: no limit)")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write one JSON record per line, as they finish")
    report_files.add_options(command)
    campaign_run.add_options(command)
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Run the checks, print the report, and return the exit code."""
    own = options.target == OWN_TARGET
    suite = options.suite or ("models" if options.model_target else "all" if own else "operator")
    if suite != "operator" and not own:
        raise ValueError("--suite: expected operator for a target of your own, got " + suite)
    options.seed = settle_seed(options.seed, options.gate)
    if options.model_target and suite != "models":
        raise ValueError("--suite: expected models with --model-target, got " + suite)
    if options.model_target and options.device != "cpu":
        raise ValueError("--device: expected cpu with --model-target, got " + options.device)
    named = resolve(options.model_target, "models") if options.model_target else resolve(options.target)
    expected = expected_failures(options.expected_failures, named)
    if is_campaign(options, suite):
        return _run_campaign(options, named.spec, expected)
    records: list[Record] = []
    interrupted = False
    plan, candidate = None, None
    head: dict[str, Any] = {}
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        lines = stack.enter_context(JsonLines(options.json))
        begin_files(options, options.target)
        try:
            golden = golden_names(options.pattern) if suite in ("golden", "all") else ()
            model_target = options.model_target or OWN_MODELS
            models = model_candidate(model_target)
            of_models = _model_steps(options, models, suite == "models") if suite in ("models", "all") else []
            if golden:
                load_weights(choose(golden).items)
            if suite in ("operator", "all"):
                candidate = stack.enter_context(
                    RemoteRunner(named.spec, options.device, options.time_limit, options.memory_limit)
                )
                plan = _plan(options, candidate)
                head = run_head(candidate, plan)
            if not golden and not of_models and not (plan and plan.checks):
                raise ValueError(f"-k: expected a part of a check's name, got {options.pattern!r}")
            expected.check_names(known_names(suite, candidate))
            known_model_cases(expected, of_models)
            head = head or _head(options, load=True)
            lines.start(head)
            if plan and candidate:
                known_cases(expected, steps(plan), candidate.features)
            total = (_count(plan) if plan else 0) + len(of_models) + len(golden) * 2
            progress = stack.enter_context(Progress(total))
            on_case = _on_case(progress, interrupt)
            on_model = partial(on_case, "models", "")
            every = chain(
                run(plan, candidate, on_case) if plan and candidate else (),
                (run_model_step(model_target, models, step, options.seed, on_model) for step in of_models),
                golden_records(golden) if golden else (),
            )
            found = interrupt.through(every)
            for record in expected.apply(found, lambda line: _again(line, options, candidate, model_target)):
                records.append(record)
                lines.write(record)
                progress.finished(record)
                if options.exitfirst and not record.passed:
                    break
            else:
                for record in unrun(plan, records) if plan else ():
                    records.append(record)
                    lines.write(record)
        except CandidateCheating as error:
            records.append(cheating_record(options.target, options.device, str(error)))
            head = head or _head(options)
            lines.start(head)
            lines.write(records[-1])
        except KeyboardInterrupt:
            interrupted = True
        head = head or _head(options)
        covered = {"covered": str(candidate.covered), "left_out": candidate.covered.left_out} if candidate else {}
        end_files(options, records, {**head, **covered, "seed": options.seed}, candidate, interrupted)
        if candidate is not None:
            lines.tell_covered(candidate.covered)
        if options.gate:
            if candidate is not None:
                candidate.close()
            lines.tell_seed(options.seed)
    print_report(records, candidate)
    if options.gate:
        print_line(f"The secret seed was {options.seed}. The same cases again: {again(options)}")
    if interrupted:
        print("trueband: interrupted; the above had finished", file=sys.stderr)
        return exit_codes.INTERRUPTED
    return exit_codes.of_records(records)


def _head(options: argparse.Namespace, load: bool = False) -> dict[str, Any]:
    """The first line where no kernel runs: models and goldens are computed in this process."""
    target = options.model_target or options.target
    seed = None if options.gate else options.seed
    return first_line("run", machine("cpu", load), target=target, device=options.device, seed=seed)


def _run_campaign(options: argparse.Namespace, spec: str, expected: ExpectedFailures) -> int:
    try:
        with RemoteRunner(spec, options.device, options.time_limit, options.memory_limit) as candidate:
            plan = _plan(options, candidate)
            if not plan.checks:
                raise ValueError(f"-k: expected a part of a check's name, got {options.pattern!r}")
            expected.check_names(known_names("operator", candidate))
            return run_blocks(options, plan, candidate, expected)
    except CandidateCheating as error:
        records = [cheating_record(options.target, options.device, str(error))]
        print_report(records, None)
        return exit_codes.of_records(records)


def _on_case(progress: Progress, interrupt: Interrupt) -> Callable[[str, str], None]:
    def on_case(check: str, dtype: str) -> None:
        interrupt.raise_if_asked()
        progress.case(check, dtype)

    return on_case


def _model_steps(options: argparse.Namespace, models: OptimizedModels, alone: bool) -> list[ModelStep]:
    names, dtypes = model_names(options.pattern, models.features), _dtypes(options)
    found = model_steps(names, models, options.tier, options.cases, dtypes)
    if alone and names and not found:
        raise ValueError(f"--dtype: expected one that a check of models is for, got {', '.join(dtypes)}")
    return found


def _again(
    line: dict[str, Any], options: argparse.Namespace, candidate: RemoteRunner | None, model_target: str
) -> Record:
    """One check on one known case."""
    if line["check"] in MODEL_CHECKS:
        return reproduce_model(line, model_target)
    assert candidate is not None
    return reproduce(line, options.target, candidate, options.device)


def _dtypes(options: argparse.Namespace) -> list[str]:
    asked = [name for each in options.dtype or [] for name in each.split(",") if name]
    for name in asked:
        if name not in DTYPES:
            raise ValueError(f"--dtype: expected some of {', '.join(DTYPES)}, got {name!r}")
    return asked


def _plan(options: argparse.Namespace, candidate: RemoteRunner) -> Plan:
    return make_plan(
        options.target, candidate, options.tier, options.cases, _dtypes(options), options.pattern, options.device,
        options.seed, options.gate, read_shapes(options.shapes) if options.shapes else (),
    )  # fmt: skip


def _count(plan: Plan) -> int:
    return len(steps(plan)) + (len(plan.dtypes) if plan.gate else 0)


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

"""`trueband check` as a campaign: --tier nightly on a kernel, --resume, --shard."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from trueband import exit_codes
from trueband.campaign_file import CampaignFile, head_of
from trueband.campaign_report import print_campaign
from trueband.console import Progress
from trueband.expectations import known_cases
from trueband.interrupt import Interrupt
from trueband.properties.campaign import Block, Shard, block_keys, run_campaign, sum_blocks
from trueband.properties.expected_failures import ExpectedFailures
from trueband.properties.plan import Plan, steps
from trueband.properties.record import Record
from trueband.properties.remote import RemoteRunner
from trueband.report_files import begin_files, end_files


def add_options(command: argparse.ArgumentParser) -> None:
    """The options that only a campaign has."""
    command.add_argument("--resume", action="store_true", help="go on with the run that --json FILE is of, and do "
        "nothing again; a new FILE is begun")  # fmt: skip
    command.add_argument("--shard", metavar="i/N", help="run part i of N of the cases, by the hash of a case's id; "
        "trueband merge sums the files of the parts up")  # fmt: skip


def is_campaign(options: argparse.Namespace, suite: str) -> bool:
    """Whether the options ask for one: --resume, --shard, or --tier nightly on a kernel alone.

    Raises:
        ValueError: --resume or --shard, without what they need or with what a campaign does not do.
    """
    asked = "--resume" if options.resume else "--shard" if options.shard else ""
    if not asked:
        return options.tier == "nightly" and suite == "operator" and not options.gate
    if options.suite not in (None, "operator") or options.model_target:
        raise ValueError(f"--suite: expected operator with {asked}, got {suite}")
    if options.gate:
        raise ValueError(f"--gate: expected none with {asked}, whose seed must be known, got it")
    if options.resume and not options.json:
        raise ValueError("--resume: expected --json FILE too, the file to go on with")
    return True


def run_blocks(options: argparse.Namespace, plan: Plan, candidate: RemoteRunner, expected: ExpectedFailures) -> int:
    """Run what is left of a campaign, print its report, and return the exit code."""
    shard = Shard.parse(options.shard) if options.shard else Shard()
    known = known_cases(expected, steps(plan), candidate.features)
    head = head_of(plan, candidate, shard, expected)
    interrupted, complete = False, shard.count == 1
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        file = stack.enter_context(CampaignFile(options.json, head, options.resume))
        begin_files(options, plan.target)  # not before: a refused file leaves the reports of the run that it is of
        blocks = list(file.done)
        _tell_done(options.json, len(blocks), len(block_keys(plan)))
        if file.moved:
            print(f"trueband: {options.json} was written on another machine: {file.moved}", file=sys.stderr)
        progress = stack.enter_context(Progress(len(block_keys(plan)) - len(blocks)))

        def on_case(check: str, dtype: str) -> None:
            interrupt.raise_if_asked()
            progress.case(check, dtype)

        try:
            for block in interrupt.through(run_campaign(plan, candidate, shard, file.done, on_case, known)):
                blocks.append(block)
                file.write(block)
                (record,) = expected.settle(_records([block], plan), False)
                progress.finished(record)
                if options.exitfirst and not record.passed:
                    complete = False
                    break
        except KeyboardInterrupt:
            interrupted, complete = True, False
        records = list(expected.settle(_records(blocks, plan), complete))
        end_files(options, records, file.head, candidate, interrupted)
    if blocks:
        print_campaign(f"{plan.target}: campaign, seed {plan.seed}, shard {shard}", blocks, records)
    if interrupted:
        goes_on = "; the same command with --resume goes on" if options.json else "; the above had finished"
        print(f"trueband: interrupted{goes_on}", file=sys.stderr)
        return exit_codes.INTERRUPTED
    return exit_codes.of_records(records)


def _records(blocks: list[Block], plan: Plan) -> list[Record]:
    return sum_blocks(blocks, plan.target, plan.device, plan.seed)


def _tell_done(path: Path | None, done: int, total: int) -> None:
    if done:
        print(f"trueband: {done} of {total} blocks are in {path} already", file=sys.stderr)

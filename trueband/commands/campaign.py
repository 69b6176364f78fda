"""`trueband check` as a campaign: --tier nightly on a kernel, --resume, --shard."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trueband.commands import exit_codes
from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.running.campaign import Shard
from trueband.reports.campaign import print_campaign
from trueband.reports.console import print_report
from trueband.reports.files import begin_files, end_files
from trueband.reports.progress import CheckProgress
from trueband.session.campaign import Campaign
from trueband.session.caught import ended_record
from trueband.session.interrupt import Interrupt
from trueband.session.request import Request
from trueband.session.request_error import RequestError


def add_options(command: argparse.ArgumentParser) -> None:
    """The options that only a campaign has."""
    command.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --json FILE, and repeat nothing; a new FILE is started",
    )
    command.add_argument(
        "--shard",
        metavar="i/N",
        help="run part i of N of the cases, by the hash of a case's id; trueband merge sums the files of the parts",
    )


def is_campaign(options: argparse.Namespace, request: Request) -> bool:
    """Return whether the options ask for one: --resume, --shard, or --tier nightly on a kernel alone.

    Raises:
        ValueError: --resume or --shard, without what they need or with what a campaign does not do.
    """
    flag = "--resume" if options.resume else "--shard" if options.shard else ""
    if not flag:
        return request.tier == "nightly" and request.suites == ("operator",) and not request.gate
    if options.suite not in (None, "operator") or options.model_target:
        raise RequestError("{suites} cannot be used with {option}: campaigns are of kernels alone", option=flag)
    if request.gate:
        raise RequestError("{gate} cannot be used with {option}: its seed is secret", option=flag)
    if options.resume and not options.json:
        raise ValueError("--resume needs --json FILE, the file to go on with")
    return True


def run_campaign(options: argparse.Namespace, request: Request) -> int:
    """Run what is left of a campaign, print its report, and return the exit code."""
    shard = Shard.parse(options.shard) if options.shard else Shard()
    interrupted, complete = False, True
    try:
        with Interrupt() as interrupt, Campaign(request, options.json, shard, options.resume) as campaign:
            begin_files(options, campaign.kernel.name)  # not before: a refused file leaves the reports of its own run
            _tell_begun(campaign, options.json)
            with CheckProgress(campaign.total - len(campaign.blocks)) as progress:

                def on_case(check: str, dtype: str) -> None:
                    interrupt.raise_if_interrupted()
                    progress.case(check, dtype)

                try:
                    for record in campaign.records(on_case, interrupt.through):
                        progress.finished(record)
                        if options.exitfirst and not record.passed:
                            complete = False
                            break
                except KeyboardInterrupt:
                    interrupted, complete = True, False
            records = campaign.results(complete)
            end_files(options, records, campaign.file.head, campaign.kernel.candidate, interrupted)
    except CandidateEnded as error:
        records = [ended_record(request, error)]
        print_report(records, None)
        return exit_codes.of_records(records)
    if campaign.blocks:
        plan = campaign.kernel.plan
        print_campaign(f"{plan.target}: campaign, seed {plan.seed}, shard {shard}", campaign.blocks, records)
    if interrupted:
        goes_on = "; the same command with --resume goes on" if options.json else "; the above had finished"
        print(f"trueband: interrupted{goes_on}", file=sys.stderr)
        return exit_codes.INTERRUPTED
    return exit_codes.of_records(records)


def _tell_begun(campaign: Campaign, path: Path | None) -> None:
    if campaign.blocks:
        print(f"trueband: {len(campaign.blocks)} of {campaign.total} blocks are in {path} already", file=sys.stderr)
    if campaign.file.moved:
        print(f"trueband: {path} was written on another machine: {campaign.file.moved}", file=sys.stderr)

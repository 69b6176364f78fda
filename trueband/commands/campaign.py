"""`trueband check` as a campaign: --tier nightly on a kernel, --resume, --shard, --ray."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from trueband.cluster.kernel import ClusterKernel
from trueband.cluster.scheduler import Resources
from trueband.commands import exit_codes
from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.running.campaign import Shard
from trueband.reports.campaign import print_campaign
from trueband.reports.cluster_progress import ClusterProgress
from trueband.reports.console import print_report
from trueband.reports.files import begin_files, end_files
from trueband.reports.progress import CheckProgress
from trueband.session.campaign import Campaign, CampaignKernel
from trueband.session.caught import ended_record
from trueband.session.interrupt import Interrupt
from trueband.session.kernel import KernelSuite
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

    command.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run the blocks on a cluster of Ray: HOST:PORT of its head node, or auto, a local one for this run",
    )
    command.add_argument(
        "--gpus-per-task",
        type=_amount,
        metavar="N",
        help="GPUs that one block takes of its machine, with --ray (default: 1 with --device cuda, else 0)",
    )
    command.add_argument(
        "--cpus-per-task", type=_amount, metavar="N", help="CPUs that one block takes, with --ray (default: 1)"
    )


def is_campaign(options: argparse.Namespace, request: Request) -> bool:
    """Return whether the options ask for one: --resume, --shard, --ray, or --tier nightly on a kernel alone.

    Raises:
        ValueError: --resume, --shard or --ray, without what they need or with what a campaign does not do.
    """
    check_address(options.ray)
    flag = "--resume" if options.resume else "--shard" if options.shard else "--ray" if options.ray else ""
    if not options.ray and (options.gpus_per_task is not None or options.cpus_per_task is not None):
        raise ValueError("--gpus-per-task and --cpus-per-task need --ray ADDRESS, the cluster of the tasks")
    if not flag:
        return request.tier == "nightly" and request.suites == ("operator",) and not request.gate
    if options.suite not in (None, "operator") or options.model_target:
        raise RequestError("{suites} cannot be used with {option}: campaigns are of kernels alone", option=flag)
    if options.ray and request.suites != ("operator",):
        raise RequestError("{option}: expected a TARGET or {suites} operator: kernels alone run there", option=flag)
    if request.gate:
        raise RequestError("{gate} cannot be used with {option}: its seed is secret", option=flag)
    if options.resume and not options.json:
        raise ValueError("--resume needs --json FILE, the file to go on with")
    return True


def run_campaign(options: argparse.Namespace, request: Request) -> int:
    """Run what is left of a campaign, print its report, and return the exit code."""
    shard = Shard.parse(options.shard) if options.shard else Shard()
    interrupted, complete, abandoned = False, True, ""
    try:
        with (
            Interrupt() as interrupt,
            Campaign(request, options.json, shard, options.resume, _opener(options)) as campaign,
        ):
            kernel = campaign.kernel
            begin_files(options, campaign.kernel.name)  # not before: a refused file leaves the reports of its own run
            _tell_begun(campaign, options.json)
            with _progress(campaign, interrupt) as progress:

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
            if isinstance(kernel, ClusterKernel):
                abandoned = kernel.abandoned
            records = campaign.results(complete and not abandoned)
            candidate = kernel.candidate if isinstance(kernel.candidate, RemoteRunner) else None
            end_files(options, records, campaign.file.head, candidate, interrupted)
    except CandidateEnded as error:
        records = [ended_record(request, error)]
        print_report(records, None)
        return exit_codes.of_records(records)
    if campaign.blocks:
        plan = campaign.kernel.plan
        print_campaign(f"{plan.target}: campaign, seed {plan.seed}, shard {shard}", campaign.counted, records)
    if abandoned:
        goes_on = "; the same command with --resume runs them" if options.json else ""
        print(f"trueband: error: {abandoned}{goes_on}", file=sys.stderr)
        return exit_codes.of_records(records) or exit_codes.USAGE
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


def _opener(options: argparse.Namespace) -> Callable[[Request, int], CampaignKernel]:
    """Opens the kernel here, or on a cluster."""
    if not options.ray:
        return KernelSuite
    of_device = 1.0 if options.device.startswith("cuda") else 0.0
    gpus = of_device if options.gpus_per_task is None else options.gpus_per_task
    resources = Resources(1.0 if options.cpus_per_task is None else options.cpus_per_task, gpus)
    return lambda request, seed: ClusterKernel(request, seed, options.ray, resources)


def _progress(campaign: Campaign, interrupt: Interrupt) -> CheckProgress:
    total, kernel = campaign.total - len(campaign.blocks), campaign.kernel
    if not isinstance(kernel, ClusterKernel):
        return CheckProgress(total)
    progress = ClusterProgress(total, lambda: kernel.nodes, lambda: kernel.again)

    def on_wait() -> None:
        interrupt.raise_if_interrupted()
        progress.tick()

    kernel.on_wait = on_wait
    return progress


def check_address(address: str | None) -> None:
    """ValueError for the empty text that a variable of the shell holds if nobody has set it."""
    if address == "":
        raise ValueError("--ray: expected auto or HOST:PORT of a head node, got ''")


def _amount(text: str) -> float:
    """A number >= 0 of a command line."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number >= 0, got {text!r}")
    return number

"""`trueband sanitize [TARGET]`: Triton kernels in Triton's interpreter, every access to memory watched."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.gpu.interpreter import can_be_mended
from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.sanitizer.finding import KINDS, Finding
from trueband.properties.gpu.sanitizer.process import Outcome, sanitize
from trueband.properties.results.machine import machine
from trueband.reports.console import print_line, table_text
from trueband.reports.json_lines import first_line, json_lines
from trueband.reports.whole_file import write_whole
from trueband.session.request import positive

OWN = "triton"
SPECS = {OWN: "trueband.gpu.sanitize_cases:edges"}
MENDED = "trueband.gpu.interpreter:mend"
SHOWN = 3
MEMORY_LIMIT = 8192  # MiB

DESCRIPTION = f"""\
Run Triton kernels on the CPU, in Triton's interpreter, and watch every access to memory. The sanitizer finds:

{table_text(("", ""), ((f"  {kind}", what) for kind, what in KINDS.items()))}

TARGET is module:function or file.py:function. The function takes no arguments, makes tensors on the CPU and launches
kernels on them, at every shape that has an edge case. Nothing else is required (an argument named target, if it has
one, is "cpu"); it runs in a process of its own, where TRITON_INTERPRET=1 is set. my_triton.py:

  import torch
  import triton
  import triton.language as tl

  @triton.jit
  def double(x, y, n, BLOCK: tl.constexpr):
      places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
      tl.store(y + places, 2 * tl.load(x + places), mask=places < n)  # the load forgets its mask

  def launch():
      for n in (1, 64, 65):
          x = torch.ones(n)
          double[(triton.cdiv(n, 64),)](x, torch.empty_like(x), n, BLOCK=64)

  $ trueband sanitize my_triton.py:launch

Without TARGET, or as {OWN}, the package's own kernels are run, forward and backward, around the edges of their tiles.

Every argument of a launch is a separate tensor: an access computed from it must hit one of its elements. An access out
of bounds is reported and not made. The programs of a launch run in a random order, and accesses that atomic operations
order are no race. Memory from torch.empty counts as unwritten until torch or a kernel has written it. A launch with a
load that has inactive lanes and no `other` is run again with other values in these lanes. Tensors may be larger than
the memory, as long as little of them is written: a tensor of torch.empty, zeros, ones or full takes memory only where
it is written, and the sanitizer's own data only where it is touched. An offset in int32 that wraps beyond 2^31 elements
is reported with the element that was meant. The sanitizer does not see a column too many, where the next row's element
can be read, addresses that the kernel itself reads from memory, or what the compiler makes of the kernel. It does not
judge numbers. Nothing runs on a GPU."""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(
        commands, "sanitize", "watch the memory accesses of Triton kernels, without a GPU", DESCRIPTION, run_command
    )
    add = command.add_argument
    add("target", nargs="?", default=OWN, metavar="TARGET", help=f"what launches the kernels (default: {OWN})")
    add("--seed", type=int, default=0, metavar="S", help="seed of the order in which programs run (default: 0)")
    add(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="for the function (default: no limit); kernels that wait for each other may never end in the interpreter",
    )
    add(
        "--memory-limit",
        type=positive,
        default=MEMORY_LIMIT,
        metavar="MIB",
        help=f"of memory that is written, the sanitizer's own included (default: {MEMORY_LIMIT:,})",
    )
    add("--all", action="store_true", help=f"print all findings in full, not only the first {SHOWN}")
    add("--json", type=Path, metavar="FILE", help="write JSON lines: what ran where, each finding, the summary")


def run_command(options: argparse.Namespace) -> int:
    """Run the function, print what was found, and return the exit code."""
    spec = SPECS.get(options.target, options.target)
    if ":" not in spec:
        raise TargetError(f"target: expected module:function, file.py:function or {OWN}, got {options.target!r}")
    if options.seed < 0:
        raise ValueError(f"--seed: expected an int >= 0, got {options.seed}")
    if options.json:
        write_whole(options.json, "")  # a path that cannot be written fails now
    outcome = sanitize(spec, options.seed, options.time_limit, MENDED if can_be_mended() else "", options.memory_limit)
    if options.json:
        write_whole(options.json, lines_of(outcome, options.target))
    print_findings(outcome.findings, len(outcome.findings) if options.all else SHOWN)
    print_end(outcome, options.target)
    return exit_code(outcome)


def exit_code(outcome: Outcome) -> int:
    """The exit code that sums an outcome up."""
    if outcome.interrupted:
        return exit_codes.INTERRUPTED
    if outcome.findings:
        return exit_codes.FAILED
    if outcome.crash:
        return exit_codes.CRASHED
    return exit_codes.PASSED if outcome.launches else exit_codes.NOTHING_RAN


def lines_of(outcome: Outcome, target: str) -> str:
    """JSON lines: what ran where, each finding ({"record": "finding", ...}), and the sum ({"record": "end", ...})."""
    head = first_line("run", outcome.machine or machine(), target=target)
    findings = [("finding", finding.to_dict()) for finding in outcome.findings]
    end = {
        "findings": len(findings),
        "launches": outcome.launches,
        "accesses": outcome.accesses,
        "unchecked": outcome.unchecked,
        "kernels": outcome.kernels,
        "crash": outcome.crash,
    }
    return json_lines(head, *findings, ("end", end))


def print_findings(findings: list[Finding], limit: int) -> None:
    """The first in full, one line for each of the rest."""
    for finding in findings[:limit]:
        print_line(f"{finding}\n")
    for finding in findings[limit:]:
        print_line(f"{finding.kind} in {finding.kernel}, {finding.tensor}, {finding.place}")
    if len(findings) > limit:
        print_line("(all in full with --all)\n")


def print_end(outcome: Outcome, target: str) -> None:
    """The last lines, which sum up."""
    if outcome.interrupted:
        print("trueband: interrupted; the above had been found", file=sys.stderr)
    elif outcome.crash:
        print(f"trueband: {target} did not end well: {outcome.crash}", file=sys.stderr)
    if outcome.unchecked:
        print_line(f"not checked: {outcome.unchecked:,} lanes whose address the kernel read from memory")
    kernels = "1 kernel" if len(outcome.kernels) == 1 else f"{len(outcome.kernels)} kernels"
    launches = "1 launch" if outcome.launches == 1 else f"{outcome.launches:,} launches"
    much = f"{launches} of {kernels}, {outcome.accesses:,} loads and stores"
    if outcome.findings:
        print_line(f"{len(outcome.findings)} FOUND: {much}")
    elif not outcome.launches and not outcome.crash and not outcome.interrupted:
        print_line(f"nothing ran: {target} launched no kernel (see trueband sanitize --help)")
    else:
        print_line(f"nothing found: {much}")

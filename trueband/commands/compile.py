"""`trueband compile [TARGET]`: Triton kernels compiled for GPUs that are not installed, and checked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.aot.gates import GATES
from trueband.properties.gpu.aot.process import Judged, Outcome, compile_for
from trueband.properties.gpu.aot.target import TARGETS
from trueband.properties.results.machine import machine
from trueband.reports.console import print_line, report_console, table_text
from trueband.reports.json_lines import first_line, json_lines
from trueband.reports.whole_file import write_whole
from trueband.session.request import positive

OWN = "triton"
OWN_TARGETS = ("sm_80", "sm_90", "gfx942")
SPECS = {tier: f"trueband.gpu.compile_cases:{tier}" for tier in ("quick", "nightly")}
MOST_ROWS = 60

DESCRIPTION = f"""\
Compile Triton kernels for GPUs that are not installed, and check that the compiled code keeps these rules:

{table_text(("", ""), ((f"  {gate.name}", gate.claim) for gate in GATES))}

TARGET is module:function or file.py:function, as for `trueband sanitize`: the function makes tensors on the CPU and
launches kernels on them. Here a launch only compiles the kernel for the GPU, as Triton would for these arguments.
Results stay as they were, so the function must not look at them. An argument named target receives the GPU's name, once
for each GPU. An autotuned kernel is compiled in each of its configurations. The function may also return
trueband.properties.gpu.aot.kernel.Kernel objects: signatures to compile without a launch.

  $ trueband compile my_triton.py:launch --gpu sm_90 --gpu gfx942

Without TARGET, or as {OWN}, the package's own kernels are compiled as they are shipped: with --tier quick for bfloat16
and heads 64 wide, with nightly for all dtypes and widths, which takes about an hour with --jobs 1. Their tensors are
aligned like a model's.

Compiled code that keeps all rules may still be wrong or slow. Nothing runs on a GPU."""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(
        commands,
        "compile",
        "compile Triton kernels for GPUs that are not installed, and judge the code",
        DESCRIPTION,
        run_command,
    )
    add = command.add_argument
    add("target", nargs="?", default=OWN, metavar="TARGET", help=f"what launches the kernels (default: {OWN})")
    add(
        "--gpu",
        action="append",
        metavar="GPU",
        help=f"one of {', '.join(TARGETS)}; may be given more than once (default: {', '.join(OWN_TARGETS)})",
    )
    add("--tier", choices=tuple(SPECS), help=f"how many of the package's own kernels (default: quick; for {OWN} only)")
    add("--jobs", type=positive, default=1, metavar="N", help=f"processes (default: 1; for {OWN} only)")
    add("--time-limit", type=float, metavar="SECONDS", help="for the whole run (default: no limit)")
    add("--json", type=Path, metavar="FILE", help="write JSON lines: what ran where, each kernel, the summary")


def run_command(options: argparse.Namespace) -> int:
    """Compile, print what was refused, and return the exit code."""
    own = options.target == OWN
    if not own and ":" not in options.target:
        raise TargetError(f"target: expected module:function, file.py:function or {OWN}, got {options.target!r}")
    if not own and (options.tier or options.jobs > 1):
        raise ValueError(f"{'--tier' if options.tier else '--jobs'}: expected none with a target of your own")
    if options.json:
        write_whole(options.json, "")  # a path that cannot be written fails now
    spec = SPECS[options.tier or "quick"] if own else options.target
    gpus = list(dict.fromkeys(options.gpu or OWN_TARGETS))
    outcome = compile_for(spec, gpus, options.jobs, options.time_limit)
    if options.json:
        write_whole(options.json, lines_of(outcome, options.target))
    print_table(outcome.judged)
    print_end(outcome, options.target)
    return exit_code(outcome)


def exit_code(outcome: Outcome) -> int:
    """The exit code that sums an outcome up."""
    if outcome.interrupted:
        return exit_codes.INTERRUPTED
    if any(kernel.refusals for kernel in outcome.judged):
        return exit_codes.FAILED
    if outcome.crash:
        return exit_codes.CRASHED
    return exit_codes.PASSED if outcome.judged else exit_codes.NOTHING_RAN


def lines_of(outcome: Outcome, target: str) -> str:
    """JSON lines: what ran where, each kernel ({"record": "kernel", ...}), and the sum ({"record": "end", ...})."""
    head = first_line("run", outcome.machine or machine(), target=target)
    lines = [
        ("kernel", {**kernel.code.to_dict(), "refused": {refusal.gate: refusal.message for refusal in kernel.refusals}})
        for kernel in outcome.judged
    ]
    refused = sum(bool(kernel.refusals) for kernel in outcome.judged)
    end = {"kernels": len(lines), "refused": refused, "crash": outcome.crash}
    return json_lines(head, *lines, ("end", end))


def print_table(judged: list[Judged]) -> None:
    """A row for each kernel; of many, only those that are refused."""
    rows = judged if len(judged) <= MOST_ROWS else [kernel for kernel in judged if kernel.refusals]
    if rows:
        table = Table(box=None, pad_edge=False)
        for name in ("kernel", "GPU", "warps", "registers", "spilled", "shared", "tensor cores", ""):
            table.add_column(name, justify="right" if name in ("warps", "registers", "spilled", "shared") else "left")
        for kernel in rows:
            code = kernel.code
            numbers = (code.warps, code.registers, code.spilled, code.shared)
            cells = [""] * 4 if code.error else [str(number) for number in numbers]
            verdict = Text("REFUSED", style="bold red") if kernel.refusals else Text("ok", style="green")
            table.add_row(Text(code.kernel), code.target, *cells, _short(code.products), verdict)
        report_console().print(table)
    for kernel in judged:
        for refusal in kernel.refusals:
            print_line(f"REFUSED {kernel.code.kernel} [{kernel.code.target}] {refusal.gate}: {refusal.message}")


def _short(products: tuple[str, ...]) -> str:
    """Names of instructions without shapes and formats: "mma.sync", "wgmma.mma_async", "v_mfma"."""
    names = {
        (".".join(product.split(".")[:2]) if "." in product else "_".join(product.split("_")[:2]))
        for product in products
    }
    return ", ".join(sorted(names))


def print_end(outcome: Outcome, target: str) -> None:
    """The last lines, which sum up."""
    if outcome.interrupted:
        print("trueband: interrupted; the above had been compiled", file=sys.stderr)
    elif outcome.crash:
        print(f"trueband: {target} did not end well: {outcome.crash}", file=sys.stderr)
    unfinished = outcome.interrupted or bool(outcome.crash)
    refused = sum(bool(kernel.refusals) for kernel in outcome.judged)
    gpus = ", ".join(dict.fromkeys(kernel.code.target for kernel in outcome.judged))
    if refused:
        print_line(f"\n{refused} of {len(outcome.judged)} kernels REFUSED, compiled for {gpus}; nothing ran on a GPU")
    elif outcome.judged:
        which = "the first" if unfinished else "all"
        print_line(
            f"\n{which} {len(outcome.judged)} kernels pass {len(GATES)} gates, compiled for {gpus}; "
            "nothing ran on a GPU"
        )
    elif not unfinished:
        print_line(f"nothing was compiled: {target} launched no kernel (see trueband compile --help)")

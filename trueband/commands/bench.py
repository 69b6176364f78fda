"""`trueband bench`: time and memory beside other implementations."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trueband.bench import memory
from trueband.bench.contenders import CONTENDERS, NAMES, OURS, Contender, contenders
from trueband.bench.measure import Means, Measurement, measure_all
from trueband.bench.plot import plot
from trueband.bench.process import environment
from trueband.bench.read import read_measurements
from trueband.bench.shape import LEVELS, Shape
from trueband.bench.table import print_tables, short_summary
from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.properties.gpu.roofline import DEVICES
from trueband.reports.console import table_text
from trueband.reports.json_lines import JsonLines, first_line
from trueband.reports.machines import in_a_process
from trueband.reports.progress import Progress
from trueband.reports.whole_file import write_whole
from trueband.session.request import positive

DESCRIPTION = """\
Measure time and memory of the attention and the models beside other implementations, and beside the machine's own
ceiling: the time that the same multiply-adds take as one large matrix product. Every contender runs in a process of its
own. Those of one shape are timed in turns, so a machine that slows down slows all of them. Times are medians of rounds.
Memory is the peak of a call beyond inputs and weights. A contender that runs out of time or memory is reported, and
skipped for longer texts. Without options this takes an hour or more, with --quick some minutes. Peers that are not
installed are left out: pip install 'trueband[peers]'."""
TOKENS = {
    "operator": (1024, 2048, 4096, 8192, 16384, 32768, 65536),
    "prefill": (1024, 4096, 16384),
    "decode": (1024, 4096, 32768),
    "module": (1024, 2048, 4096, 8192, 16384, 32768, 65536),
    "encoder": (4096, 8192),
    "generation": (1024, 4096),
}
WINDOWS = {
    "operator": (64, 256, 512),
    "prefill": (1024,),
    "decode": (1024,),
    "module": (64, 256, 512),
    "encoder": (512,),
    "generation": (512,),
}
PASSES = {"forward": (False,), "both": (True,), "all": (False, True)}
QUICK = {
    "level": ["operator", "module", "encoder"],
    "tokens": [1024, 4096],
    "window": [512],
    "rounds": 3,
    "passes": "forward",
    "contender": [name for name in NAMES if name != "flex compiled"],
}
FORWARD_ONLY, UNPADDED = ("decode", "generation"), ("prefill", "decode")
SHARE_OF_MEMORY = 0.75  # of what is free, for one process


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(
        commands,
        "bench",
        "measure time and memory beside other implementations",
        DESCRIPTION,
        run_command,
        epilog="levels:\n" + table_text(("", ""), ((f"  {name}", story) for name, story in LEVELS.items())),
    )
    add = command.add_argument
    add(
        "--quick",
        action="store_true",
        help="two lengths, window 512, forward, three rounds, nothing compiled; other options take precedence",
    )
    add("--level", nargs="+", choices=LEVELS, metavar="LEVEL", help="what to measure (default: all)")
    add(
        "--tokens",
        nargs="+",
        type=positive,
        metavar="N",
        help="lengths (default: 1024, 2048, ... 65536; others of the models and of decoders)",
    )
    add(
        "--window",
        nargs="+",
        type=positive,
        metavar="W",
        help="one-sided (default: 64 256 512; 512 of the models, 1024 of decoders)",
    )
    add(
        "--passes",
        choices=PASSES,
        metavar="WHICH",
        help="forward; both: forward and backward as one; all: first forward, then both (default: all)",
    )
    add("--contender", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    add("--rounds", type=positive, metavar="N", help="rounds of each contender, in turns (default: 5)")
    add("--batch", type=positive, default=1, metavar="B", help="rows (default: 1)")
    add(
        "--padding",
        nargs="+",
        type=_share,
        default=[0.0],
        metavar="SHARE",
        help="share of padded tokens, in rows of different lengths; none of decoders "
        "(default: 0; try --batch 8 --padding 0 0.5)",
    )
    add("--heads", type=positive, default=12, metavar="H", help="heads (default: 12)")
    add("--head-dim", type=positive, default=64, metavar="D", help="width of a head (default: 64)")
    add(
        "--dtype",
        choices=("float32", "float64", "bfloat16", "float16"),
        metavar="DTYPE",
        help="float32 (default), float64, bfloat16 (default of --roofline) or float16",
    )
    add("--device", default="cpu", metavar="DEVICE", help="cpu (default) or cuda")
    add("--threads", type=positive, default=_processors(), metavar="N", help="of each process (default: all)")
    add(
        "--time-limit",
        type=positive,
        default=300,
        metavar="SECONDS",
        help="for preparing, and for each round (default: 300)",
    )
    add(
        "--memory-limit", type=positive, metavar="MIB", help="for one process (default: three quarters of what is free)"
    )
    add("--json", type=Path, metavar="FILE", help="write one JSON line for each measurement, as it finishes")
    add(
        "--roofline",
        choices=DEVICES,
        metavar="GPU",
        help="a100 or h100: nothing is measured; the fused kernels are "
        "compiled for it and executed on the CPU, and their counts give lower bounds of the time there",
    )
    add("--plot", type=Path, metavar="FILE", help="write time and memory against length as an SVG file")
    add(
        "--from",
        dest="files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="measure nothing: print tables, and plot, from files that --json wrote",
    )


def run_command(options: argparse.Namespace) -> int:
    """Measure, print the tables, and return the exit code: 3 when one of our own measurements failed."""
    for name in ("json", "plot"):
        chosen = getattr(options, name)
        if chosen and options.roofline:
            raise ValueError(f"--{name}: expected none with --roofline, which measures nothing, got {chosen}")
        if chosen and not chosen.parent.is_dir():
            raise ValueError(f"--{name}: expected a file in a folder that is there, got {chosen}")
    if options.files and (options.json or options.roofline):
        raise ValueError("--from: expected neither --json nor --roofline with it, as it measures nothing")
    if options.roofline:
        return _roofline(options)
    if options.files:
        return _show(options)
    options.dtype = options.dtype or "float32"
    if options.quick:
        for name, value in QUICK.items():
            if getattr(options, name) is None:
                setattr(options, name, value)
    plan = shapes(options)
    wanted = tuple(options.contender or NAMES)
    if options.plot and all(len({other.tokens for other in plan if other.group == item.group}) < 2 for item in plan):
        raise ValueError("--plot: expected at least two lengths with --tokens, got one")
    left = sorted({item.package for item in CONTENDERS if item.name in wanted and not item.installed})
    for package in left:
        print(f"trueband: {package} is not installed, and left out", file=sys.stderr)
    free = memory.available()
    limit = options.memory_limit * 2**20 if options.memory_limit else int(SHARE_OF_MEMORY * free) if free else None
    means = Means(options.threads, options.rounds or 5, options.time_limit, limit)
    done: list[Measurement] = []
    with BenchLines(options.json) as lines:
        lines.begin(options, means)
        try:
            _measure(plan, wanted, means, lines, done)
        except KeyboardInterrupt:
            print_tables(done)
            if options.plot:
                with suppress(ValueError):  # not two lengths yet
                    write_whole(options.plot, plot(done))
            raise
    print_tables(done)
    if not done:
        names = ", ".join(wanted)
        print(f"trueband: nothing ran: {names}: not installed, or not of these levels and passes", file=sys.stderr)
        return exit_codes.NOTHING_RAN
    if options.plot:
        write_whole(options.plot, plot(done))
    ours = [item for item in done if item.contender == OURS]
    return exit_codes.PASSED if all(item.measured for item in ours) else exit_codes.CRASHED


def _show(options: argparse.Namespace) -> int:
    """Print the tables of what is on disk, and write the plot."""
    measurements = read_measurements(options.files)
    print_tables(measurements)
    if options.plot:
        write_whole(options.plot, plot(measurements))
    return exit_codes.PASSED


def _roofline(options: argparse.Namespace) -> int:
    """Print the reports of all shapes."""
    from trueband.bench.roofline import roofline  # it needs torch

    for tokens in options.tokens or (4096,):
        for window in options.window or (256,):
            size = (options.batch, options.heads, options.head_dim, max(options.padding))
            shape = Shape("operator", tokens, window, options.passes != "forward", *size, options.dtype or "bfloat16")
            print("\n".join(roofline(options.roofline, shape)))
    return exit_codes.PASSED


def shapes(options: argparse.Namespace) -> list[Shape]:
    """List what to measure, lengths in increasing order within all else."""
    size, run = (options.batch, options.heads, options.head_dim), (options.dtype, options.device)
    return [
        Shape(level, tokens, window, backward, *size, padding, *run)
        for level in options.level or LEVELS
        for backward in (PASSES[options.passes or "all"] if level not in FORWARD_ONLY else (False,))
        for window in options.window or WINDOWS[level]
        for padding in (options.padding if level not in UNPADDED else [0.0])
        for tokens in sorted(set(options.tokens or TOKENS[level]))
    ]


def _measure(
    plan: Sequence[Shape], wanted: tuple[str, ...], means: Means, lines: BenchLines, done: list[Measurement]
) -> None:
    """Measure all shapes. `done` has what is finished, whatever happens."""

    def among(shape: Shape) -> list[Contender]:
        return contenders(shape, wanted)

    with Progress(len(plan)) as progress:
        for measurements in measure_all(plan, among, means, lambda shape, step: progress.at(f"{shape}: {step}")):
            for shape in {measurement.shape for measurement in measurements}:
                number = f"[{progress.done + 1}/{len(plan)}]"
                progress.advance(str(shape), f"{number} {shape}: {short_summary(measurements)}")
            for measurement in measurements:
                done.append(measurement)
                lines.add(measurement)


class BenchLines(JsonLines):
    """The file of measurements."""

    def begin(self, options: argparse.Namespace, means: Means) -> None:
        """The first line: what runs where, {"record": "run", ...}. A process like the contenders' is asked."""
        if self.path is None:
            return
        packages = {name: _version(name) for name in ("transformers", "local-attention")}
        machine = in_a_process(environment(means.threads), options.device)
        self.start(
            first_line("run", machine, threads=means.threads, rounds=means.rounds, device=options.device, **packages)
        )

    def add(self, measurement: Measurement) -> None:
        """Write one measurement, {"record": "measurement", ...}."""
        self.write("measurement", measurement.to_dict())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(text: str) -> float:
    """A number in [0, 1) of the command line."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return share

"""`trueband golden verify [ID ...]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.commands.golden.checkpoint import add_checkpoint, watch_checkpoint
from trueband.commands.golden.list import add_choice
from trueband.golden.records import GoldenRecord
from trueband.golden.registry import DTYPES
from trueband.golden.runners import Context
from trueband.golden.store import open_store
from trueband.golden.store.file import ENDING
from trueband.properties.bounds.precision import DTYPES as PRECISIONS
from trueband.properties.results.machine import machine
from trueband.reports.console import print_fields, print_line
from trueband.reports.json_lines import JsonLines, first_line
from trueband.reports.progress import Progress
from trueband.session.golden_choice import Chosen, choose, load_weights, run_items
from trueband.witnesses.families import FAMILIES, context_of

DESCRIPTION = """\
Compute goldens, and compare them with what was published. Without ID: all that need only the package and two wheels of
trained weights, which are fetched once. Each golden is judged by the digits that were printed. The report names its
worst place: value, expected, error, bound. A superseded golden passes when its value is missed.

  trueband golden verify                             the reference and the optimized implementation
  trueband golden verify sapiens_accuracy            one golden
  trueband golden verify -k infill --kind published  some
  trueband golden verify FILE.safetensors --checkpoint DIR   a recording of a model of yours (see golden record)
  trueband golden verify --checkpoint DIR            every golden of a checkpoint that you have in a folder
  trueband golden verify --witness masked_lm=mypkg.mymodule:my_model   an implementation of yours

A witness of yours is a callable of one form, which takes and returns NumPy arrays: masked_lm, seq2seq, attention or
position_ids; `python -c "import trueband.golden.witness as w; help(w)"` describes them."""

NOUNS = {"check": "checks", "recording": "taps"}


def add_verify(actions: Commands[Command]) -> None:
    """Register the action."""
    codes = (exit_codes.PASSED, exit_codes.FAILED, exit_codes.USAGE, exit_codes.NOTHING_RAN, exit_codes.INTERRUPTED)
    meanings = "\n".join(f"  {code:3d}  {exit_codes.MEANINGS[code]}" for code in codes)
    command = add_command(
        actions, "verify", "compute goldens, and compare", DESCRIPTION, run_verify, epilog=f"exit codes:\n{meanings}"
    )
    add = command.add_argument
    add("ids", nargs="*", metavar="ID", help="of goldens or checks, see `trueband golden list` (default: all)")
    add_choice(command)
    add(
        "--witness",
        action="append",
        metavar="WITNESS",
        help=f"{', '.join(FAMILIES)}, FORM=module:name of a callable, "
        "or module:name of a mapping from forms to callables; may be given more than once "
        f"(default: {' and '.join(FAMILIES)})",
    )
    add(
        "--dtype",
        choices=PRECISIONS,
        help="of the weights in the run (default: float32, as they are stored); the "
        "reference always computes in float64. A coarser dtype cannot meet the printed digits",
    )
    add_checkpoint(command)
    add("--device", help="where a recording runs, e.g. cuda (default: cpu)")
    add(
        "--json",
        action="store_true",
        help="print one JSON object per line: what runs where, goldens as they finish, the summary",
    )


def run_verify(options: argparse.Namespace) -> int:
    """Run, report, and return the exit code."""
    started = time.perf_counter()
    recordings = [Path(name) for name in options.ids if name.endswith(ENDING)]
    if recordings:
        return run_recordings(recordings, options)
    if options.dtype not in (None, *DTYPES):
        raise ValueError(f"--dtype: expected {' or '.join(DTYPES)} for goldens of the package, got {options.dtype!r}")
    if options.device is not None:
        raise ValueError(f"--device: expected a recording to run on {options.device}, got goldens of the package")
    if options.checkpoint_id is not None and options.checkpoint is None:
        raise ValueError("--as: expected it with --checkpoint DIR only, got no DIR")
    store = open_store()
    store.check()
    report = _Report(options)
    left_out: dict[str, str] = {}
    if options.checkpoint is not None:
        run = partial(watch_checkpoint, options, report.add)
    else:
        contexts = [context_of(text, options.dtype) for text in options.witness or FAMILIES]
        chosen = choose(options.ids, options.kind, options.pattern, store)
        left_out = chosen.left_out
        load_weights(chosen.items)
        run = partial(_watch, report, chosen, contexts)
    interrupted = False
    try:
        run()
    except KeyboardInterrupt:
        interrupted = True
    report.end(left_out, time.perf_counter() - started)
    if interrupted:
        print("trueband: interrupted; the above had finished", file=sys.stderr)
        return exit_codes.INTERRUPTED
    return exit_code(report.records)


def run_recordings(paths: Sequence[Path], options: argparse.Namespace) -> int:
    """Recordings of models of the user's, see `golden record`."""
    from trueband.hub.verify_recording import verify_recording

    if len(paths) != len(options.ids):
        raise ValueError(f"ID: expected recordings (*{ENDING}) or ids of goldens, got both")
    report = _Report(options)
    for path in paths:
        for record in verify_recording(path, options.checkpoint, options.dtype, options.device):
            report.add(record)
    report.end({}, sum(record.seconds for record in report.records))
    return exit_code(report.records)


def exit_code(records: Sequence[GoldenRecord]) -> int:
    """The exit code of records. Goldens that cannot run neither pass nor fail."""
    ran = [record for record in records if not record.cannot_run]
    if nothing_ran(records):
        return exit_codes.NOTHING_RAN
    return exit_codes.PASSED if all(record.passed for record in ran) else exit_codes.FAILED


def nothing_ran(records: Sequence[GoldenRecord]) -> bool:
    """Return whether no golden could run, and no check beside them has failed."""
    goldens = [record for record in records if record.kind != "check"]
    checks = [record for record in records if record.kind == "check"]
    return all(record.cannot_run for record in goldens or checks) and all(record.passed for record in checks)


def line_of(record: GoldenRecord) -> str:
    """Describe one record in a line."""
    status = "cannot run" if record.cannot_run else "passed" if record.passed else "FAILED"
    detail = record.detail.removeprefix("cannot run: ")
    if isinstance(record.value, str):
        detail += f": {record.value!r}" if record.passed else f": {record.value!r}, expected {record.expected!r}"
    return f"{status}  {record.name} [{record.witness}]  {detail}"


class _Report:
    """Reports records when they are made, as JSON lines or for a reader.

    Attributes:
        records: the records so far.
        show: prints a line for a reader.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.records: list[GoldenRecord] = []
        self._options = options
        self.show: Callable[[str], None] = print_line
        self._lines, self._begun = JsonLines(None, sys.stdout), False

    def add(self, record: GoldenRecord) -> None:
        """Report one more record."""
        self.records.append(record)
        if self._options.json:
            self._write("golden", record.to_dict())
        else:
            self.show(line_of(record))

    def end(self, left_out: dict[str, str], seconds: float) -> None:
        """Report the summary."""
        if self._options.json:
            values = {"kinds": _by_kind(self.records), "left_out": left_out, "seconds": round(seconds, 3)}
            self._write("summary", values)
        else:
            _print_summary(self.records, left_out, seconds)

    def _write(self, kind: str, values: dict[str, Any]) -> None:
        if not self._begun:  # not before the first record: what cannot run at all prints nothing
            self._begun = True
            loads = "optimized" in (self._options.witness or ["optimized"])
            here = machine(self._options.device or "cpu", load=loads)
            self._lines.start(first_line("run", here, ids=self._options.ids, dtype=self._options.dtype))
        self._lines.write(kind, values)


def _watch(report: _Report, chosen: Chosen, contexts: list[Context]) -> None:
    """Run, and report each record when it is made. A terminal also shows what runs now."""
    with Progress(len(chosen.items) * len(contexts), lines=False) as progress:
        report.show = progress.show
        for record in run_items(chosen.items, contexts, lambda name, witness: progress.at(f"{name} [{witness}]")):
            report.add(record)
            progress.advance(record.name)
    report.show = print_line


def _by_kind(records: Sequence[GoldenRecord]) -> dict[str, dict[str, int]]:
    return {
        kind: {
            "passed": sum(record.passed for record in records if record.kind == kind),
            "failed": sum(not record.passed and not record.cannot_run for record in records if record.kind == kind),
            "cannot_run": sum(record.cannot_run for record in records if record.kind == kind),
            "goldens": len({record.name for record in records if record.kind == kind}),
        }
        for kind in Counter(record.kind for record in records)
    }


def _print_summary(records: Sequence[GoldenRecord], left_out: dict[str, str], seconds: float) -> None:
    print_line("")
    print_fields((kind, _counted(kind, counts)) for kind, counts in _by_kind(records).items())
    for line in left_out_lines(left_out):
        print_line(line)
    failed = sum(not record.passed and not record.cannot_run for record in records)
    ran = sum(not record.cannot_run for record in records)
    verdict = (
        "no golden could run"
        if nothing_ran(records)
        else f"{failed} of {ran} FAILED"
        if failed
        else f"all {ran} passed"
    )
    print_line(f"{verdict}, in {seconds:.0f} s")


def _counted(kind: str, counts: dict[str, int]) -> str:
    results = ", ".join(f"{counts[key]} {key.replace('_', ' ')}" for key in ("passed", "failed", "cannot_run"))
    return f"{counts['goldens']} {NOUNS.get(kind, 'goldens')}: {results}"


def left_out_lines(left_out: dict[str, str]) -> list[str]:
    """Say how many need a checkpoint, and how many cannot be computed at all. A single one has its reason."""
    waiting = [name for name, reason in left_out.items() if reason.startswith("needs the checkpoint")]
    never = [name for name in left_out if name not in waiting]
    lines = []
    if len(never) == 1:
        lines.append(f"left out  {never[0]}: {left_out[never[0]]}")
    elif never:
        lines.append(f"left out  {len(never)} that cannot be computed: trueband golden show ID says why")
    if waiting:
        lines.append(f"left out  {len(waiting)} that need their checkpoint: trueband golden verify --checkpoint DIR")
    return lines

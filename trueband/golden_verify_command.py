"""`trueband golden verify [ID ...]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trueband import exit_codes
from trueband.console import print_line
from trueband.golden.records import GoldenRecord
from trueband.golden.runners import Context
from trueband.golden.runners.registry import DTYPES
from trueband.golden.store import open_store
from trueband.golden.store.file import ENDING
from trueband.golden_checkpoint_command import add_checkpoint, watch_checkpoint
from trueband.golden_families import FAMILIES, context_of
from trueband.golden_list_command import add_choice
from trueband.golden_run import Chosen, choose, load_weights, run_items
from trueband.properties.bounds.precision import DTYPES as PRECISIONS

DESCRIPTION = """\
Compute goldens, and compare with what was published. Without ID: all that can be computed from the package and from the
two wheels of trained weights, which are fetched once. Each golden is judged by the digits that were printed, and told
by its worst place: value, expected, error, bound. A superseded golden passes when its value is missed.

  trueband golden verify                             the reference and the optimized implementation
  trueband golden verify sapiens_accuracy            one golden
  trueband golden verify -k infill --kind published  some
  trueband golden verify FILE.safetensors --checkpoint DIR   a recording of a model of yours (see golden record)
  trueband golden verify --checkpoint DIR            every golden of a checkpoint that you have in a folder
  trueband golden verify --witness masked_lm=mypkg.mymodule:my_model   an implementation of yours

A witness of yours is a callable of one form, which takes and returns NumPy arrays: masked_lm, seq2seq, attention or
position_ids; `python -c "import trueband.golden.witness as w; help(w)"` tells what each takes."""

NOUNS = {"check": "checks", "recording": "taps"}


def add_verify(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the action."""
    codes = (exit_codes.PASSED, exit_codes.FAILED, exit_codes.USAGE, exit_codes.NOTHING_RAN, exit_codes.INTERRUPTED)
    meanings = "\n".join(f"  {code:3d}  {exit_codes.MEANINGS[code]}" for code in codes)
    command = actions.add_parser(
        "verify",
        help="compute goldens, and compare",
        description=DESCRIPTION,
        epilog=f"exit codes:\n{meanings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("ids", nargs="*", metavar="ID", help="of goldens or checks, see `trueband golden list` (default: all)")
    add_choice(command)
    add("--witness", action="append", metavar="WITNESS", help=f"{', '.join(FAMILIES)}, FORM=module:name of a callable, "
        "or module:name of a mapping from forms to callables; may be given more than once "
        f"(default: {' and '.join(FAMILIES)})")  # fmt: skip
    add("--dtype", choices=PRECISIONS, help="that the weights are cast to (default: float32, as they are stored); the "
        "reference computes in float64 always. A coarser dtype cannot meet the printed digits")  # fmt: skip
    add_checkpoint(command)
    add("--device", help="to run a recording on, e.g. cuda (default: cpu)")
    add("--json", action="store_true", help="print one JSON object per line as goldens finish, the summary last")
    command.set_defaults(run=run_verify)


def run_verify(options: argparse.Namespace) -> int:
    """Run, report, and return the exit code."""
    started = time.perf_counter()
    recordings = [Path(each) for each in options.ids if each.endswith(ENDING)]
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
    records: list[GoldenRecord] = []
    left_out: dict[str, str] = {}
    if options.checkpoint is not None:
        run = partial(watch_checkpoint, options, lambda record: _tell(records, record, options.json))
    else:
        contexts = [context_of(text, options.dtype) for text in options.witness or FAMILIES]
        chosen = choose(options.ids, options.kind, options.pattern, store)
        left_out = chosen.left_out
        load_weights(chosen.items)
        run = partial(_watch, records, chosen, contexts, options.json)
    interrupted = False
    try:
        run()
    except KeyboardInterrupt:
        interrupted = True
    _summary(records, left_out, time.perf_counter() - started, options.json)
    if interrupted:
        print("trueband: interrupted; the above had finished", file=sys.stderr)
        return exit_codes.INTERRUPTED
    return exit_code(records)


def run_recordings(paths: Sequence[Path], options: argparse.Namespace) -> int:
    """Recordings of models of the user's, see `golden record`."""
    from trueband.golden_record_verify import verify_recording

    if len(paths) != len(options.ids):
        raise ValueError(f"ID: expected recordings (*{ENDING}) or ids of goldens, got both")
    records: list[GoldenRecord] = []
    for path in paths:
        for record in verify_recording(path, options.checkpoint, options.dtype, options.device):
            records.append(record)
            if options.json:
                print(json.dumps({"record": "golden", **record.to_dict()}), flush=True)
            else:
                print_line(line_of(record))
    _summary(records, {}, sum(record.seconds for record in records), options.json)
    return exit_code(records)


def exit_code(records: Sequence[GoldenRecord]) -> int:
    """What records come to: goldens that cannot run neither pass nor fail."""
    ran = [record for record in records if not record.cannot_run]
    if nothing_ran(records):
        return exit_codes.NOTHING_RAN
    return exit_codes.PASSED if all(record.passed for record in ran) else exit_codes.FAILED


def nothing_ran(records: Sequence[GoldenRecord]) -> bool:
    """Whether no golden could run, and no check beside them has failed."""
    goldens = [record for record in records if record.kind != "check"]
    checks = [record for record in records if record.kind == "check"]
    return all(record.cannot_run for record in goldens or checks) and all(record.passed for record in checks)


def line_of(record: GoldenRecord) -> str:
    """One record in a line."""
    status = "cannot run" if record.cannot_run else "passed" if record.passed else "FAILED"
    detail = record.detail.removeprefix("cannot run: ")
    if isinstance(record.value, str):
        detail += f": {record.value!r}" if record.passed else f": {record.value!r}, expected {record.expected!r}"
    return f"{status:10}  {record.name} [{record.witness}]  {detail}"


def _watch(records: list[GoldenRecord], chosen: Chosen, contexts: list[Context], as_json: bool) -> None:
    """Runs, appends and tells each record as it is made; on a terminal also what runs now."""
    total, terminal = len(chosen.items) * len(contexts), sys.stderr.isatty()

    def before(name: str, witness: str) -> None:
        if terminal:
            print(f"\r\033[K{len(records) + 1}/{total} {name} [{witness}]", end="", file=sys.stderr, flush=True)

    for record in run_items(chosen.items, contexts, before):
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        _tell(records, record, as_json)


def _tell(records: list[GoldenRecord], record: GoldenRecord, as_json: bool) -> None:
    """Appends a record, and prints it."""
    records.append(record)
    if as_json:
        print(json.dumps({"record": "golden", **record.to_dict()}), flush=True)
    else:
        print_line(line_of(record))


def _summary(records: Sequence[GoldenRecord], left_out: dict[str, str], seconds: float, as_json: bool) -> None:
    by_kind = {
        kind: {
            "passed": sum(record.passed for record in records if record.kind == kind),
            "failed": sum(not record.passed and not record.cannot_run for record in records if record.kind == kind),
            "cannot_run": sum(record.cannot_run for record in records if record.kind == kind),
            "goldens": len({record.name for record in records if record.kind == kind}),
        }
        for kind in Counter(record.kind for record in records)
    }
    if as_json:
        told = {"record": "summary", "kinds": by_kind, "left_out": left_out, "seconds": round(seconds, 3)}
        print(json.dumps(told), flush=True)
        return
    print_line("")
    for kind, counts in by_kind.items():
        results = ", ".join(f"{counts[key]} {key.replace('_', ' ')}" for key in ("passed", "failed", "cannot_run"))
        print_line(f"{kind:10}  {counts['goldens']:3d} {NOUNS.get(kind, 'goldens')}: {results}")
    for line in told_left_out(left_out):
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


def told_left_out(left_out: dict[str, str]) -> list[str]:
    """How many need a checkpoint, and how many cannot be computed at all; a single one with its reason."""
    waiting = [name for name, reason in left_out.items() if reason.startswith("needs the checkpoint")]
    never = [name for name in left_out if name not in waiting]
    lines = []
    if len(never) == 1:
        lines.append(f"left out    {never[0]}: {left_out[never[0]]}")
    elif never:
        lines.append(f"left out    {len(never)} that cannot be computed: trueband golden show ID says why")
    if waiting:
        lines.append(f"left out    {len(waiting)} that need their checkpoint: trueband golden verify --checkpoint DIR")
    return lines

"""Everything to do on a machine with a GPU: `python tools/device/run.py STAGE ... | all`; see docs/device.md.

It runs from a checkout that is not installed. Each stage has processes of its own, and no failure stops another unit.
Results are added to OUT/results.jsonl as they come; what the processes print is in OUT/log.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path[:1] = [str(Path(__file__).resolve().parents[1])]  # its own modules are those of the package `device`

from device import checkout  # noqa: E402
from device.results import NAME, Results, read, recorded, table  # noqa: E402
from device.stage import Stage  # noqa: E402

# In the order in which they are worth their time.
STAGES = (
    "facts",
    "smoke",
    "check",
    "emulator",
    "sanitizer",
    "large",
    "models",
    "memory",
    "bench",
    "tune",
    "peers",
)
SECONDS = 440.0
STAND_INS = Path(__file__).resolve().parent / "stand_ins"
ALL_PASSED, FAILED, USAGE = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="run.py", description=__doc__.partition("\n\n")[2])
    add = made.add_argument
    add("stage", nargs="+", metavar="STAGE", choices=(*STAGES, "all"), help=f"all, or some of {', '.join(STAGES)}")
    add("--rehearse", action="store_true", help="on the CPU, in tiny sizes: every line runs, nothing is measured")
    add("--out", type=Path, default=Path(os.environ.get("OUT", "device-results")), metavar="FOLDER", help="of results")
    add("--seconds", type=float, default=SECONDS, metavar="N", help=f"of a stage, then none is begun ({SECONDS:.0f})")
    add(
        "--resume",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="FILE",
        help="leave out what FILE has recorded (default: the one in FOLDER)",
    )
    add("--unit", nargs="+", metavar="NAME", help="only units of these names")
    add("--commit", metavar="ID", help="of the checkout, where git does not know it")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; returns the exit code."""
    options = parser().parse_args(arguments)
    if not options.seconds > 0:
        print(f"run.py: error: --seconds: expected more than 0, got {options.seconds:g}", file=sys.stderr)
        return USAGE
    stages = STAGES if "all" in options.stage else tuple(dict.fromkeys(options.stage))
    results, done = Results(options.out / NAME), set()
    if options.resume is not None:
        earlier = results.path if options.resume == Path() else options.resume
        done = recorded(read(earlier), options.rehearse)
    begin = len(read(results.path))
    with tempfile.TemporaryDirectory() as folder, (options.out / "log.txt").open("a", encoding="utf-8") as log:
        variables = environment(checkout.link(Path(folder)), options.rehearse)
        head = about(variables, options.rehearse)
        commit = options.commit or checkout.commit()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        results.write("run", date=now, commit=commit, rehearsed=options.rehearse, stages=stages, **head)
        for name in stages:
            run_stage(name, options, done, variables, results, log)
    lines = read(results.path)[begin:]
    print("\n".join(table(lines)))
    return ALL_PASSED if all(line.get("status", "done") == "done" for line in lines) else FAILED


def run_stage(
    name: str,
    options: argparse.Namespace,
    done: set[tuple[str, str]],
    variables: dict[str, str],
    results: Any,
    log: Any,
) -> None:
    """Run the units of one stage that are wanted and not done."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    try:
        units = json.loads(answer(variables, name, rehearsed=options.rehearse))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        message = f"{error} {getattr(error, 'stderr', '') or ''}"[-4000:]
        results.write("unit", stage=name, unit="(units)", status="error", seconds=0.0, message=message)
        return
    wanted = [unit for unit in units if (name, unit) not in done and (not options.unit or unit in options.unit)]
    Stage(name, wanted, options.rehearse, options.seconds, variables, log).run(results)


def environment(packages: Path, rehearsed: bool) -> dict[str, str]:
    """The variables of all processes. In a rehearsal the tools that only a GPU has are stood in for."""
    if not rehearsed:
        return checkout.environment(packages)
    path = os.pathsep.join([str(STAND_INS), os.environ.get("PATH", "")])
    return checkout.environment(packages, PATH=path, OMP_NUM_THREADS="1")


def about(variables: dict[str, str], rehearsed: bool) -> dict[str, Any]:
    """The card and the versions, as a process of its own finds them."""
    try:
        found: dict[str, Any] = json.loads(answer(variables, rehearsed=rehearsed))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        stderr = getattr(error, "stderr", None) or ""
        return {"card": "unknown", "message": f"{error} {stderr}"[-4000:]}
    return found


def answer(variables: dict[str, str], *stage: str, rehearsed: bool) -> str:
    """The last line that `device.about` prints."""
    command = checkout.python("device.about", *stage, *(["--rehearse"] if rehearsed else []))
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())

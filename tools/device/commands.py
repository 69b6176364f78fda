"""Runs `trueband check` in processes beside each other, and reads what they have recorded, to the end or not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from device.checkout import python
from device.ending import with_parent
from device.results import read
from device.unit import Context

GOOD = ("passed", "expected", "not asked")
KEPT = ("check", "dtype", "status", "message", "seconds", "reproduce")
MOST = 40  # failures that are recorded in full
STOPPED = -signal.SIGTERM


def check(context: Context, runs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Run `trueband check` with the arguments of each run, all at once; returns what a unit records.

    Args:
        runs: {name: arguments}.
    """
    paths = {name: context.folder / f"{number}.jsonl" for number, name in enumerate(runs)}
    commands = {
        name: python("trueband", "check", *arguments, "--json", str(paths[name])) for name, arguments in runs.items()
    }
    codes = together(commands, context)
    for name, path in paths.items():
        context.report(name, {"exit_code": codes[name], "command": commands[name][4:-2], **summed(path)})
    every = [line for path in paths.values() for line in checks_of(path)]
    failures = [line for line in every if line["status"] not in GOOD]
    unfinished = [name for name, code in codes.items() if code == STOPPED]
    broken = [name for name, code in codes.items() if code not in (0, STOPPED) and not checks_of(paths[name])]
    cases = sum(line["cases"] for line in every)
    said = [f"{len(every)} checks, {cases:,} cases, {len(failures)} failed"]
    said += [f"out of time: {', '.join(unfinished)}"] if unfinished else []
    said += [f"did not run, see the log: {', '.join(broken)}"] if broken else []
    return {
        "passed": not failures and not unfinished and not broken and bool(every),
        "checks": len(every),
        "cases": cases,
        "failed": len(failures),
        "unfinished": unfinished,
        "broken": broken,
        "failures": [{name: line[name] for name in KEPT} for line in failures[:MOST]],
        "summary": "; ".join(said),
    }


def checks_of(path: Path) -> list[dict[str, Any]]:
    """The checks that have ended."""
    return [line for line in read(path) if line["record"] == "check"]


def summed(path: Path) -> dict[str, Any]:
    """What a file of results has: how many checks of which status, and the worst error of each check that has one."""
    statuses: dict[str, int] = {}
    worst: dict[str, float] = {}
    for line in checks_of(path):
        statuses[line["status"]] = statuses.get(line["status"], 0) + 1
        if line["worst"]:
            worst[f"{line['check']}[{line['dtype']}]"] = line["worst"]
    return {
        "statuses": statuses,
        "worst": worst,
        "covered": [each for each in read(path) if each["record"] == "covered"],
    }


def together(commands: Mapping[str, Sequence[str]], context: Context) -> dict[str, int]:
    """Run commands at the same time, and stop what the unit's time does not suffice for; their exit codes by name."""
    end = time.monotonic() + context.seconds
    processes: dict[str, subprocess.Popen[bytes]] = {}
    codes = {}
    try:
        for name, command in commands.items():
            print(f"$ {' '.join(command[1:])}", file=sys.stderr)
            processes[name] = subprocess.Popen(
                command, env=dict(context.environment), start_new_session=True, preexec_fn=with_parent
            )
        for name, process in processes.items():
            try:
                codes[name] = process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                codes[name] = STOPPED
    finally:
        for process in processes.values():
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return codes

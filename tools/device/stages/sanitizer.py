"""sanitizer: NVIDIA's compute-sanitizer over the kernels, beside what `trueband sanitize` says of the same launches."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from typing import Any

from device.checkout import python
from device.results import read
from device.sanitizer_report import parse
from device.unit import Context, Unit

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
MOST = 30  # findings that are recorded
# torch's own allocator would hide what lies between its blocks; what it leaves unwritten is not the kernels' fault.
VARIABLES = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}


def units(rehearsed: bool) -> list[Unit]:
    tools = [Unit(tool, of_tool, 110, (tool,)) for tool in TOOLS]
    tools = tools[:2] if rehearsed else tools
    return [Unit("launches", of_launches, 60), *tools, Unit("interpreter", of_interpreter, 200)]


def of_launches(context: Context) -> dict[str, Any]:
    """The launches without a sanitizer: what they take, and that they end."""
    done = launched(context, [])
    return {
        "passed": done.returncode == 0,
        "exit_code": done.returncode,
        "summary": (done.stdout.splitlines() or [""])[-1],
    }


def of_tool(context: Context, tool: str) -> dict[str, Any]:
    done = launched(context, ["compute-sanitizer", "--tool", tool, "--print-limit", "100"])
    report = parse(done.stdout)
    ended = "launched" in done.stdout.splitlines()
    errors = "no summary" if report.errors is None else f"{report.errors} errors"
    kernels = sorted({found.kernel for found in report.found if found.kernel})
    return {
        "passed": report.errors == 0 and ended,
        "errors": report.errors,
        "ended": ended,
        "exit_code": done.returncode,
        "kernels": kernels,
        "found": [asdict(found) for found in report.found[:MOST]],
        "tail": "" if report.errors == 0 and ended else done.stdout[-4000:],
        "summary": errors + (f" in {', '.join(kernels)}" if kernels else "") + ("" if ended else ", did not end"),
    }


def launched(context: Context, before: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the launches, under a command or alone."""
    command = [*before, *python("device.launches", context.place, *(["--few"] if context.rehearsed else []))]
    done = subprocess.run(
        command,
        env={**context.environment, **VARIABLES},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=context.seconds,
        check=False,
    )
    print(done.stdout[-4000:], file=sys.stderr)
    return done


def of_interpreter(context: Context) -> dict[str, Any]:
    """`trueband sanitize` on the same launches, in Triton's interpreter."""
    path = context.folder / "findings.jsonl"
    target = ["device.launches:tiny"] if context.rehearsed else []
    limit = str(max(1.0, context.seconds - 5))
    command = python("trueband", "sanitize", *target, "--json", str(path), "--time-limit", limit)
    done = subprocess.run(command, env=dict(context.environment), check=False)
    lines = read(path)
    end: dict[str, Any] = next((line for line in lines if line["record"] == "end"), {})
    found = [{name: line[name] for name in ("kind", "kernel")} for line in lines if line["record"] == "finding"]
    return {
        "passed": done.returncode == 0,
        "exit_code": done.returncode,
        "launches": end.get("launches"),
        "kernels": end.get("kernels"),
        "found": found[:MOST],
        "summary": f"{len(found)} found in {end.get('launches')} launches {end.get('crash', '')}",
    }

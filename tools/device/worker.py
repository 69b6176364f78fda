"""The process of a stage: `python -m device.worker JOB`; runs units one after another, and tells of each at once.

It may die of what a unit does, or be killed: the other side then starts another one for the units that are left. What
it tells goes to the file descriptor of the job, a JSON line each; what it prints is a log.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from device.results import DONE, ERROR, FAILED, plain
from device.unit import Context, Unit

PLANTED = "TRUEBAND_DEVICE_PLANT"  # {stage: "raise", "exit" or "sleep"}: failures for tests of the kit, as JSON
STICKY = ("CUDA error", "CUDA driver error", "an illegal memory access", "device-side assert")
LOST = 75  # exit code: the device is of no more use to this process
GRACE = 15.0  # seconds between the time that a unit is told and its end


def units_of(stage: str, rehearsed: bool) -> dict[str, Unit]:
    """The units of a stage, in order."""
    how = json.loads(os.environ.get(PLANTED, "{}")).get(stage)
    first = [planted(how)] if how else []
    return {unit.name: unit for unit in (*first, *import_module(f"device.stages.{stage}").units(rehearsed))}


def main(job: Mapping[str, Any]) -> int:
    """Run units until all are done, or the time has come: that of the clock that all processes of a machine share."""
    units, rehearsed = units_of(job["stage"], job["rehearsed"]), job["rehearsed"]
    with os.fdopen(job["descriptor"], "w", encoding="utf-8") as stream:
        for name in job["units"]:
            left = job["until"] - time.monotonic()
            if left <= 0:
                return 0
            unit = units[name]
            seconds = min(unit.seconds, left + GRACE)
            tell(stream, "begin", unit=name, seconds=seconds + GRACE)
            if run(unit, rehearsed, seconds, stream):
                return LOST
    return 0


def run(unit: Unit, rehearsed: bool, seconds: float, stream: TextIO) -> bool:
    """Run one unit, and tell how it ended. Returns whether the device is lost to this process."""
    start, lost = time.monotonic(), False

    def report(part: str, values: Mapping[str, Any]) -> None:
        tell(stream, "part", unit=unit.name, part=part, values=values)

    with tempfile.TemporaryDirectory() as folder:
        try:
            values = dict(unit.run(Context(rehearsed, os.environ, Path(folder), report, seconds), *unit.arguments))
            status = DONE if values.get("passed", True) else FAILED
        except Exception as error:
            traceback.print_exc()
            message = f"{type(error).__name__}: {error}"
            values, status = {"message": message, "traceback": traceback.format_exc()[-4000:]}, ERROR
            lost = any(word in message for word in STICKY)
    tell(stream, "end", unit=unit.name, status=status, seconds=time.monotonic() - start, values=values)
    return lost


def tell(stream: TextIO, kind: str, **values: Any) -> None:
    stream.write(json.dumps(plain({"kind": kind, **values}), allow_nan=False) + "\n")
    stream.flush()


def planted(how: str) -> Unit:
    """A unit that fails, for tests of the kit: it raises, or dies, or does not end."""

    def fail(context: Context) -> Mapping[str, Any]:
        if how == "exit":
            os.abort()
        if how == "sleep":
            time.sleep(3600)
        raise RuntimeError("planted")

    return Unit("planted", fail, 2 - GRACE)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))

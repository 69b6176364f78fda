"""Runs a stage: one process for its units, and another one each time that one is lost."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from device.checkout import python
from device.ending import with_parent
from device.results import CRASHED, LATE, Results
from device.worker import GRACE

START = 120.0  # seconds that a process may take before its first unit, and between two
START_UNIT = "(start)"


@dataclass
class Patience:
    """How many seconds a process may be silent."""

    seconds: float = START


@dataclass(frozen=True)
class Stage:
    """How a stage is run.

    Attributes:
        name: the module in `device.stages`.
        units: the names of its units that are to be run.
        rehearsed: whether the CPU stands for the device.
        seconds: after which no other unit is begun.
        environment: variables of its processes. log: where these print.
    """

    name: str
    units: Sequence[str]
    rehearsed: bool
    seconds: float
    environment: Mapping[str, str]
    log: TextIO

    def run(self, results: Results) -> list[str]:
        """Run the units, and write down each as it ends. Returns those that were not begun."""
        left, end = list(self.units), time.monotonic() + self.seconds
        while left and time.monotonic() < end:
            begun = self._process(left, end, results)
            if not begun:  # its time is spent, or it never came so far as to begin
                break
            left = left[begun:]
        if left:
            results.write("left", stage=self.name, units=left)
        return left

    def _process(self, units: list[str], until: float, results: Results) -> int:
        """Run units in one process, until it ends. Returns how many it began."""
        process, descriptor = self._started(units, until)
        running: tuple[str, float] | None = None
        begun, patience, late = 0, Patience(), False
        try:
            for message in messages(descriptor, patience):
                if message is None:
                    late = True
                elif message["kind"] == "begin":
                    begun, patience.seconds = begun + 1, message["seconds"]
                    running = message["unit"], time.monotonic()
                elif message["kind"] == "part":
                    self._write(results, "part", message["unit"], part=message["part"], **message["values"])
                else:
                    running, patience.seconds = None, START
                    values = {"status": message["status"], "seconds": message["seconds"], **message["values"]}
                    self._write(results, "unit", message["unit"], **values)
        finally:
            code = ended(process, 0.0 if late else GRACE)
            os.close(descriptor)
        how = f"it did not end within {patience.seconds:.0f} s" if late else f"the process ended with exit code {code}"
        if running is not None:
            taken = time.monotonic() - running[1]
            status = LATE if late else CRASHED
            self._write(results, "unit", running[0], status=status, seconds=taken, message=how)
        elif not begun and (late or code):
            how += ", before it began; see the log"
            self._write(results, "unit", START_UNIT, status=CRASHED, seconds=0.0, message=how)
        return begun

    def _write(self, results: Results, record: str, unit: str, **values: Any) -> None:
        results.write(record, stage=self.name, unit=unit, **values)

    def _started(self, units: list[str], until: float) -> tuple[subprocess.Popen[bytes], int]:
        read_end, write_end = os.pipe()
        job = {
            "stage": self.name,
            "units": units,
            "rehearsed": self.rehearsed,
            "until": until,
            "descriptor": write_end,
        }
        process = subprocess.Popen(
            python("device.worker", json.dumps(job)),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=dict(self.environment),
            pass_fds=(write_end,),
            start_new_session=True,  # so that what it starts ends with it
            preexec_fn=with_parent,
        )
        os.close(write_end)
        return process, read_end


def messages(descriptor: int, patience: Patience) -> Iterator[dict[str, Any] | None]:
    """What a process tells, until it closes; None once it has told nothing new for as long as it may.

    Args:
        patience: how long the next message that is no part may take; it may be changed on the way.
    """
    waiting, kept = time.monotonic(), b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, waiting + patience.seconds - time.monotonic()))
        if not ready:
            yield None
            return
        read = os.read(descriptor, 1 << 16)
        if not read:
            return
        *lines, kept = (kept + read).split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if message["kind"] != "part":
                waiting = time.monotonic()
            yield message


def ended(process: subprocess.Popen[bytes], patience: float) -> int:
    """End a process, unless it ends by itself within some seconds, and all that it has started; its exit code."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()

"""A contender's process, as the process sees it that measures."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from trueband.bench.shape import Shape
from trueband.starting.threads import VARIABLES

# Settings of a BLAS that somebody has made for another purpose would change what is measured.
_FOREIGN = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_COMMAND = (sys.executable, "-P", "-m", "trueband.bench.worker")


def environment(threads: int) -> dict[str, str]:
    """Variables of the process: the caller's, but for the threads and foreign settings."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return kept | dict.fromkeys(VARIABLES, str(threads))


class NoAnswer(Exception):
    """No measurement. `status` is "failed", "out of memory" or "out of time"."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class Process:
    """One process of `python -m trueband.bench.worker`. It loads its libraries, and then waits for `prepare`.

    Attributes:
        memory: bytes that its first call took, once it has prepared.
    """

    def __init__(self, contender: str, shape: Shape, threads: int, memory_limit: int | None) -> None:
        self.memory = 0
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(threads),
            start_new_session=True,  # so that what it starts, such as compilers, ends with it
        )
        self._job = {"contender": contender, "shape": asdict(shape), "threads": threads, "memory_limit": memory_limit}

    def prepare(self, seconds: float) -> None:
        """Let it prepare, and do its work once."""
        self._send(json.dumps(self._job))
        self.memory = int(self._answer(seconds)["memory"])

    def round(self, seconds: float) -> tuple[float, float]:
        """Run one round. Returns its seconds, of the wall and of the processors."""
        self._send("go")
        answer = self._answer(seconds)
        return answer["seconds"], answer["processor_seconds"]

    def end(self) -> None:
        """Kill it, and what it has started."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the missing answer will show that it is gone
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _answer(self, seconds: float) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        there, _, _ = select.select([stream], [], [], seconds)
        if not there:
            raise NoAnswer("out of time", f"expected an answer within {seconds:g} s, got none")
        line = stream.readline()
        if not line:
            code = self._process.wait()
            status = "out of memory" if code == -signal.SIGKILL else "failed"
            raise NoAnswer(status, f"expected an answer, got the end of the process (exit code {code})")
        answer: dict[str, Any] = json.loads(line)
        if "status" in answer:
            raise NoAnswer(answer["status"], answer["message"])
        return answer

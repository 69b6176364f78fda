"""The candidate's process as the judging process sees it: started, asked, watched, and ended with its children."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trueband.properties.candidate.protocol import MOST_BYTES, Array, receive, send

_WORKER = (sys.executable, "-P", "-m", "trueband.properties.candidate.worker")
KEPT_WORDS = 20_000  # bytes of what a candidate prints, from one question to the next
LOOK = 0.5  # seconds between two looks at what a process that does not answer is doing
MOST_OF_CLOCK = 10  # times as long as the limit, by the clock, however little of the processor it had
_NOTHING = object()
# Variables that could reveal to a candidate which tests, or which seed, it is judged by.
_TELLTALE = ("HYPOTHESIS", "PYTEST", "TRUEBAND_SEED")


class ChildGone(Exception):
    """The process ended instead of answering."""


class ChildKilled(ChildGone):
    """The system ended the process, as it does where memory runs out."""


class ChildSilent(Exception):
    """The process did not answer in time."""


class ChildForges(Exception):
    """A message on the channel of answers does not answer the question."""


class Child:
    """One process of `python -m trueband.properties.candidate.worker`.

    Answers come through a pipe of their own; each repeats the secret token of its question. What the process prints
    is kept up to a limit. Evidence comes through a third pipe, whatever becomes of the process.
    """

    def __init__(self, spec: str, device: str, memory_limit: int | None) -> None:
        self._evidence, theirs = os.pipe()
        os.set_blocking(self._evidence, False)
        command = [*_WORKER, spec, device, str(theirs), str(memory_limit or 0)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs],
                env={name: value for name, value in os.environ.items() if not name.startswith(_TELLTALE)},
                start_new_session=True,  # so that what the candidate starts can be ended with it
            )
        finally:
            os.close(theirs)
        self._most_bytes = MOST_BYTES
        self._answers: queue.Queue[Any] = queue.Queue()
        self._words = bytearray()
        self._readers = [_in_background(self._pump), _in_background(self._listen)]

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def ask(
        self, request: dict[str, Any], arrays: dict[str, Array], seconds: float, numbers: int = 0
    ) -> tuple[dict[str, Any], Any]:
        """Ask one question and return the answer.

        Args:
            seconds: the time limit, as of `answer`.
            numbers: how many an honest answer has.
        """
        if not self._answers.empty() and self._answers.queue[0] is not None:
            raise ChildForges("one to no question")
        token = secrets.token_hex(8)
        self._read_all()
        self._words.clear()
        self._most_bytes = (1 << 16) + 16 * max(sum(array.size for array in arrays.values()), numbers)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a dead child is noticed by its missing answer
            send(self._process.stdin, {**request, "token": token}, arrays)  # type: ignore[arg-type]
        header, result = self.answer(seconds, "an answer")
        if header.pop("token", None) != token:
            raise ChildForges("one without the token of the question")
        return header, result

    def answer(self, seconds: float, what: str) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the next message.

        Args:
            seconds: the time limit, in seconds of the processor: a process that computes on a busy machine is given
                them in full. For a process that does nothing they are seconds of the clock.
        """
        answer = self._wait(seconds)
        if answer is _NOTHING:
            raise ChildSilent(f"expected {what} within {seconds:g} s, got none")
        if isinstance(answer, ValueError):
            raise ChildForges(str(answer))
        if answer is None:
            kind, end = self._end()
            raise kind(f"expected {what}, got the end of the process: {end}{self._last_words()}")
        header, arrays = answer
        return header, arrays

    def _wait(self, seconds: float) -> Any:
        """Return the next message, or `_NOTHING` after the time limit."""
        begun = time.monotonic()
        with contextlib.suppress(queue.Empty):
            return self._answers.get(timeout=min(LOOK, seconds))
        before = first = processor_seconds(self._process.pid)
        while True:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=min(LOOK, seconds))
            waited, now = time.monotonic() - begun, processor_seconds(self._process.pid)
            computes, before = now > before, now
            if waited >= seconds and (now - first >= seconds or not computes or waited >= MOST_OF_CLOCK * seconds):
                return _NOTHING

    @property
    def printed(self) -> str:
        """What the process has printed since the last question, up to a limit."""
        self._read_all()
        time.sleep(0.001)  # for the last part to be kept
        return bytes(self._words).decode(errors="replace").strip()

    def _read_all(self) -> None:
        """Wait until the other thread has read what the process has printed: that is complete once it has answered."""
        assert self._process.stderr is not None
        until, waiting = time.monotonic() + 0.1, array.array("i", [1])
        while waiting[0] and time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError):
                fcntl.ioctl(self._process.stderr, termios.FIONREAD, waiting)
                if not waiting[0]:
                    return
            time.sleep(0.0005)

    def evidence(self) -> list[str]:
        """Return what the process did, since the last look, that a kernel has no business with."""
        received = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._evidence, 1 << 16):
                received += part
        return [
            str(json.loads(line)) for line in received.splitlines() if line.startswith(b'"') and line.endswith(b'"')
        ]

    def end(self) -> None:
        """Kill it, and every process that it has started."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:  # which close what they read; a process that got away may hold the other end
            reader.join(timeout=1)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        os.close(self._evidence)

    def _end(self) -> tuple[type[ChildGone], str]:
        """Return how the process ended, as the error to raise."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return ChildGone, "it has closed the channel of answers"
        if code == -signal.SIGKILL:
            return ChildKilled, "killed (out of memory?)"
        return ChildGone, f"exit code {code}"

    def _last_words(self) -> str:
        self._readers[1].join(timeout=5)  # more only where a process that it has started holds the stream
        lines = bytes(self._words).decode(errors="replace").strip().splitlines()
        return ": " + " | ".join(line.strip()[:200] for line in lines[:2]) if lines else ""

    def _pump(self) -> None:
        """Read answers until the child is gone, which None stands for, or until one is not an answer."""
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            try:
                while True:
                    self._answers.put(receive(answers, lambda: self._most_bytes))  # type: ignore[arg-type]
            except (EOFError, OSError):
                self._answers.put(None)
            except Exception as error:  # what is not an answer
                self._answers.put(ValueError(f"{type(error).__name__}: {error}"))

    def _listen(self) -> None:
        """Keep what the process prints, and go on reading when that is enough, so that printing never blocks."""
        assert self._process.stderr is not None
        with self._process.stderr as words, contextlib.suppress(OSError, ValueError):
            while part := words.read1(1 << 16):  # type: ignore[attr-defined]
                self._words += part[: max(0, KEPT_WORDS - len(self._words))]


def _in_background(function: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def processor_seconds(session: int) -> float:
    """Return the processor seconds that the processes of a session have used; 0.0 where the system does not say."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:  # state, parent, group, session
                ticks += sum(map(int, fields[11:15]))  # of its own, and of processes that have ended
    return ticks / os.sysconf("SC_CLK_TCK")

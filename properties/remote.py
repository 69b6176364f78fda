"""A target in a process of its own: a crash, a hang or an abort is an answer, not the end."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import tempfile
import threading
from typing import Any

from trueband.properties.protocol import Array, receive, send
from trueband.properties.runner import CandidateError
from trueband.properties.target import TargetError

START_SECONDS = 120.0


class CandidateCrash(Exception):
    """The candidate's process died."""


class CandidateTimeout(Exception):
    """The candidate did not answer within the time limit; its process was killed."""


class RemoteRunner:
    """Runs a target in a child process, with the interface of `Runner`. A dead child is replaced at the next call.

    Attributes:
        time_limit: seconds for one call.
        starts: how often a child was started.
    """

    def __init__(self, spec: str, device: str = "cpu", time_limit: float = 60.0) -> None:
        self.spec, self.device, self.time_limit = spec, device, time_limit
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        hello = self._start()
        self.name: str = hello["name"]
        self.library: str = hello["library"]
        self.dtypes: tuple[str, ...] = tuple(hello["dtypes"])
        self.features = frozenset(hello["features"])
        self.accumulators: dict[str, str] = hello["accumulators"]
        self.least_window: int = hello["least_window"]
        if hello["may_have_gradients"] and self._finds_gradients():
            self.features |= {"backward"}
        self.versions: dict[str, str] = hello["versions"]

    def call(self, arrays: dict[str, Array], options: dict[str, Any], dtype: str, layout: str = "contiguous") -> Array:
        """See `Runner.call`. Also raises CandidateCrash and CandidateTimeout."""
        _, result = self._ask({"do": "call", "options": options, "dtype": dtype, "layout": layout}, arrays)
        return result["output"]

    def gradients(
        self, arrays: dict[str, Array], options: dict[str, Any], dtype: str, grad_output: Array, names: list[str]
    ) -> dict[str, Array]:
        """See `Runner.gradients`. Also raises CandidateCrash and CandidateTimeout."""
        request = {"do": "gradients", "options": options, "dtype": dtype, "names": names}
        return self._ask(request, {**arrays, "grad_output": grad_output})[1]

    def raises(self, arrays: dict[str, Any], options: dict[str, Any]) -> tuple[str, str]:
        """See `Runner.raises`. Also raises CandidateCrash and CandidateTimeout."""
        real = {name: array for name, array in arrays.items() if hasattr(array, "dtype")}
        plain = {name: array for name, array in arrays.items() if name not in real}
        header, _ = self._ask({"do": "raises", "options": options, "plain": plain}, real)
        kind, message = header["raised"]
        return kind, message

    def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()
        self._errors.close()

    def __enter__(self) -> RemoteRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> dict[str, Any]:
        self.starts += 1
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trueband.properties.worker", self.spec, self.device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._answers: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=_pump, args=(self._process.stdout, self._answers), daemon=True).start()
        try:
            hello, _ = self._wait(START_SECONDS, "a start")
        except (CandidateCrash, CandidateTimeout) as error:
            raise TargetError(f"target: expected {self.spec} to load, got: {error}") from error
        if "unusable" in hello:
            self.close()
            raise TargetError(hello["unusable"])
        return hello

    def _finds_gradients(self) -> bool:
        try:
            return bool(self._ask({"do": "find gradients"}, {})[0]["has_gradients"])
        except (CandidateCrash, CandidateTimeout):
            return False  # the checks will meet it again, and tell

    def _ask(self, request: dict[str, Any], arrays: dict[str, Array]) -> tuple[dict[str, Any], dict[str, Array]]:
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a dead child is told by the missing answer
            send(self._process.stdin, request, arrays)  # type: ignore[arg-type]
        header, result = self._wait(self.time_limit, "an answer")
        if "broken" in header:
            raise CandidateError(header["broken"])
        return header, result

    def _wait(self, seconds: float, what: str) -> tuple[dict[str, Any], dict[str, Array]]:
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.close()
            raise CandidateTimeout(f"expected {what} within {seconds:g} s, got none") from None
        except BaseException:  # an interrupt while waiting: the answer would be taken for that of the next call
            self.close()
            raise
        if answer is None:
            assert self._process is not None
            code, told = self._process.wait(), self._last_words()
            self.close()
            raise CandidateCrash(f"expected {what}, got the end of the process (exit code {code}){told}")
        header, arrays = answer
        return header, arrays

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return ": " + " | ".join(line.strip() for line in lines[:2]) if lines else ""


def _pump(stream: Any, answers: queue.Queue[Any]) -> None:
    """Read answers until the child is gone, which None stands for."""
    try:
        while True:
            answers.put(receive(stream))
    except Exception:  # the end of the stream, or something that is not an answer
        answers.put(None)

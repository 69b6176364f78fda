"""Runs a target in a process of its own, where a crash, a hang or an abort is a result like others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trueband.properties.candidate.child import Child, ChildForges, ChildGone, ChildKilled, ChildSilent
from trueband.properties.candidate.covered import Covered
from trueband.properties.candidate.errors import (
    CHEATING,
    CRASHED,
    ENDS,
    OUT_OF_MEMORY,
    TIMEOUT,
    CandidateEnded,
    Raised,
    cheating,
)
from trueband.properties.candidate.guard import resident
from trueband.properties.candidate.protocol import Array
from trueband.properties.candidate.runner import output_shape
from trueband.properties.candidate.survey import merged
from trueband.properties.candidate.target import TargetError
from trueband.properties.candidate.watch import is_own
from trueband.properties.cases.backward import ONCE, Backward, Gradients
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.shapes import Shape
from trueband.properties.results.machine import Machine

START_SECONDS = 120.0


@dataclass(frozen=True)
class PastCall:
    """A call that gave a result."""

    arrays: dict[str, Array]
    options: dict[str, Any]
    dtype: str
    layout: str
    of: tuple[str, ...]
    output: Array


@dataclass(frozen=True)
class PastGradients:
    """A call that gave gradients."""

    arrays: dict[str, Array]
    options: dict[str, Any]
    dtype: str
    grad_output: Array
    names: list[str]
    how: Backward
    gradients: Gradients


Past = PastCall | PastGradients


class RemoteRunner:
    """A target in a child process, with the interface of `Runner`. A dead child is replaced at the next call.

    The child computes before the reference does, and is given only arrays and options.

    Attributes:
        time_limit: seconds for one call.
        memory_limit: MiB that calls may take beyond what the loaded target has; None: no limit.
        starts: how often a child was started.
        machine: where the candidate's process computes, as it reports itself.
        on_call: called with every call that gave a result.
        undeclared, refusal: the limits that it has without declaring them, and the first error that shows them.
        covered: the calls that gave a result.
        slowest: seconds of the slowest request since it was last set to 0.
        gate: whether a gate asks: then what no honest kernel has a reason to do is a cheat.
    """

    gate = False

    def __init__(
        self, spec: str, device: str = "cpu", time_limit: float = 60.0, memory_limit: int | None = None
    ) -> None:
        self.spec, self.device, self.time_limit, self.memory_limit = spec, device, time_limit, memory_limit
        self.starts = 0
        self.covered, self.slowest = Covered(), 0.0
        self.on_call: Callable[[Past], None] = lambda _: None
        self._child: Child | None = None
        self._printed = ""
        try:
            self._introduce()
        except BaseException:
            self.close()
            raise

    def _introduce(self) -> None:
        """Ask the child what the target is and declares."""
        hello = self._start()
        self.name: str = hello["name"]
        self.library: str = hello["library"]
        self.dtypes: tuple[str, ...] = tuple(hello["dtypes"])
        self.features = frozenset(hello["features"])
        self.accumulators: dict[str, str] = hello["accumulators"]
        self.stored_scores: str | None = hello["stored_scores"]
        self.limits = Limits.from_dict(hello["limits"])
        self.shapes = tuple(map(Shape.from_dict, hello["shapes"]))
        self.ranks: tuple[int, ...] = tuple(hello["ranks"])
        self.undeclared, self.refusal = self._finds_limits()
        self.limits = merged(self.limits, self.undeclared)
        if not self.limits.of("window").takes(0):
            self.features -= {"any_window"}
        if hello["may_have_gradients"] and self._finds_gradients():
            self.features |= {"backward"}
        self.machine: Machine = hello["machine"]
        if "streams" in self.features and "capturable" not in self.features:
            self.covered.notes.append(self._tells_capture())

    def call(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        layout: str = "contiguous",
        of: tuple[str, ...] = (),
    ) -> Array:
        """See `Runner.call`. Also raises the exceptions above."""
        return self.results(arrays, options, dtype, layout, of)["output"]

    def results(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        layout: str = "contiguous",
        of: tuple[str, ...] = (),
    ) -> dict[str, Array]:
        """See `Runner.results`. Also raises the exceptions above."""
        request = {"do": "call", "options": options, "dtype": dtype, "layout": layout, "of": of}
        expected = {"output": output_shape(arrays)}
        if options.get("return_lse"):
            expected["lse"] = output_shape(arrays)[:3]
        _, result = self._ask(request, arrays, expected)
        self.covered.add(arrays, options)
        self.on_call(PastCall(arrays, options, dtype, layout, of, result["output"]))
        return result

    def gradients(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        grad_output: Array,
        names: list[str],
        how: Backward = ONCE,
        grad_lse: Array | None = None,
    ) -> Gradients:
        """See `Runner.gradients`. Also raises the exceptions above."""
        request = {"do": "gradients", "options": options, "dtype": dtype, "names": names, "how": how.to_dict()}
        expected = {name: arrays[name].shape for name in names}
        if "autograd" in self.features:
            expected["output"] = output_shape(arrays)
        upstream = (
            {"grad_output": grad_output} if grad_lse is None else {"grad_output": grad_output, "grad_lse": grad_lse}
        )
        _, result = self._ask(request, {**arrays, **upstream}, expected)
        output = result.pop("output", None)
        gradients = Gradients(result, output)
        self.covered.add(arrays, options, with_gradients=True)
        if grad_lse is None:
            self.on_call(PastGradients(arrays, options, dtype, grad_output, names, how, gradients))
        return gradients

    def raises(self, arrays: dict[str, Any], options: dict[str, Any]) -> tuple[str, str]:
        """See `Runner.raises`. Also raises the exceptions above."""
        real = {name: array for name, array in arrays.items() if hasattr(array, "dtype")}
        plain = {name: array for name, array in arrays.items() if name not in real}
        header, _ = self._ask({"do": "raises", "options": options, "plain": plain}, real, {})
        kind, message = header["raised"]
        return kind, message

    @property
    def printed(self) -> str:
        """The beginning of what the child has printed since the last question."""
        return self._printed if self._child is None else self._child.printed

    def memory(self, begin: bool = False) -> float:
        """Return the memory of the child in mebibytes, see `resident`; 0 without a child."""
        return 0.0 if self._child is None else resident(self._child.pid, begin)

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.end()
            self._printed = child.printed

    def __enter__(self) -> RemoteRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> dict[str, Any]:
        self.starts += 1
        self._child = Child(self.spec, self.device, self.memory_limit)
        try:
            hello, _ = self._judged(lambda child: child.answer(START_SECONDS, "a start"))
        except CandidateEnded as error:
            if error.status == CHEATING:
                raise
            raise TargetError(f"target: expected {self.spec} to load, got: {error}") from error
        if "unusable" in hello:
            self.close()
            raise TargetError(hello["unusable"])
        return hello

    def _finds_gradients(self) -> bool:
        try:
            return bool(self._ask({"do": "find gradients"}, {}, {})[0]["has_gradients"])
        except CandidateEnded as error:
            if error.status == CHEATING:
                raise
            return False  # the checks will meet it again and report it

    def _tells_capture(self) -> str:
        """Say whether a CUDA graph can record the target, which has not declared that."""
        try:
            why_not = str(self._ask({"do": "find capture"}, {}, {})[0]["why_not"])
        except CandidateEnded as error:
            if error.status == CHEATING:
                raise
            why_not = str(error)
        if not why_not:
            return "a CUDA graph can record it, which is not checked: declare capturable to have that checked"
        self.close()  # a recording that has failed may leave more behind than its error
        return f"a CUDA graph cannot record it: {why_not}"

    def _finds_limits(self) -> tuple[Limits, str]:
        if is_own(self.spec):
            return Limits(), ""
        try:
            header, _ = self._ask({"do": "find limits"}, {}, {})
            return Limits.from_dict(header["limits"]), str(header["refusal"])
        except CandidateEnded as error:
            if error.status == CHEATING:
                raise
            return Limits(), ""  # the checks will meet it again and report it

    def _ask(
        self, request: dict[str, Any], arrays: dict[str, Array], expected: dict[str, tuple[int, ...]]
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        if self._child is None:
            self._start()
        start = time.monotonic()
        try:
            numbers = sum(math.prod(shape) for shape in expected.values())
            header, result = self._judged(lambda child: child.ask(request, arrays, self.time_limit, numbers))
        finally:
            self.slowest = max(self.slowest, time.monotonic() - start)
        if "ended" in header:
            message, status = str(header["ended"]), str(header["status"])
            if status not in ENDS:
                raise cheating(f"expected a call to end as one of {', '.join(ENDS)}, got {status!r}: it was forged")
            if status == CRASHED:
                self.close()  # its device answers no more; the next call is made in a new process
            message = self._within_limit(message) if status == OUT_OF_MEMORY else message
            ended = Raised if header["raised"] else CandidateEnded
            raise ended(message, status, str(header.get("traceback", "")))
        got = {name: array.shape for name, array in result.items() if array.dtype == "float64"}
        if got != expected:
            self.close()
            raise cheating(f"expected an answer with the arrays {expected}, got {got}: it was forged")
        return header, result

    def _within_limit(self, message: str) -> str:
        """Add the memory limit to a message about a lack of memory."""
        if not self.memory_limit:
            return message
        return f"{message}; calls may take {self.memory_limit:,} MiB beyond what the loaded target has"

    def _judged(self, converse: Any) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what the child answers; raise if it is gone, silent, or caught cheating."""
        child = self._child
        assert child is not None
        try:
            header, result = converse(child)
            failed: Exception | None = None
        except (ChildGone, ChildSilent, ChildForges) as error:
            failed = error
        except BaseException:  # an interrupt while waiting: the answer would be taken for that of the next call
            self.close()
            raise
        seen = child.evidence()
        if failed is not None or seen:
            self.close()
        if seen:
            raise cheating(f"expected a kernel that computes by itself, but {seen[0]}")
        if isinstance(failed, ChildForges):
            raise cheating(f"expected nothing but answers from the candidate's process, got another message: {failed}")
        if isinstance(failed, ChildSilent):
            raise CandidateEnded(str(failed), TIMEOUT, by_system=True) from failed
        if isinstance(failed, ChildKilled):
            raise CandidateEnded(self._within_limit(str(failed)), OUT_OF_MEMORY, by_system=True) from failed
        if failed is not None:
            raise CandidateEnded(str(failed), CRASHED) from failed
        return header, result

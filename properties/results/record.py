"""A record is the outcome of one check of one target in one dtype. It is one JSON line."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NO_ANSWER = ("crashed", "timeout", "out of memory")  # statuses of checks that the kernel did not survive to answer


@dataclass(frozen=True)
class Record:
    """The outcome of one check.

    Attributes:
        suite: "operator", or "golden" for checks on published weights.
        check, claim: the name of the check, and its claim in one line.
        target: what was checked, as an import string or a name.
        dtype, device: those of the inputs.
        status: "passed", "failed" (a wrong result, or an error on valid input), "crashed" (the process died),
            "timeout", "out of memory", "cheating" (it did what no honest kernel has a reason to do), "expected" (a
            failure that was expected), "not asked" (no case of it lies within what the target declares to take, or all
            took too much).
        cases: how many cases were tried, those of shrinking included.
        seconds: how long it took.
        worst: the largest error/bound of the verdicts that passed.
        seed: the seed of the search; None while it is secret.
        case: the smallest case that failed.
        message: what is wrong there, in one line.
        verdict: the failed comparison; None for other failures.
        reason: why a failure was expected; "" where none was.
        worst_case: the case of `worst`; None where nothing had an error.
        histogram: how many cases fell into each bin of `results.histogram`; empty where that is not counted.
        skipped: comparisons that were left out, because two correct implementations may differ there (near-ties of
            decoding). A check of which all were left out has failed.
        called: what the kernel was called with in `case`, where that differs from the case: one object for each call of
            the failed comparison; see `trueband.properties.candidate.called`.
        traceback: the traceback of the error that the kernel raised there; "" where it raised none.
        printed: what the kernel printed in the last call there.
    """

    suite: str
    check: str
    claim: str
    target: str
    dtype: str
    device: str
    status: str
    cases: int
    seconds: float
    worst: float = 0.0
    seed: int | None = 0
    case: dict[str, Any] | None = None
    message: str = ""
    verdict: dict[str, Any] | None = None
    reason: str = ""
    worst_case: dict[str, Any] | None = None
    histogram: tuple[int, ...] = ()
    skipped: int = 0
    called: tuple[dict[str, Any], ...] = ()
    traceback: str = ""
    printed: str = ""

    @property
    def passed(self) -> bool:
        """Whether all is as it should be: it passed, or failed as expected."""
        return self.status in ("passed", "expected", "not asked")

    @property
    def raised_at(self) -> str:
        """The place and the type of the error that the kernel raised; "" where it raised none."""
        lines = self.traceback.strip().splitlines()
        places = [line.strip() for line in lines if line.startswith("  File ")]
        return f"{places[-1] if places else ''}: {lines[-1].partition(':')[0]}" if lines else ""

    @property
    def reproduce(self) -> str:
        """A shell line that runs the check on the smallest failing case again; "" where there is none."""
        return "" if self.case is None else self.reproduce_case(self.case)

    def reproduce_case(self, case: dict[str, Any]) -> str:
        """A shell line that runs the check on a case."""
        line = json.dumps({"check": self.check, "case": case}, separators=(",", ":"))
        device = "" if self.device == "cpu" else f" --device {self.device}"
        return f"trueband repro {shlex.quote(line)} {shlex.quote(self.target)}{device}"

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "reproduce": self.reproduce}

    def to_json(self) -> str:
        """Return the record as one JSON line."""
        return to_line(self.to_dict())


def without_answer(records: Iterable[Record]) -> str:
    """Count the failures that say nothing about numbers: ", 1 of them without an answer (1 out of memory)"; or ""."""
    counts = Counter(record.status for record in records if record.status in NO_ANSWER)
    listed = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f", {sum(counts.values())} of them without an answer ({listed})" if counts else ""


def to_line(values: Mapping[str, Any]) -> str:
    """Return one line of JSON; numbers that JSON does not know (inf, nan) become strings."""
    return json.dumps(_plain(values), separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value

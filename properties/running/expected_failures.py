"""Expected failures: checks that a target is known to fail, each with the reason. They still run.

A file is JSON or TOML: {check: reason} or {check: {"reason": ..., "case": {...}}}. "check[float16, float64]" speaks of
those dtypes alone; for checks of models "check[led, longformer float64]" of LED, and of Longformer in float64. A case
is a known failing input: it is tried when the search of a run finds none, so that a check is not said to pass because
a run was short. "always": false beside a reason, instead of a case, is for a failure by the last bits alone, which a
machine shows and another does not: where the check passes, it has passed.
"""

from __future__ import annotations

import difflib
import itertools
import json
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from trueband.properties.bounds.precision import DTYPES
from trueband.properties.results.record import Record


@dataclass(frozen=True)
class Expectation:
    """One expected failure.

    Attributes:
        check: its name.
        meant: dtypes it speaks of, each by its words, such as {"led", "float64"}; empty: all.
        reason: why it fails, one line.
        case: a failing case, without the dtype; None: none is known.
        always: fails on every machine; if not, one that passes is no failure.
    """

    check: str
    meant: tuple[frozenset[str], ...]
    reason: str
    case: Mapping[str, Any] | None = None
    always: bool = True

    def speaks_of(self, check: str, dtype: str) -> bool:
        words = set(dtype.split())
        return self.check == check and (not self.meant or any(each <= words for each in self.meant))

    def line(self, dtype: str) -> dict[str, Any] | None:
        """{"check": ..., "case": {...}} of the known case, in the dtype of a record."""
        if self.case is None:
            return None
        return {"check": self.check, "case": {**self.case, "dtype": dtype.split()[-1]}}

    def overlaps(self, other: Expectation) -> bool:
        """Whether a record can be meant by both."""
        pairs = itertools.product(self.meant or [frozenset()], other.meant or [frozenset()])
        return self.check == other.check and any(_agree(one, two) for one, two in pairs)


class ExpectedFailures:
    """What a target is known to fail.

    Attributes:
        expectations: in the order of the file.
        values: what they were made of.
        source: where they come from, for errors.
    """

    def __init__(self, values: Mapping[str, Any], source: str = "expected failures") -> None:
        """From {check: reason}; see the module. ValueError for what has another form."""
        self.source = source
        if not isinstance(values, Mapping):
            raise ValueError(f"{source}: expected {{check: reason}}, got {type(values).__name__}")
        self.values = dict(values)
        self.expectations = [self._expectation(key, value) for key, value in values.items()]
        for i, one in enumerate(self.expectations):
            for other in self.expectations[:i]:
                if one.overlaps(other):
                    raise ValueError(f"{source}: expected one reason for each check and dtype, got two for {one.check}")

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Of a .json or .toml file. OSError or ValueError, naming the file."""
        text = path.read_text(encoding="utf-8")
        try:
            return cls(tomllib.loads(text) if path.suffix == ".toml" else json.loads(text), str(path))
        except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
            kind = "TOML" if path.suffix == ".toml" else "JSON"
            raise ValueError(f"{path}: expected {kind}, got something else: {error}") from error

    def check_names(self, known: Collection[str]) -> None:
        """ValueError for a name that is no check of the run's suites, or none that applies to the target."""
        for expectation in self.expectations:
            if expectation.check not in known:
                near = difflib.get_close_matches(expectation.check, known, 1)
                hint = f" (is {near[0]} meant?)" if near else ""
                raise ValueError(
                    f"{self.source}: expected names of checks that apply to the target, got {expectation.check!r}{hint}"
                )

    def apply(self, records: Iterable[Record], again: Callable[[dict[str, Any]], Record]) -> Iterator[Record]:
        """The records, with expected failures told from others, and expected failures that pass as failures.

        Args:
            again: runs {"check": ..., "case": ...} and gives its record.
        """
        for record in records:
            found = self.of(record.check, record.dtype)
            yield record if found is None else _judged(_tried(record, found, again), found)

    def settle(self, records: Iterable[Record], complete: bool) -> Iterator[Record]:
        """As `apply`, for runs that try known cases themselves. Until they are complete, what passes may yet fail."""
        for record in records:
            found = self.of(record.check, record.dtype)
            yield record if found is None or (record.passed and not complete) else _judged(record, found)

    def of(self, check: str, dtype: str) -> Expectation | None:
        """What is expected of a check in a dtype."""
        return next((each for each in self.expectations if each.speaks_of(check, dtype)), None)

    def _expectation(self, key: str, value: Any) -> Expectation:
        name, bracket, words = key.partition("[")
        if bracket and not words.endswith("]"):
            raise ValueError(f"{self.source}: expected check or check[dtype, ...], got {key!r}")
        case, always = None, True
        if isinstance(value, Mapping):
            if not set(value) <= {"reason", "case", "always"} or {"case", "always"} <= set(value):
                raise ValueError(
                    f"{self.source}: expected reason and case, or always, for {key}, got {', '.join(value)}"
                )
            value, case, always = value.get("reason"), value.get("case"), value.get("always", True)
        if not isinstance(always, bool):
            raise ValueError(f"{self.source}: expected always of {key} to be true or false, got {always!r}")
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{self.source}: expected a reason for {key}, got {value!r}")
        if case is not None and not isinstance(case, Mapping):
            raise ValueError(f"{self.source}: expected a case of {key} to be an object, got {case!r}")
        meant = tuple(frozenset(each.split()) for each in words.removesuffix("]").split(",") if each.strip())
        return Expectation(name.strip(), meant, value, case, always)


def _agree(one: frozenset[str], two: frozenset[str]) -> bool:
    """Whether the words name no two dtypes and no two architectures."""
    words = one | two
    return len(words & set(DTYPES)) <= 1 and len(words - set(DTYPES)) <= 1


def _tried(record: Record, expectation: Expectation, again: Callable[[dict[str, Any]], Record]) -> Record:
    """The record, after the known case where no other failed."""
    line = expectation.line(record.dtype)
    if not record.passed or line is None:
        return record
    known = again(line)
    return replace(
        known,
        cases=record.cases + 1,
        seconds=record.seconds + known.seconds,
        seed=record.seed,
        worst=max(record.worst, known.worst),
        target=record.target,
    )


def _judged(record: Record, expectation: Expectation) -> Record:
    if record.passed and not expectation.always:
        return record
    if record.passed:
        told = f"expected to fail ({expectation.reason}), passes now: take it off the expected failures"
        return replace(record, status="failed", message=told, reason=expectation.reason)
    return replace(record, status="expected", reason=expectation.reason)

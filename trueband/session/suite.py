"""The parts of a run: something to check, its steps, and their records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from trueband.properties.results.record import Record
from trueband.properties.running.expected_failures import ExpectedFailures

OnCase = Callable[[str, str], None]


class Step(Protocol):
    """One check, as a suite has it; it gives one record."""

    @property
    def check(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def words(self) -> tuple[str, ...]: ...


class Suite(Protocol):
    """A kernel, models, or published weights.

    Attributes:
        name: the name of the target, in the records.
        check_names: names that expected failures may have.
        steps: what is run, in order.
    """

    @property
    def name(self) -> str: ...

    @property
    def check_names(self) -> Collection[str]: ...

    @property
    def steps(self) -> Sequence[Any]: ...

    def head(self) -> Mapping[str, Any]:
        """The suite's part of the first line of results; may be empty."""
        ...

    def check_known(self, expected: ExpectedFailures) -> None:
        """Raise ValueError for a known failing case that is none."""
        ...

    def run(self, step: Any, on_case: OnCase) -> Record:
        """Run one step. `on_case` is called after every case."""
        ...

    def rerun(self, line: Mapping[str, Any]) -> Record:
        """Run one check on one case again, `{"check": ..., "case": {...}}`."""
        ...

    def unrun(self, records: Sequence[Record]) -> Iterator[Record]:
        """A failure for everything that should have run and has not."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...

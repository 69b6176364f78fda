"""A kernel that was seen to cheat before any check was asked: one record is all that it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.results.record import Record
from trueband.properties.running.expected_failures import ExpectedFailures
from trueband.properties.running.plan import Step
from trueband.session.import_string import import_string
from trueband.session.request import Request
from trueband.session.suite import OnCase

CLAIM = "a target is loaded without the package's own answers"


class CaughtSuite:
    """A suite that takes the place of a kernel's; see `Suite`."""

    def __init__(self, request: Request, error: CandidateEnded) -> None:
        self.name, self.check_names = import_string(request.target), ()
        self.steps = [Step("loading", "any", 1)]
        self._record = ended_record(request, error)

    def head(self) -> Mapping[str, Any]:
        return {}

    def check_known(self, expected: ExpectedFailures) -> None:
        """Do nothing: there are no known cases."""

    def run(self, step: Step, on_case: OnCase) -> Record:
        return self._record

    def rerun(self, line: Mapping[str, Any]) -> Record:
        return self._record

    def unrun(self, records: Sequence[Record]) -> Iterator[Record]:
        return iter(())

    def close(self) -> None:
        """Do nothing: nothing is open."""


def ended_record(request: Request, error: CandidateEnded) -> Record:
    """The record of a kernel that ends while no check is running, such as by a cheat."""
    return Record(
        suite="operator",
        check="loading",
        claim=CLAIM,
        target=import_string(request.target),
        dtype="any",
        device=request.device,
        status=error.status,
        cases=0,
        seconds=0.0,
        message=str(error),
    )

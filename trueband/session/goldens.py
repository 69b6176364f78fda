"""Published trained weights: recorded outputs, by the reference and by the optimized implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trueband.properties.results.record import Record
from trueband.properties.running.expected_failures import ExpectedFailures
from trueband.properties.running.plan import Step
from trueband.session.golden_choice import choose, golden_names, load_weights, record_of_golden, run_item
from trueband.session.request import Request
from trueband.session.suite import OnCase
from trueband.witnesses.families import FAMILIES, context_of


class GoldenSuite:
    """The goldens that run here; see `Suite`."""

    def __init__(self, request: Request, seed: int) -> None:
        """Fetch the weights that they need.

        Raises:
            GoldenDataError: they cannot be had, and what to do about it.
        """
        self.name, self.check_names = "golden", golden_names(None)
        names = golden_names(request.select)
        self._items = dict(zip(names, choose(names).items, strict=True)) if names else {}
        self.steps = [Step(name, family, 1) for name in names for family in FAMILIES]
        load_weights(self._items.values())

    def head(self) -> Mapping[str, Any]:
        return {}

    def check_known(self, expected: ExpectedFailures) -> None:
        """A golden is a case by itself."""

    def run(self, step: Step, on_case: OnCase) -> Record:
        return record_of_golden(run_item(self._items[step.check], context_of(step.dtype)))

    def rerun(self, line: Mapping[str, Any]) -> Record:
        raise ValueError(f"check: expected a check of kernels or models, got the golden {line['check']}")

    def unrun(self, records: Sequence[Record]) -> Iterator[Record]:
        return iter(())

    def close(self) -> None:
        """Do nothing: nothing is open."""

"""A kernel under test, opened: its process, the steps of its plan, and what it is expected to fail.

`trueband.check` and pytest stand on it, and on `trueband.opened_models`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from trueband.adapters import resolve
from trueband.asked import Asked
from trueband.expectations import expected_failures as expectations
from trueband.expectations import known_cases, known_names
from trueband.import_string import import_string, same_search_path
from trueband.properties.engine import reproduce, run, run_step
from trueband.properties.manifest import unrun
from trueband.properties.plan import Plan, Step, make_plan, steps
from trueband.properties.production.shapes import shapes_of
from trueband.properties.record import Record
from trueband.properties.remote import RemoteRunner
from trueband.properties.target import Target


class OpenTarget:
    """A target in a process of its own, and the checks that apply to it.

    Attributes:
        name: in the records.
        plan, steps: what there is to run, from the one generator of `trueband.properties.engine`.
        candidate: the target, for more calls.
    """

    def __init__(self, target: str | Target | Any, asked: Asked) -> None:
        """Start it.

        Raises:
            ValueError: of a wrong argument, a target that cannot be loaded (`TargetError`), nothing selected.
            CandidateCheating: the target cheats while it is loaded.
        """
        named = resolve(import_string(target))
        expected = expectations(asked.expected_failures, named)
        self._stack = ExitStack()
        with ExitStack() as stack:
            stack.enter_context(same_search_path())
            self.candidate = stack.enter_context(RemoteRunner(named.spec, asked.device, asked.time_limit))
            self.plan: Plan = make_plan(
                named.name, self.candidate, asked.tier, asked.cases, asked.dtype_names, asked.select, asked.device,
                asked.seed, asked.gate, shapes_of(asked.shapes),
            )  # fmt: skip
            self.name, self.steps = named.name, steps(self.plan)
            if not self.steps:
                raise ValueError(f"select: expected a part of a check's name, got {asked.select!r}")
            expected.check_names(known_names("operator", self.candidate))
            known_cases(expected, self.steps, self.candidate.features)
            self._stack = stack.pop_all()
        self._expected = expected

    def run(self, step: Step) -> Record:
        """One check in one dtype."""
        record = run_step(self.plan, step, self.candidate)
        return next(iter(self._expected.apply([record], self._again)))

    def run_all(self) -> Iterator[Record]:
        """All of them, and what only a gate has."""
        records = []
        for record in self._expected.apply(run(self.plan, self.candidate), self._again):
            records.append(record)
            yield record
        yield from unrun(self.plan, records)

    def close(self) -> None:
        """End the process."""
        self._stack.close()

    def __enter__(self) -> OpenTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _again(self, line: dict[str, Any]) -> Record:
        return reproduce(line, self.plan.target, self.candidate, self.plan.device)

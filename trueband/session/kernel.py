"""A kernel under test, in a process of its own, and the checks that apply to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trueband.adapters import resolve
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.cases.case import Case
from trueband.properties.cases.shapes import Shape, read_shapes, shapes_of
from trueband.properties.results.record import Record
from trueband.properties.running.campaign import Block, Shard, run_campaign
from trueband.properties.running.engine import remember, reproduce, run_step
from trueband.properties.running.expected_failures import ExpectedFailures
from trueband.properties.running.manifest import unrun
from trueband.properties.running.plan import Plan, Step, make_plan, select, steps
from trueband.reports.json_lines import run_head
from trueband.session.expectations import known_cases
from trueband.session.import_string import import_string, same_search_path
from trueband.session.request import Request
from trueband.session.suite import OnCase


class KernelSuite:
    """A kernel, opened; see `Suite`.

    Attributes:
        plan: what is run.
        candidate: the kernel, for more calls.
    """

    def __init__(self, request: Request, seed: int) -> None:
        """Start its process.

        Raises:
            ValueError: an argument is wrong, or the target cannot be loaded (`TargetError`).
            CandidateEnded: the target cheats while it is loaded.
        """
        named, shapes = resolve(import_string(request.target)), demanded_shapes(request)
        self.name = named.name
        with same_search_path():
            self.candidate = RemoteRunner(named.spec, request.device, request.time_limit, request.memory_limit)
        try:
            self.plan: Plan = make_plan(
                self.name,
                self.candidate,
                request.tier,
                request.cases,
                request.dtype_names,
                request.select,
                request.device,
                seed,
                request.gate,
                shapes,
            )
        except BaseException:
            self.close()
            raise
        self.steps = steps(self.plan)
        self.check_names = select(None, self.candidate.features)
        self._past = remember(self.plan, self.candidate)

    def head(self) -> Mapping[str, Any]:
        return run_head(self.candidate, self.plan)

    def check_known(self, expected: ExpectedFailures) -> None:
        known_cases(expected, self.steps, self.candidate.features)

    def run(self, step: Step, on_case: OnCase) -> Record:
        return run_step(self.plan, step, self.candidate, on_case, self._past)

    def blocks(
        self, shard: Shard, done: Collection[Block], on_case: OnCase, known: Mapping[tuple[str, str], Case]
    ) -> Iterator[Block]:
        """The blocks of a campaign that are left; see `run_campaign`."""
        return run_campaign(self.plan, self.candidate, shard, done, on_case, known)

    def rerun(self, line: Mapping[str, Any]) -> Record:
        return reproduce(dict(line), self.name, self.candidate, self.plan.device)

    def unrun(self, records: Sequence[Record]) -> Iterator[Record]:
        return iter(unrun(self.plan, records))

    def close(self) -> None:
        self.candidate.close()


def demanded_shapes(request: Request) -> list[Shape]:
    """The shapes that a request names. OSError or ValueError for a file or a list of anything else."""
    if isinstance(request.shapes, (str, Path)):
        return read_shapes(Path(request.shapes))
    return shapes_of(request.shapes)

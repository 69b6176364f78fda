"""One run of the checks: the suites that a request asks for, opened, and the records that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self

from trueband.adapters import Named, resolve
from trueband.properties.bounds.precision import DTYPES
from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.models.target import ModelTarget
from trueband.properties.results.record import Record
from trueband.properties.running.plan import check_pattern
from trueband.session.caught import CaughtSuite, ended_record
from trueband.session.expectations import expected_failures
from trueband.session.goldens import GoldenSuite
from trueband.session.import_string import import_string
from trueband.session.kernel import KernelSuite
from trueband.session.models import ModelSuite
from trueband.session.request import SUITES, Request
from trueband.session.request_error import RequestError
from trueband.session.suite import OnCase, Step, Suite
from trueband.witnesses.torch_models import TorchModels

OPENED: dict[str, Any] = {"operator": KernelSuite, "models": ModelSuite, "golden": GoldenSuite}


class Run:
    """The opened suites of a request. Close it, or use it in a `with` statement.

    Attributes:
        request: what was asked for.
        seed: the seed of the search; the secret of a gate until the end.
        suites: in order.
        steps: what there is to run, each with its suite.
    """

    def __init__(self, request: Request, seed: int | None = None) -> None:
        """Open them.

        Args:
            seed: one that was drawn for the request already; None: it is drawn here.

        Raises:
            ValueError: an argument of the request is wrong, something cannot be loaded, nothing matches, or an
                expected failure names a check that no suite has.
        """
        check_words(request)
        self.request, self.seed = request, request.draw_seed() if seed is None else seed
        self._expected = expected_failures(request.expected_failures, named(request))
        with ExitStack() as stack:
            self.suites = [self._opened(name, stack) for name in SUITES if name in request.suites]
            self.steps: list[tuple[Suite, Step]] = [(suite, step) for suite in self.suites for step in suite.steps]
            if not self.steps:
                raise RequestError("{select}: expected a part of a check's name, got {value!r}", value=request.select)
            if not self.cheating:
                self._expected.check_names({name for suite in self.suites for name in suite.check_names})
                for suite in self.suites:
                    suite.check_known(self._expected)
            self._stack = stack.pop_all()

    def _opened(self, name: str, stack: ExitStack) -> Suite:
        try:
            suite: Suite = OPENED[name](self.request, self.seed)
        except CandidateEnded as error:  # it cheats: what else it does while it is loaded is a TargetError
            suite = CaughtSuite(self.request, error)
        stack.callback(suite.close)
        return suite

    @property
    def name(self) -> str:
        """The name of the target in records."""
        return self.suites[0].name

    @property
    def candidate(self) -> RemoteRunner | None:
        """The kernel, for more calls; None where there is none."""
        kernels: list[Any] = [suite for suite in self.suites if isinstance(suite, KernelSuite)]
        return kernels[0].candidate if kernels else None

    @property
    def models(self) -> TorchModels | None:
        """The models under test; None where there are none."""
        suites: list[Any] = [suite for suite in self.suites if isinstance(suite, ModelSuite)]
        return suites[0].candidate if suites else None

    @property
    def cheating(self) -> bool:
        """Whether a kernel was seen to cheat while it was being loaded."""
        return any(isinstance(suite, CaughtSuite) for suite in self.suites)

    def head(self) -> Mapping[str, Any]:
        """The kernel's part of the first line of results; empty where none runs."""
        return next((head for suite in self.suites if (head := suite.head())), {})

    def run(self, suite: Suite, step: Step, on_case: OnCase = lambda *_: None) -> Record:
        """The record of one step, an expected failure marked."""
        return next(self._expected.apply([suite.run(step, on_case)], self.rerun))

    def rerun(self, line: Mapping[str, Any]) -> Record:
        """Run one check on one case again, `{"check": ..., "case": {...}}`, by the suite that has it.

        Raises:
            ValueError: no check of the run, or no such case.
        """
        suites = [suite for suite in self.suites if line.get("check") in suite.check_names]
        return (suites or self.suites)[0].rerun(line)

    def records(
        self, on_case: OnCase = lambda *_: None, through: Callable[[Iterator[Record]], Iterator[Record]] = iter
    ) -> Iterator[Record]:
        """Every record, those of what has not run included. A kernel that is caught cheating ends the run.

        Args:
            on_case: called with a check and a dtype after every case.
            through: what the records pass before a cheat is looked for, as `Interrupt.through`.
        """
        try:
            yield from through(self._records(on_case))
        except CandidateEnded as error:
            yield ended_record(self.request, error)

    def _records(self, on_case: OnCase) -> Iterator[Record]:
        for suite in self.suites:
            records = []
            for step in suite.steps:
                records.append(self.run(suite, step, on_case))
                yield records[-1]
            yield from suite.unrun(records)

    def close(self) -> None:
        """End the processes of the targets."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_words(request: Request) -> None:
    """RequestError for a dtype that there is not, or a pattern that is none."""
    for name in request.dtype_names:
        if name not in DTYPES:
            raise RequestError("{dtypes}: expected some of {all}, got {value!r}", all=", ".join(DTYPES), value=name)
    if request.select is not None:
        try:
            check_pattern(request.select)
        except ValueError as error:
            raise RequestError("{select}: {problem}", problem=error) from error


def named(request: Request) -> Named:
    """The subject of the request, for the expected failures of a shipped target."""
    if request.suites == ("models",):
        return resolve(import_string(request.models, ModelTarget), "models")
    return resolve(import_string(request.target))

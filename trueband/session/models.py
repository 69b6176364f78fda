"""Models under test, in this process, and the checks that apply to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from trueband.adapters import resolve
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.target import ModelTarget
from trueband.properties.results.record import Record
from trueband.properties.running.expected_failures import ExpectedFailures
from trueband.properties.running.models import ModelStep, model_steps, run_model_step
from trueband.session.expectations import known_model_cases
from trueband.session.import_string import import_string
from trueband.session.model_checks import model_candidate, model_names, reproduce_model
from trueband.session.request import Request
from trueband.session.request_error import RequestError
from trueband.session.suite import OnCase


class ModelSuite:
    """Models, opened; see `Suite`.

    Attributes:
        candidate: the models, for what they were asked and what they claim.
    """

    def __init__(self, request: Request, seed: int) -> None:
        """Load the factory.

        Raises:
            ValueError: an argument is wrong, or the factory cannot be loaded (`TargetError`).
        """
        target = request.models
        self.name = import_string(target, ModelTarget)
        self._target = target if isinstance(target, ModelTarget) else resolve(target, "models").spec
        self.candidate, self._seed = model_candidate(self._target), seed
        self.check_names: Sequence[str] = tuple(MODEL_CHECKS)
        names = model_names(request.select, self.candidate.features)
        self.steps: list[ModelStep] = model_steps(
            names, self.candidate, request.tier, request.cases, request.dtype_names
        )
        if names and not self.steps and request.suites == ("models",):
            target = ", ".join(request.dtype_names)
            raise RequestError("{dtypes}: expected one that a check of models is for, got {value}", value=target)

    def head(self) -> Mapping[str, Any]:
        return {}

    def check_known(self, expected: ExpectedFailures) -> None:
        known_model_cases(expected, self.steps)

    def run(self, step: ModelStep, on_case: OnCase) -> Record:
        return run_model_step(self.name, self.candidate, step, self._seed, partial(on_case, "models", ""))

    def rerun(self, line: Mapping[str, Any]) -> Record:
        return reproduce_model(line, self._target)

    def unrun(self, records: Sequence[Record]) -> Iterator[Record]:
        return iter(())

    def close(self) -> None:
        """Do nothing: nothing is open."""

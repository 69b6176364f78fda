"""Models under test, and the checks that apply to them: what `OpenTarget` is for kernels. They run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trueband.adapters import resolve
from trueband.asked import Asked
from trueband.expectations import expected_failures as expectations
from trueband.expectations import known_model_cases
from trueband.import_string import import_string
from trueband.model_run import model_candidate, model_names, reproduce_model
from trueband.opened import OpenTarget
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.engine import ModelStep, model_steps, run_model_step
from trueband.properties.models.target import ModelTarget
from trueband.properties.record import Record


class OpenModels:
    """Models, and the checks that apply to them.

    Attributes:
        name: import string, for the records.
        steps: what there is to run.
    """

    def __init__(self, target: Any, asked: Asked) -> None:
        """Of a `ModelTarget`, or the import string of a factory.

        Raises:
            ValueError: of a wrong argument, a factory that cannot be loaded (`TargetError`), nothing selected.
        """
        if asked.device != "cpu":
            raise ValueError(f"device: expected cpu for models, got {asked.device!r}")
        named = resolve(import_string(target, ModelTarget), "models")
        self._expected = expectations(asked.expected_failures, named)
        self._target = named.spec if isinstance(target, str) else target
        self._candidate = model_candidate(self._target)
        self.name, self._seed = named.name, asked.seed
        names = model_names(asked.select, self._candidate.features)
        self.steps: list[ModelStep] = model_steps(names, self._candidate, asked.tier, asked.cases, asked.dtype_names)
        if names and not self.steps:
            told = ", ".join(asked.dtype_names)
            raise ValueError(f"dtypes: expected one that a check of models is for, got {told}")
        if not self.steps:
            raise ValueError(f"select: expected a part of a check's name, got {asked.select!r}")
        self._expected.check_names(MODEL_CHECKS)
        known_model_cases(self._expected, self.steps)

    def run(self, step: ModelStep) -> Record:
        """One check of one architecture in one dtype."""
        record = run_model_step(self.name, self._candidate, step, self._seed)
        return next(iter(self._expected.apply([record], self._again)))

    def run_all(self) -> Iterator[Record]:
        """All of them."""
        return map(self.run, self.steps)

    def close(self) -> None:
        """There is nothing to end."""

    def __enter__(self) -> OpenModels:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _again(self, line: dict[str, Any]) -> Record:
        return reproduce_model(line, self._target)


def opened_class(target: object) -> type[OpenModels] | type[OpenTarget]:
    """What opens a target of this kind."""
    return OpenModels if isinstance(target, ModelTarget) else OpenTarget

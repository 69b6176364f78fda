"""The failures that a run expects: those of a file that the user gives, or those of a shipped target."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from trueband.adapters import Named
from trueband.properties.cases.case import Case
from trueband.properties.models.case import ModelCase
from trueband.properties.running.engine import check_and_case
from trueband.properties.running.expected_failures import ExpectedFailures
from trueband.properties.running.models import ModelStep
from trueband.properties.running.plan import Step

Expected = Mapping[str, Any] | str | Path | None
AnyCase = TypeVar("AnyCase", Case, ModelCase)


def expected_failures(expected: Expected, named: Named) -> ExpectedFailures:
    """Read {check: reason} or a file, else those of the named target, else none."""
    if isinstance(expected, Mapping):
        return ExpectedFailures(expected, "expected_failures")
    path = named.expected_failures if expected is None else Path(expected)
    return ExpectedFailures({}) if path is None else ExpectedFailures.from_file(path)


def known_cases(
    expected: ExpectedFailures, steps: Iterable[Step], features: Collection[str]
) -> dict[tuple[str, str], Case]:
    """The failing cases that are known of the steps of a run, by (check, dtype). ValueError for what is none."""
    dtypes = ((step.check, step.dtype) for step in steps)
    return dict(_known(expected, dtypes, lambda line: check_and_case(line, features)[1]))


def known_model_cases(expected: ExpectedFailures, steps: Iterable[ModelStep]) -> dict[tuple[str, str], ModelCase]:
    """The same of checks of models, whose dtype is the architecture, too."""
    dtypes = ((step.check, f"{step.architecture} {step.dtype}") for step in steps)
    return dict(_known(expected, dtypes, lambda line: ModelCase.from_dict(line["case"])))


def _known(
    expected: ExpectedFailures, dtypes: Iterable[tuple[str, str]], parse: Callable[[dict[str, Any]], AnyCase]
) -> Iterator[tuple[tuple[str, str], AnyCase]]:
    for check, dtype in dtypes:
        reason = expected.of(check, dtype)
        line = reason and reason.line(dtype)
        if line:
            try:
                yield (check, dtype), parse(line)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{expected.source}: {check}: {error}") from error

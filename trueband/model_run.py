"""The model checks as records of a run: the optimized models against the reference, on random small configurations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trueband.adapters import resolve
from trueband.model_target import HubModels
from trueband.model_witness import OptimizedModels
from trueband.properties.engine import matches
from trueband.properties.models.case import ModelCase
from trueband.properties.models.checks import MODEL_CHECKS, ModelProbe
from trueband.properties.models.engine import architectures_of, model_record, run_models
from trueband.properties.models.target import load_model_target
from trueband.properties.record import Record
from trueband.properties.search import Found, try_case

OWN_MODELS = "trueband.model_witness:OptimizedModels"
CASES = {"quick": 9, "full": 200, "nightly": 2_000}  # for each check, architecture and dtype


def model_names(pattern: str | None) -> tuple[str, ...]:
    """Names of the model checks that match; see `trueband.properties.engine.select`."""
    return tuple(name for name in MODEL_CHECKS if matches(pattern, name))


def model_candidate(target: str) -> OptimizedModels:
    """The models of a target, by its name or module:factory. Raises TargetError."""
    if target == OWN_MODELS:
        return OptimizedModels()
    return HubModels(load_model_target(resolve(target, "models").spec))


def count_model_records(names: tuple[str, ...], candidate: OptimizedModels) -> int:
    """How many records `model_records` gives."""
    checks = (MODEL_CHECKS[name] for name in names)
    return sum(len(architectures_of(check, candidate)) * len(check.dtypes) for check in checks)


def model_records(
    names: tuple[str, ...], tier: str, seed: int, on_case: Callable[[], None], target: str, candidate: OptimizedModels
) -> Iterator[Record]:
    """Run model checks by name on the models of a target."""
    yield from run_models(target, candidate, names, CASES[tier], seed, on_case)


def reproduce_model(line: Mapping[str, Any], target: str = OWN_MODELS) -> Record:
    """Run one model check on one case again.

    Raises:
        ValueError: no such case.
    """
    check, start = MODEL_CHECKS[line["check"]], time.monotonic()
    case = ModelCase.from_dict(line["case"])
    found = Found.of(case, *try_case(check, model_candidate(target), case, ModelProbe))
    return model_record(target, check, case.architecture, case.dtype, 0, start, found)

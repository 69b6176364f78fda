"""The model checks as records of a run: the optimized models against the reference, on random small configurations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trueband.model_witness import OptimizedModels
from trueband.properties.engine import matches
from trueband.properties.models.case import ModelCase
from trueband.properties.models.checks import MODEL_CHECKS, ModelProbe
from trueband.properties.models.engine import model_record, run_models
from trueband.properties.record import Record
from trueband.properties.search import Found, try_case

OWN_MODELS = "trueband.model_witness:OptimizedModels"
CASES = {"quick": 9, "full": 200, "nightly": 2_000}  # for each check, architecture and dtype


def model_names(pattern: str | None) -> tuple[str, ...]:
    """Names of the model checks that match; see `trueband.properties.engine.select`."""
    return tuple(name for name in MODEL_CHECKS if matches(pattern, name))


def count_model_records(names: tuple[str, ...]) -> int:
    """How many records `model_records` gives."""
    checks = (MODEL_CHECKS[name] for name in names)
    return sum(len(check.architectures) * len(check.dtypes) for check in checks)


def model_records(names: tuple[str, ...], tier: str, seed: int, on_case: Callable[[], None]) -> Iterator[Record]:
    """Run model checks by name on the optimized models."""
    yield from run_models(OWN_MODELS, OptimizedModels(), names, CASES[tier], seed, on_case)


def reproduce_model(line: Mapping[str, Any]) -> Record:
    """Run one model check on one case again.

    Raises:
        ValueError: no such case.
    """
    check, start = MODEL_CHECKS[line["check"]], time.monotonic()
    case = ModelCase.from_dict(line["case"])
    failure, worst = try_case(check, OptimizedModels(), case, ModelProbe)
    found = Found.of(case, failure, worst)
    return model_record(OWN_MODELS, check, case.architecture, case.dtype, 0, start, found)

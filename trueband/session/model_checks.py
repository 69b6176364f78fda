"""The model checks as records of a run: the optimized models against the reference, on random small configurations."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from trueband.adapters import resolve
from trueband.properties.models.case import ModelCase
from trueband.properties.models.checks import MODEL_CHECKS, ModelProbe
from trueband.properties.models.target import ModelTarget, load_model_target
from trueband.properties.models.witness import ModelCandidate
from trueband.properties.results.record import Record
from trueband.properties.running.models import model_record
from trueband.properties.running.plan import matches
from trueband.properties.running.search import Found, try_case
from trueband.session.import_string import import_string
from trueband.witnesses.hub_models import HubModels
from trueband.witnesses.models import OptimizedModels

OWN_MODELS = "trueband.witnesses.models:OptimizedModels"


def model_names(pattern: str | None, features: Collection[str]) -> tuple[str, ...]:
    """Names of the model checks that apply to the features and match; see `trueband.properties.running.plan.select`."""
    return tuple(name for name, check in MODEL_CHECKS.items() if check.applies_to(features) and matches(pattern, name))


def model_candidate(target: str | ModelTarget) -> ModelCandidate:
    """The models of a target, or of its name or module:factory. Raises TargetError."""
    if target == OWN_MODELS:
        return OptimizedModels()
    return HubModels(target if isinstance(target, ModelTarget) else load_model_target(resolve(target, "models").spec))


def reproduce_model(line: Mapping[str, Any], target: str | ModelTarget = OWN_MODELS) -> Record:
    """Run one model check on one case again.

    Raises:
        ValueError: no such case, or a check that does not apply to the models.
    """
    check, start = MODEL_CHECKS[line["check"]], time.monotonic()
    case, candidate = ModelCase.from_dict(line["case"]), model_candidate(target)
    if not check.applies_to(candidate.features):
        needed = ", ".join(sorted(check.needs - candidate.features))
        raise ValueError(f"check: expected one that applies to the target, got {check.name}, which needs {needed}")
    smallest = Found.of(case, try_case(check, candidate, case, ModelProbe))
    return model_record(import_string(target, ModelTarget), check, case.architecture, case.dtype, 0, start, smallest)

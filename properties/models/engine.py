"""Runs the model checks on a candidate, one record for each check, architecture and dtype."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator

from trueband.properties.models.case import model_cases
from trueband.properties.models.checks import MODEL_CHECKS, ModelCheck, ModelProbe
from trueband.properties.models.witness import ModelCandidate
from trueband.properties.record import Record
from trueband.properties.search import Found, search


def run_models(
    target: str,
    candidate: ModelCandidate,
    names: tuple[str, ...],
    examples: int,
    seed: int = 0,
    on_case: Callable[[], None] = lambda: None,
) -> Iterator[Record]:
    """The named checks on every architecture and dtype that they are for."""
    for name in names:
        check = MODEL_CHECKS[name]
        for architecture in architectures_of(check, candidate):
            for dtype in check.dtypes:
                yield run_model_check(target, candidate, check, architecture, dtype, examples, seed, on_case)


def architectures_of(check: ModelCheck, candidate: ModelCandidate) -> tuple[str, ...]:
    """Those of a check that the candidate has."""
    has = getattr(candidate, "architectures", check.architectures)
    return tuple(name for name in check.architectures if name in has)


def run_model_check(
    target: str,
    candidate: ModelCandidate,
    check: ModelCheck,
    architecture: str,
    dtype: str,
    examples: int,
    seed: int = 0,
    on_case: Callable[[], None] = lambda: None,
) -> Record:
    """Search a case that breaks one check."""
    start = time.monotonic()
    start_seed = zlib.crc32(f"{seed} {check.name} {architecture} {dtype}".encode())
    strategy = model_cases((architecture,), dtype)
    fit = getattr(candidate, "fit", None)  # what the models of a target cannot do
    strategy = strategy if fit is None else strategy.map(fit)
    found = search(check, candidate, strategy, examples, start_seed, on_case, probe=ModelProbe)
    return model_record(target, check, architecture, dtype, seed, start, found)


def model_record(
    target: str, check: ModelCheck, architecture: str, dtype: str, seed: int, start: float, found: Found
) -> Record:
    """What became of a search that started at `start` (of `time.monotonic`)."""
    failure = found.failure
    return Record(
        suite="models",
        check=check.name,
        claim=check.claim,
        target=target,
        dtype=f"{architecture} {dtype}",
        device="cpu",
        status=failure.status if failure else "passed",
        cases=found.cases,
        seconds=round(time.monotonic() - start, 3),
        worst=found.worst,
        seed=seed,
        case=failure.case.to_dict() if failure else None,
        message=failure.message if failure else "",
        verdict=failure.verdict.to_dict() if failure and failure.verdict else None,
        worst_case=found.worst_case.to_dict() if found.worst_case else None,
        histogram=tuple(found.histogram),
    )

"""Runs the model checks on a candidate, one record for each check, architecture and dtype."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from trueband.properties.models.case import model_cases
from trueband.properties.models.checks import MODEL_CHECKS, ModelCheck, ModelProbe
from trueband.properties.models.witness import ModelCandidate
from trueband.properties.results.record import Record
from trueband.properties.running.large_models import ONE_AT_SIZE_OF, search_large
from trueband.properties.running.plan import check_amount
from trueband.properties.running.search import Found, search

EXAMPLES = {"quick": 9, "full": 200, "nightly": 2_000}  # cases for each check, architecture and dtype


@dataclass(frozen=True)
class ModelStep:
    """One check of one architecture in one dtype; it gives one record.

    Attributes:
        check: its name.
        architecture: of the models.
        dtype: of their weights.
        examples: random cases to try.
    """

    check: str
    architecture: str
    dtype: str
    examples: int

    @property
    def words(self) -> tuple[str, ...]:
        """What tells it from the others."""
        return self.check, self.architecture, self.dtype

    @property
    def name(self) -> str:
        """As reports and test ids name it."""
        return f"{self.check}[{self.architecture} {self.dtype}]"


def model_steps(
    names: Iterable[str],
    candidate: ModelCandidate,
    tier: str = "quick",
    cases: int | None = None,
    dtypes: Collection[str] | None = None,
) -> list[ModelStep]:
    """The named checks on every architecture and dtype that they are for, in order. All fronts take theirs from here.

    Args:
        tier: of `EXAMPLES`.
        cases: random cases for each dtype, shared evenly among its steps, instead of the tier's.
        dtypes: None or empty: all that a check is for.

    Raises:
        ValueError: there is no such tier or dtype, or the number of cases is not positive.
    """
    check_amount(tier, EXAMPLES, cases, dtypes or ())
    found = [
        ModelStep(name, architecture, dtype, EXAMPLES[tier])
        for name in names
        for architecture in architectures_of(MODEL_CHECKS[name], candidate)
        for dtype in MODEL_CHECKS[name].dtypes
        if not dtypes or dtype in dtypes
    ]
    if cases is None:
        return found
    steps_of = Counter(step.dtype for step in found)
    return [replace(step, examples=max(cases // steps_of[step.dtype], 1)) for step in found]


def run_model_step(
    target: str, candidate: ModelCandidate, step: ModelStep, seed: int = 0, on_case: Callable[[], None] = lambda: None
) -> Record:
    """One step. Its record depends on nothing that ran before."""
    check = MODEL_CHECKS[step.check]
    return run_model_check(target, candidate, check, step.architecture, step.dtype, step.examples, seed, on_case)


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
    found = search_models(check, candidate, architecture, dtype, examples, start_seed, on_case)
    return model_record(target, check, architecture, dtype, seed, start, found)


def search_models(
    check: ModelCheck,
    candidate: ModelCandidate,
    architecture: str,
    dtype: str,
    examples: int,
    seed: int,
    on_case: Callable[[], None] = lambda: None,
    shrink: bool = True,
) -> Found:
    """So many cases of a check, the small ones first; one of `ONE_AT_SIZE_OF` is at size, if the check has such,
    in the last of its dtypes."""
    fit = getattr(candidate, "fit", lambda case: case)  # what the models of a target cannot do
    large = examples // ONE_AT_SIZE_OF if check.at_size and dtype == check.dtypes[-1] else 0
    strategy = model_cases((architecture,), dtype).map(fit)
    found = search(check, candidate, strategy, examples - large, seed, ModelProbe, on_case, shrink)
    if large and found.failure is None:
        found += search_large(check, candidate, architecture, dtype, large, seed, fit, on_case, shrink)
    return found


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
        status=found.status,
        cases=found.cases,
        seconds=round(time.monotonic() - start, 3),
        worst=found.worst,
        seed=seed,
        case=failure.case.to_dict() if failure else None,
        message=found.message,
        verdict=failure.verdict.to_dict() if failure and failure.verdict else None,
        worst_case=found.worst_case.to_dict() if found.worst_case else None,
        histogram=tuple(found.histogram),
        skipped=found.skipped,
        traceback=failure.traceback if failure else "",
    )

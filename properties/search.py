"""The search for a case that breaks a claim, and for the smallest such case. Hypothesis does both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy

from trueband.properties.probe import Probe
from trueband.properties.remote import CandidateCheating, CandidateCrash, CandidateExhausted, CandidateTimeout
from trueband.properties.runner import CandidateError
from trueband.properties.verdict import REPLAY, ShapeMismatch, Verdict

SHRINK_SECONDS = 4.0
SHRUNK = ("failed", "cheating")  # statuses of failures that cost no new process for each further try


@dataclass(frozen=True)
class Failure:
    """One case that breaks a claim.

    Attributes:
        case: a `Case` or a `ModelCase`.
        status: one of those of a `Record`, but "passed".
        message: one line.
        verdict: the comparison that failed; None where the candidate raised or died.
    """

    case: Any
    status: str
    message: str
    verdict: Verdict | None = None


@dataclass
class Found:
    """What a search found.

    Attributes:
        cases: tried, those while shrinking included.
        worst: largest error/bound of the verdicts that passed.
        failure: of the smallest failing case, or None.
        failed_at: `time.process_time()` when the first case failed, before shrinking.
    """

    cases: int = 0
    worst: float = 0.0
    failure: Failure | None = None
    failed_at: float | None = None


class _Broken(Exception):
    """Tells Hypothesis that a case fails."""


class _Died(BaseException):
    """Ends a search at once: each further try would cost a new process."""


def try_case(
    check: Any, candidate: Any, case: Any, probe: Callable[[Any, Any], Any] = Probe
) -> tuple[Failure | None, float]:
    """Run a check on one case: its failure, if any, and the largest error/bound of what passed.

    Args:
        probe: what the check's function gets, made of the candidate and the case.
    """
    worst = 0.0
    try:
        for verdict in check.function(probe(candidate, case)):
            if not verdict.passed:
                return Failure(case, "cheating" if verdict.term == REPLAY else "failed", str(verdict), verdict), worst
            worst = max(worst, verdict.ratio)
    except (CandidateError, ShapeMismatch) as error:
        return Failure(case, "failed", str(error)), worst
    except CandidateCrash as error:
        return Failure(case, "crashed", str(error)), worst
    except CandidateTimeout as error:
        return Failure(case, "timeout", str(error)), worst
    except CandidateExhausted as error:
        return Failure(case, "out of memory", str(error)), worst
    except CandidateCheating as error:
        return Failure(case, "cheating", str(error)), worst
    return None, worst


def search(
    check: Any,
    candidate: Any,
    strategy: SearchStrategy[Any],
    examples: int,
    seed: int,
    on_case: Callable[[], None] = lambda: None,
    probe: Callable[[Any, Any], Any] = Probe,
    shrink: bool = True,
) -> Found:
    """Try a check on cases of a strategy until one fails, then shrink it unless told not to.

    Shrinking ends after `SHRINK_SECONDS`; a crash or a timeout is not shrunk.
    """
    found = Found()
    shrink_until = float("inf")

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        print_blob=False,
    )
    @given(strategy)
    def attempt(case: Any) -> None:
        nonlocal shrink_until
        if time.monotonic() > shrink_until:
            assert found.failure is not None
            if case != found.failure.case:
                return
            raise _Broken
        found.cases += 1
        failure, worst = try_case(check, candidate, case, probe)
        found.worst = max(found.worst, worst)
        on_case()
        if failure is None:
            return
        if found.failure is None:
            found.failed_at = time.process_time()
            shrink_until = time.monotonic() + SHRINK_SECONDS
        found.failure = failure
        raise _Broken if failure.status in SHRUNK else _Died

    try:
        attempt()
    except (_Broken, _Died):
        pass
    except hypothesis.errors.Flaky:
        assert found.failure is not None
        found.failure = Failure(
            found.failure.case,
            found.failure.status,
            f"not every time, for the same input: {found.failure.message}",
            found.failure.verdict,
        )
    return found

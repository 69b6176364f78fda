"""The search for a case that breaks a claim, and for the smallest such case. Hypothesis does both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy

from trueband.properties import histogram
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
        worst_case: the case of `worst`; None where no verdict had an error.
        histogram: of error/bound, of the cases up to the first that failed; see `properties.histogram`.
    """

    cases: int = 0
    worst: float = 0.0
    failure: Failure | None = None
    failed_at: float | None = None
    worst_case: Any = None
    histogram: list[int] = field(default_factory=histogram.empty)

    @classmethod
    def of(cls, case: Any, failure: Failure | None, worst: float) -> Found:
        """What trying one case found."""
        found = cls()
        found.tell(case, failure, worst)
        found.failure = failure
        return found

    def tell(self, case: Any, failure: Failure | None, worst: float) -> None:
        """One case more, as `try_case` gives it."""
        self.cases += 1
        if worst > self.worst:
            self.worst, self.worst_case = worst, case
        if self.failure is not None:
            return  # shrinking: the same error again
        if failure is None:
            self.histogram[histogram.bin_of(worst)] += 1
        elif failure.verdict is not None:
            self.histogram[histogram.bin_of(failure.verdict.ratio)] += 1

    def __add__(self, other: Found) -> Found:
        """This search and a later one."""
        later = other.worst > self.worst
        return Found(
            self.cases + other.cases,
            max(self.worst, other.worst),
            other.failure or self.failure,
            other.failed_at if self.failed_at is None else self.failed_at,
            other.worst_case if later else self.worst_case,
            self.histogram if self.failure else histogram.add([self.histogram, other.histogram]),
        )


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

    Shrinking ends after `SHRINK_SECONDS` of processor time, so that a busy machine finds the same case; a crash or a
    timeout is not shrunk.
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
        if time.process_time() > shrink_until:
            assert found.failure is not None
            if case != found.failure.case:
                return
            raise _Broken
        failure, worst = try_case(check, candidate, case, probe)
        found.tell(case, failure, worst)
        on_case()
        if failure is None:
            return
        if found.failure is None:
            found.failed_at = time.process_time()
            shrink_until = time.process_time() + SHRINK_SECONDS
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

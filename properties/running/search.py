"""The search for a case that breaks a claim, and for the smallest such case. Hypothesis does both."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy

from trueband.properties.candidate.called import Calls
from trueband.properties.candidate.errors import CHEATING, FAILED, CandidateEnded, as_judged
from trueband.properties.cases.limits import NotTaken
from trueband.properties.results import histogram
from trueband.properties.results.verdict import REPLAY, ShapeMismatch, Verdict
from trueband.properties.running.hypothesis_constants import no_constants_of_modules

SHRINK_SECONDS = 4.0
SHRUNK = ("failed", "cheating")  # statuses of failures that cost no new process for each further try
OWN_ERROR = "the check itself raised"  # how the message of a failure begins that is no verdict on the candidate


CandidateT = TypeVar("CandidateT")
CaseT = TypeVar("CaseT")
ProbeT = TypeVar("ProbeT")
ProbeT_contra = TypeVar("ProbeT_contra", contravariant=True)


class Claim(Protocol[ProbeT_contra]):
    """A check of kernels or of models: what it claims, as a function that yields the verdicts of one probe."""

    @property
    def name(self) -> str: ...

    @property
    def function(self) -> Callable[[ProbeT_contra], Iterator[Verdict]]: ...


@dataclass(frozen=True)
class Failure:
    """One case that breaks a claim.

    Attributes:
        case: a `Case` or a `ModelCase`.
        status: one of those of a `Record`, but "passed".
        message: one line.
        verdict: the comparison that failed; None where the candidate raised or died.
        called: what the candidate was called with, where the case does not say it; see `properties.called`.
        traceback: of the error that the candidate raised; "".
        printed: by the candidate, in the last call.
    """

    case: Any
    status: str
    message: str
    verdict: Verdict | None = None
    called: tuple[dict[str, Any], ...] = ()
    traceback: str = ""
    printed: str = ""


@dataclass(frozen=True)
class Tried:
    """What trying a check on one case gave.

    Attributes:
        failure: None where all passed.
        worst: largest error/bound of what passed.
        evidence: verdicts that compared something.
        skipped: comparisons that were left out.
        not_taken: a call that the candidate declares not to take ended it.
    """

    failure: Failure | None
    worst: float = 0.0
    evidence: int = 0
    skipped: int = 0
    not_taken: bool = False


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
        evidence: verdicts that compared something.
        skipped: comparisons that were left out, because two correct implementations may differ there.
        not_taken: cases that ended at a call that the candidate declares not to take.
    """

    cases: int = 0
    worst: float = 0.0
    failure: Failure | None = None
    failed_at: float | None = None
    worst_case: Any = None
    histogram: list[int] = field(default_factory=histogram.empty)
    evidence: int = 0
    skipped: int = 0
    not_taken: int = 0

    @classmethod
    def of(cls, case: Any, tried: Tried) -> Found:
        """What trying one case found."""
        found = cls()
        found.tell(case, tried)
        found.failure = tried.failure
        return found

    def tell(self, case: Any, tried: Tried) -> None:
        """One case more."""
        failure, worst = tried.failure, tried.worst
        self.cases += 1
        self.evidence += tried.evidence
        self.skipped += tried.skipped
        self.not_taken += tried.not_taken
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
            self.evidence + other.evidence,
            self.skipped + other.skipped,
            self.not_taken + other.not_taken,
        )

    @property
    def status(self) -> str:
        """As of a `Record`. A search of which every comparison was left out has shown nothing, and has not passed."""
        if self.failure is not None:
            return self.failure.status
        if self.not_taken and not self.evidence:
            return "not asked"
        return "failed" if self.skipped and not self.evidence else "passed"

    @property
    def message(self) -> str:
        """What is wrong, in one line; "" where it has passed."""
        if self.failure is not None:
            return self.failure.message
        if self.status == "passed":
            return ""
        if self.status == "not asked":
            return "no case of it lies within what the target declares to take"
        return f"expected evidence, got none: all {self.skipped} comparisons were too close to call"


class _Broken(Exception):
    """Tells Hypothesis that a case fails."""


class _Died(BaseException):
    """Ends a search at once: each further try would cost a new process."""


def _end(error: type[BaseException]) -> NoReturn:
    """Raise it, always in this line: to Hypothesis the same error from two lines is two, and a case that gives now the
    one and now the other is flaky."""
    raise error


def suits(check: Claim[Any], case: object) -> bool:
    """Whether the claim of a check is about a case: one that was fitted to declared sizes may be out of its reach."""
    structure = getattr(check, "structure", None)
    return structure is None or case is None or structure.suits(case)


def try_case(
    check: Claim[ProbeT],
    candidate: CandidateT,
    case: CaseT,
    probe: Callable[[CandidateT, CaseT], ProbeT],
    again: bool = False,
) -> Tried:
    """Run a check on one case, up to its first failure. An error of the check's own is one too.

    Args:
        probe: what the check's function gets, made of the candidate and the case.
        again: the system had ended the candidate's process, which a busy machine may do once.
    """
    worst, evidence, skipped = 0.0, 0, 0
    calls: Calls | None = None

    def failed(status: str, message: str, verdict: Verdict | None = None, traceback: str = "") -> Tried:
        called = () if calls is None else calls.descriptions()
        printed = getattr(candidate, "printed", "")
        return Tried(Failure(case, status, message, verdict, called, traceback, printed), worst, evidence, skipped)

    if not suits(check, case):
        return Tried(None, not_taken=True)
    try:
        asked = probe(candidate, case)
        calls = getattr(asked, "calls", None)
        for verdict in check.function(asked):
            if not verdict.passed:
                return failed(CHEATING if verdict.term == REPLAY else FAILED, str(verdict), verdict)
            if calls is not None:
                calls.judged()
            worst = max(worst, verdict.ratio)
            evidence += verdict.evidence
            skipped += verdict.skipped
    except NotTaken:
        return Tried(None, worst, evidence, skipped, not_taken=True)
    except ShapeMismatch as error:
        return failed(FAILED, str(error))
    except CandidateEnded as error:
        if error.by_system and not again:
            return try_case(check, candidate, case, probe, again=True)
        return failed(as_judged(error.status, getattr(candidate, "gate", False)), str(error), None, error.traceback)
    except Exception as error:  # an answer that the check was not written for: a record of it, and the run goes on
        return failed(FAILED, own_error(error))
    return Tried(None, worst, evidence, skipped)


def own_error(error: Exception) -> str:
    """One line on an error of the code that judges: what the candidate gave is none that it was written for, or it has
    a bug. It says where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(str(error).split()) or "without a message"
    return f"{OWN_ERROR} {type(error).__name__}: {words} ({Path(last.filename).name}, line {last.lineno})"


def search(
    check: Claim[ProbeT],
    candidate: CandidateT,
    strategy: SearchStrategy[CaseT],
    examples: int,
    seed: int,
    probe: Callable[[CandidateT, CaseT], ProbeT],
    on_case: Callable[[], None] = lambda: None,
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
    def attempt(case: CaseT) -> None:
        nonlocal shrink_until
        if time.process_time() > shrink_until:
            assert found.failure is not None
            if case != found.failure.case:
                return
            _end(_Broken)
        tried = try_case(check, candidate, case, probe)
        failure = tried.failure
        found.tell(case, tried)
        on_case()
        if failure is None:
            return
        if found.failure is None:
            found.failed_at = time.process_time()
            shrink_until = time.process_time() + SHRINK_SECONDS
        found.failure = failure
        _end(_Broken if failure.status in SHRUNK else _Died)

    attempt._hypothesis_internal_database_key = b""  # type: ignore[attr-defined]  # its source need not be read for one
    try:
        with no_constants_of_modules():
            attempt()
    except (_Broken, _Died):
        pass
    except hypothesis.errors.Flaky:
        assert found.failure is not None
        descriptions = f"not every time, for the same input: {found.failure.message}"
        found.failure = replace(found.failure, message=descriptions)
    return found

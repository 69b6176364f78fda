"""How long the suite takes to notice a fault: all checks of a tier, a few cases of each first, then more of each.

A trial is one check in one dtype on one candidate. Nothing here knows which check a fault is seeded for.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trueband.properties.case import Case
from trueband.properties.checks import CHECKS, Check
from trueband.properties.engine import SMALL, SMALL_AGAIN, SMALL_WORLD, make_plan, steps
from trueband.properties.models.case import model_cases
from trueband.properties.models.checks import MODEL_CHECKS, ModelProbe
from trueband.properties.probe import Candidate
from trueband.properties.runner import CandidateError, Runner
from trueband.properties.search import Failure, Found, search, try_case
from trueband.properties.small_world import smallest_failure, worlds
from trueband.properties.strategies import cases
from trueband.properties.target import Target

# Cases of each check in the first and second round, small ones; the third round has the rest of the tier.
ROUNDS = (4, 10)
MODEL_ROUNDS = (2, 4)
MODEL_CASES = {"quick": 9, "full": 200, "nightly": 2_000}
TINY_WORLD_TOKENS = 3


@dataclass(frozen=True)
class Trial:
    """One check in one dtype on one candidate.

    Attributes:
        check, dtype: names.
        cases: of the tier.
        search: searches so many cases from a seed for one that fails, and shrinks it if asked to.
        rounds: cases in the first two rounds.
    """

    check: str
    dtype: str
    cases: int
    search: Callable[[int, int, bool], Found]
    rounds: tuple[int, int] = ROUNDS


@dataclass(frozen=True)
class Detection:
    """What became of a fault.

    Attributes:
        check, dtype: that noticed it; "" if none did.
        seconds: of processor time until a case failed, shrinking not included: a busy machine does not count.
        cases: tried, those while shrinking included.
        case: the smallest failing case, and `tokens` its length.
        message: what is wrong there.
    """

    check: str = ""
    dtype: str = ""
    seconds: float = 0.0
    cases: int = 0
    case: dict[str, Any] | None = None
    message: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.check)

    @property
    def tokens(self) -> int | None:
        return None if self.case is None else int(self.case["tokens"])


def detect(trials: Sequence[Trial], seed: int = 0) -> Detection:
    """Run trials in rounds until one fails."""
    start, tried = time.process_time(), 0
    for trial, number in in_rounds(trials):
        examples = _examples(trial, number)
        if examples < 1:
            continue
        found = trial.search(examples, _seed(trial, seed, number), True)
        tried += found.cases
        if found.failure is not None:
            at = found.failed_at or time.process_time()
            case, message = found.failure.case.to_dict(), found.failure.message
            return Detection(trial.check, trial.dtype, round(at - start, 4), tried, case, message)
    return Detection(seconds=round(time.process_time() - start, 4), cases=tried)


def in_rounds(trials: Sequence[Trial]) -> Iterator[tuple[Trial, int]]:
    """Trials in the suite's order: two short rounds in the first dtype, the same in the others, then all the rest."""
    dtype = trials[0].dtype.split()[-1]  # behind the architecture, of models
    first = [trial for trial in trials if trial.dtype.split()[-1] == dtype]
    others = [trial for trial in trials if trial.dtype.split()[-1] != dtype]
    rest = sorted(trials, key=lambda trial: trial.check == SMALL_WORLD)  # its longer lengths cost seconds: last
    for group, number in ((first, 0), (first, 1), (others, 0), (others, 1), (rest, 2)):
        for trial in group:
            yield trial, number


def kills(trial: Trial, seed: int = 0) -> bool:
    """Whether a trial notices a fault in all the cases of its tier."""
    for number in range(len(ROUNDS) + 1):
        examples = _examples(trial, number)
        if examples > 0 and trial.search(examples, _seed(trial, seed, number), False).failure is not None:
            return True
    return False


def _examples(trial: Trial, number: int) -> int:
    before = sum(trial.rounds[:number])
    return min(trial.rounds[number], trial.cases - before) if number < len(trial.rounds) else trial.cases - before


def _seed(trial: Trial, seed: int, number: int) -> int:
    return zlib.crc32(f"{seed} {trial.check} {trial.dtype} {number}".encode())


def operator_trials(target: Target, dtypes: tuple[str, ...] | None, tier: str) -> list[Trial]:
    """The trials of a kernel in this process: what `trueband check` runs of it."""
    candidate = Runner(target)
    return [
        _small_world_trial(candidate, step.dtype)
        if step.check == SMALL_WORLD
        else _trial(CHECKS[step.check], candidate, step.dtype, step.examples)
        for step in steps(make_plan(candidate.name, candidate, tier, dtypes=dtypes))
    ]


def _trial(check: Check, candidate: Candidate, dtype: str, examples: int) -> Trial:
    small = cases(dtype, candidate.features, check.structure.at_most(SMALL))
    every = cases(dtype, candidate.features, check.structure)

    def run(count: int, seed: int, shrink: bool) -> Found:
        few = count if count in ROUNDS else max(count // 3, 1)
        found = search(check, candidate, small, few, seed, shrink=shrink)
        if found.failure is None and count > few:
            found += search(check, candidate, every, count - few, seed + 1, shrink=shrink)
        if shrink and found.failure is not None and found.failure.case.tokens > SMALL:
            found += search(check, candidate, small, SMALL_AGAIN, seed + 2)
        return found

    return Trial(check.name, dtype, examples, run)


def _small_world_trial(candidate: Candidate, dtype: str) -> Trial:
    """The small world: lengths up to 3 in the first round, the others in the last."""
    walk = worlds(candidate.features, dtype)
    left: list[Case] = []

    def run(count: int, seed: int, shrink: bool) -> Found:
        found = Found()
        if count == ROUNDS[1]:
            return found  # the longer lengths cost seconds: they come last
        for world in _next_worlds(walk, left, tiny=count == ROUNDS[0]):
            found.cases += world.batch
            found.failure = _failure_in_world(candidate, world)
            if found.failure is not None:
                found.failed_at = time.process_time()
                break
        return found

    return Trial(SMALL_WORLD, dtype, sum(ROUNDS) + 1_000, run)


def _next_worlds(walk: Iterator[Case], left: list[Case], tiny: bool) -> Iterator[Case]:
    """Worlds of up to `TINY_WORLD_TOKENS` tokens if `tiny`, then the others; they come in order of their length."""
    yield from left
    left.clear()
    for world in walk:
        if tiny and world.tokens > TINY_WORLD_TOKENS:
            left.append(world)
            return
        yield world


def _failure_in_world(candidate: Candidate, world: Case) -> Failure | None:
    try:
        smallest = smallest_failure(candidate, world)
    except CandidateError:
        smallest = world
    return None if smallest is None else try_case(CHECKS["mask_decoding"], candidate, smallest)[0]


def model_trials(
    candidate: Any, architectures: tuple[str, ...], dtypes: tuple[str, ...] | None, tier: str
) -> list[Trial]:
    """The trials of models: all model checks on some architectures."""
    trials = []
    for check in MODEL_CHECKS.values():
        for architecture in architectures:
            for dtype in check.dtypes:
                if architecture in check.architectures and (dtypes is None or dtype in dtypes):
                    trials.append(_model_trial(check, candidate, architecture, dtype, MODEL_CASES[tier]))
    return trials


def _model_trial(check: Any, candidate: Any, architecture: str, dtype: str, examples: int) -> Trial:
    def run(count: int, seed: int, shrink: bool) -> Found:
        strategy = model_cases((architecture,), dtype)
        return search(check, candidate, strategy, count, seed, probe=ModelProbe, shrink=shrink)

    return Trial(check.name, f"{architecture} {dtype}", examples, run, MODEL_ROUNDS)

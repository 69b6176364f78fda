"""How long the suite takes to notice a fault: all checks of a tier, a few cases of each first, then more of each.

A trial is one check in one dtype on one candidate. Nothing here knows which check a fault is seeded for.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.candidate.probe import Candidate, Probe
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target
from trueband.properties.cases.case import Case
from trueband.properties.cases.strategies import EXTENDED, LONG, cases
from trueband.properties.checks import CHECKS, Check
from trueband.properties.models.check import ModelCheck, ModelProbe
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.training import TRAINING
from trueband.properties.results.verdict import Verdict
from trueband.properties.running.engine import SMALL, SMALL_AGAIN
from trueband.properties.running.large_models import ONE_AT_SIZE_OF
from trueband.properties.running.models import search_models
from trueband.properties.running.plan import SMALL_WORLD, Plan, make_plan, steps, walked
from trueband.properties.running.production import guard_of, production_case, walk
from trueband.properties.running.search import OWN_ERROR, Failure, Found, search, try_case
from trueband.properties.running.small_world import smallest_failure, worlds

# Cases of each check in the rounds before the last, which has the rest of the tier. Those of kernels are small; the
# checks that weigh most have some more, and a round of long ones, past the block sizes of kernels. Then the checks at
# the sizes of production have a round of some shapes of all sizes, and, behind more small cases, of all but the dear.
ROUNDS = (4, 0, 0, 10, 0)
HEAVY, HEAVY_ROUNDS = 6, (8, 2, 0, 10, 0)
LONG_ROUND, SOME_SHAPES, MOST_SHAPES = 1, 2, 4
ONE_OF, LEAST_EARLY = 8, 9  # shapes in the first of these rounds: one of so many, if that gives as many
MODEL_ROUNDS = (2, 4)
MODEL_CASES = {"quick": 9, "full": 200, "nightly": 2_000}
TINY_WORLD_TOKENS = 3


@dataclass(frozen=True)
class Trial:
    """One check in one dtype on one candidate.

    Attributes:
        check, dtype: names.
        cases: in each round.
        search: searches the cases of a round, from a seed, for one that fails, and shrinks it if asked to.
    """

    check: str
    dtype: str
    cases: tuple[int, ...]
    search: Callable[[int, int, bool], Found]


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
        if not trial.cases[number]:
            continue
        found = trial.search(number, _seed(trial, seed, number), True)
        tried += found.cases
        if found.failure is not None:
            if found.failure.message.startswith(OWN_ERROR):
                raise RuntimeError(f"{trial.check} [{trial.dtype}]: {found.failure.message}")
            at = found.failed_at or time.process_time()
            case, message = found.failure.case.to_dict(), found.failure.message
            return Detection(trial.check, trial.dtype, round(at - start, 4), tried, case, message)
    return Detection(seconds=round(time.process_time() - start, 4), cases=tried)


def in_rounds(trials: Sequence[Trial]) -> Iterator[tuple[Trial, int]]:
    """The short rounds in the first dtype, the same in the others, then all the rest, each in the suite's order.

    In the short rounds those that weigh most come before the others, after the small world.
    Of models each short round takes every check in turn, each time in another architecture and dtype.
    """
    short = range(len(trials[0].cases) - 1)
    if " " in trials[0].dtype:
        yield from ((trial, number) for number in short for trial in in_turn(trials))
    else:
        ordered = sorted(trials, key=_lightness)
        first = [trial for trial in ordered if trial.dtype == trials[0].dtype]
        others = [trial for trial in ordered if trial.dtype != trials[0].dtype]
        yield from ((trial, number) for group in (first, others) for number in short for trial in group)
    rest = sorted(trials, key=lambda trial: trial.check == SMALL_WORLD)  # its longer lengths cost seconds: last
    yield from ((trial, len(short)) for trial in rest)


def _lightness(trial: Trial) -> float:
    """By which trials come in a short round: the small world, then those that weigh most."""
    check = CHECKS.get(trial.check)
    if check is None:
        return -math.inf
    if check.structure.production:
        return -0.5 if check.structure.production == EXTENDED else 0  # which has fewer and cheaper cases
    return -check.weight


def in_turn(trials: Sequence[Trial]) -> Iterator[Trial]:
    """One trial of each check, then another of each, until all have had their turn; neighbors in other architectures.

    The checks of training, which are dear, stand between the others.
    """
    of_check: dict[str, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.dtype.split()[-1], reverse=True):  # float64 first
        of_check.setdefault(trial.check, []).append(trial)
    trains = [name for name in of_check if MODEL_CHECKS[name].needs & set(TRAINING)]
    others = [name for name in of_check if name not in trains]
    place = {name: (number + 0.5) / len(group) for group in (trains, others) for number, name in enumerate(group)}
    groups = [of_check[name] for name in sorted(of_check, key=place.__getitem__)]
    for turn in range(max(map(len, groups))):
        for number, group in enumerate(groups):
            if turn < len(group):
                yield group[(number + turn) % len(group)]


def once(check: ModelCheck, passed: set[str]) -> ModelCheck:
    """The check, which lets those cases pass that it has passed before: each search begins with the simplest."""

    def function(probe: ModelProbe) -> Iterator[Verdict]:
        if probe.case.id not in passed:
            yield from check.function(probe)
            passed.add(probe.case.id)

    return replace(check, function=function)


def kills(trial: Trial, seed: int = 0) -> bool:
    """Whether a trial notices a fault in all the cases of its tier."""
    return any(
        cases and trial.search(number, _seed(trial, seed, number), False).failure is not None
        for number, cases in enumerate(trial.cases)
    )


def share(cases: int, rounds: tuple[int, ...]) -> tuple[int, ...]:
    """Cases of each round, the last included: so many in all."""
    shares: list[int] = []
    for size in rounds:
        shares.append(min(size, cases - sum(shares)))
    return (*shares, cases - sum(shares))


def _seed(trial: Trial, seed: int, number: int) -> int:
    return zlib.crc32(f"{seed} {trial.check} {trial.dtype} {number}".encode())


def operator_trials(target: Target, dtypes: tuple[str, ...] | None, tier: str, each: int | None = None) -> list[Trial]:
    """The trials of a kernel in this process: what `trueband check` runs of it, or so many cases of each check."""
    candidate = Runner(target)
    plan = make_plan(candidate.name, candidate, tier, dtypes=dtypes)
    return [
        _small_world_trial(candidate, step.dtype)
        if step.check == SMALL_WORLD
        else _walk_trial(plan, CHECKS[step.check], candidate, step.dtype)
        if CHECKS[step.check].structure.production
        else _trial(CHECKS[step.check], candidate, step.dtype, each or step.examples)
        for step in steps(plan)
    ]


def _trial(check: Check, candidate: Candidate, dtype: str, examples: int) -> Trial:
    structure = check.structure
    small = cases(dtype, candidate.features, structure.at_most(SMALL))
    long = cases(dtype, candidate.features, replace(structure, tokens=LONG))
    every = cases(dtype, candidate.features, structure)
    counts = share(examples, HEAVY_ROUNDS if structure.long and check.weight >= HEAVY else ROUNDS)

    def run(number: int, seed: int, shrink: bool) -> Found:
        count, drawn = counts[number], long if number == LONG_ROUND else small
        few = count if number < len(ROUNDS) else max(count // 3, 1)
        found = search(check, candidate, drawn, few, seed, Probe, shrink=shrink)
        if found.failure is None and count > few:
            found += search(check, candidate, every, count - few, seed + 1, Probe, shrink=shrink)
        if shrink and found.failure is not None and found.failure.case.tokens > SMALL:
            found += search(check, candidate, small, SMALL_AGAIN, seed + 2, Probe)
        return found

    return Trial(check.name, dtype, counts, run)


def _walk_trial(plan: Plan, check: Check, candidate: Candidate, dtype: str) -> Trial:
    """The shapes of production of a check: some of all sizes early, the others but the dear later, the dear at last."""
    numbers = walked(plan, dtype, check)
    early = numbers[-2 :: -max(1, min(ONE_OF, len(numbers) // LEAST_EARLY))][::-1]
    dear = numbers[-(-3 * len(numbers) // 4) :]
    later = [number for number in numbers if number not in {*early, *dear}]
    last = [number for number in dear if number not in early]
    rounds = {SOME_SHAPES: early, MOST_SHAPES: later, len(ROUNDS): last}
    guard = guard_of(plan.tier)

    def run(number: int, seed: int, shrink: bool) -> Found:
        drawn = (
            production_case(check, dtype, candidate.features, candidate.limits, plan.to_walk, each, seed, plan.tier)
            for each in rounds.get(number, ())
        )
        return walk(check, candidate, drawn, guard, shrink=shrink)

    return Trial(check.name, dtype, tuple(len(rounds.get(number, ())) for number in range(len(ROUNDS) + 1)), run)


def _small_world_trial(candidate: Candidate, dtype: str) -> Trial:
    """The small world: lengths up to 3 in the first round, the others in the last."""
    walk = worlds(candidate.features, dtype)
    left: list[Case] = []

    def run(number: int, seed: int, shrink: bool) -> Found:
        found = Found()
        for world in _next_worlds(walk, left, tiny=number == 0):
            found.cases += world.batch
            found.failure = _failure_in_world(candidate, world)
            if found.failure is not None:
                found.failed_at = time.process_time()
                break
        return found

    # The longer lengths cost seconds: they come last.
    return Trial(SMALL_WORLD, dtype, (1, *(0 for _ in ROUNDS[1:]), 1), run)


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
    except CandidateEnded:
        smallest = world
    return None if smallest is None else try_case(CHECKS["mask_decoding"], candidate, smallest, Probe).failure


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


def _model_trial(check: ModelCheck, candidate: Any, architecture: str, dtype: str, examples: int) -> Trial:
    counts, passed = share(examples, MODEL_ROUNDS), set[str]()

    def run(number: int, seed: int, shrink: bool) -> Found:
        # A case at size is behind all the small ones.
        large = ONE_AT_SIZE_OF if check.at_size and dtype == check.dtypes[-1] and number == len(MODEL_ROUNDS) else 0
        fresh, count = once(check, passed), max(counts[number], large)
        return search_models(fresh, candidate, architecture, dtype, count, seed, shrink=shrink)

    return Trial(check.name, f"{architecture} {dtype}", counts, run)

"""The engine: the checks that apply to a target, one after the other, each giving a record."""

from __future__ import annotations

import contextlib
import fnmatch
import random
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from trueband.properties.boundary import boundaries
from trueband.properties.bounds.precision import DTYPES
from trueband.properties.case import Case
from trueband.properties.checks import CHECKS, Check
from trueband.properties.choices import RandomChoices
from trueband.properties.limits import Limits
from trueband.properties.probe import Candidate
from trueband.properties.production.guard import Guard, half_of_memory
from trueband.properties.production.plans import BUDGETS, shapes
from trueband.properties.production.shapes import Shape, demanded
from trueband.properties.production.walk import failing, production_case, walk
from trueband.properties.record import Record
from trueband.properties.remote import (
    CandidateCheating,
    CandidateCrash,
    CandidateExhausted,
    CandidateTimeout,
    RemoteRunner,
)
from trueband.properties.runner import CandidateError
from trueband.properties.search import SHRUNK, Failure, Found, search, try_case
from trueband.properties.second_process import Memory, second_process
from trueband.properties.small_world import smallest_failure, worlds
from trueband.properties.strategies import NO_LIMITS, Structure, cases, choose_case

# Cases for each dtype, and whether every dtype walks the small world or only the first.
TIERS: dict[str, tuple[int, bool]] = {"quick": (1_500, False), "full": (10_000, True), "nightly": (100_000, True)}
SMALL_WORLD = "small_world"
SMALL_WORLD_CLAIM = "every length up to 6, window up to 3 and pattern of padded and global tokens decodes exactly"
LEAST_CASES = 6
NIGHTLY = "nightly"
ALL_SHAPES, MOST_SHAPES = 8, 7  # weights of checks that are asked for all shapes of production, or most
FEW_SHAPES, OTHER_DTYPES = 16, 12  # for one of so many shapes; in other dtypes than the first
SMALL = 8  # tokens of a case that one can read
TINY = Structure(without=frozenset({"globals"}), tokens=(1, 4), long=False, batch=(1, 1), heads=(1, 1))
LOST = (CandidateError, CandidateCheating, CandidateCrash, CandidateExhausted, CandidateTimeout)
SMALL_AGAIN = 300  # small cases that are tried where only a large one has failed


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        target: name of the target in the records.
        dtypes: to run.
        device: for the records.
        cases: for each dtype, shared among its checks by weight.
        small_world_dtypes: dtypes that walk the small world.
        seed: of the search.
        checks: names to run, in order; see `select`.
        gate: the seed is a secret until the end, and a second process is asked too.
        tier: of `TIERS`, for the shapes of production.
        shapes: that must be checked.
        limits: of the target.
    """

    target: str
    dtypes: tuple[str, ...]
    cases: int
    small_world_dtypes: tuple[str, ...]
    checks: tuple[str, ...]
    device: str = "cpu"
    seed: int = 0
    gate: bool = False
    tier: str = "quick"
    shapes: tuple[Shape, ...] = ()
    limits: Limits = NO_LIMITS

    @property
    def to_walk(self) -> tuple[Shape, ...]:
        """Shapes of production: those that must be checked, then those of the tier."""
        return tuple(dict.fromkeys([*self.shapes, *shapes(self.tier, self.limits)]))


@dataclass(frozen=True)
class Step:
    """One check in one dtype; it gives one record.

    Attributes:
        check: its name.
        dtype: of the inputs.
        examples: random cases to try; 0 for the small world, which is walked whole.
    """

    check: str
    dtype: str
    examples: int

    @property
    def words(self) -> tuple[str, ...]:
        """What tells it from the others."""
        return self.check, self.dtype

    @property
    def name(self) -> str:
        """As reports and test ids name it."""
        return f"{self.check}[{self.dtype}]"


def make_plan(
    target: str,
    candidate: Any,
    tier: str = "quick",
    cases: int | None = None,
    dtypes: Collection[str] | None = None,
    pattern: str | None = None,
    device: str = "cpu",
    seed: int = 0,
    gate: bool = False,
    demanded_shapes: Sequence[Shape] = (),
) -> Plan:
    """The plan for a candidate (with `dtypes` and `features`).

    Args:
        tier: of `TIERS`.
        cases: for each dtype, instead of the tier's.
        dtypes: None or empty: all that the candidate has.
        pattern: see `select`.
        gate: the seed is a secret while it runs, and a second process is asked the same.
        demanded_shapes: that must be checked, beside those that the target declares.

    Raises:
        ValueError: there is no such tier or dtype, the number of cases is not positive, or a shape is not taken.
    """
    asked = tuple(dict.fromkeys(dtypes or ()))
    check_amount(tier, TIERS, cases, asked)
    chosen = asked or tuple(candidate.dtypes)
    of_tier, everywhere = TIERS[tier]
    return Plan(
        target=target,
        dtypes=chosen,
        cases=cases or of_tier,
        small_world_dtypes=chosen if everywhere else chosen[:1],
        checks=select(pattern, candidate.features),
        device=device,
        seed=seed,
        gate=gate,
        tier=tier,
        shapes=tuple(dict.fromkeys([*candidate.shapes, *demanded(demanded_shapes, candidate.limits)])),
        limits=candidate.limits,
    )


def check_amount(tier: str, tiers: Collection[str], cases: int | None, dtypes: Collection[str]) -> None:
    """ValueError for a tier or a dtype that there is not, or a number of cases that is not positive."""
    if tier not in tiers:
        raise ValueError(f"tier: expected one of {', '.join(tiers)}, got {tier!r}")
    if cases is not None and (not isinstance(cases, int) or isinstance(cases, bool) or cases < 1):
        raise ValueError(f"cases: expected an int >= 1, got {cases!r}")
    for name in dtypes:
        if name not in DTYPES:
            raise ValueError(f"dtype: expected some of {', '.join(DTYPES)}, got {name!r}")


def select(pattern: str | None, features: Collection[str]) -> tuple[str, ...]:
    """Names of the checks that apply to the features and match.

    Args:
        pattern: words joined by "or", each a part of a name or a shell pattern, "not" in front negates; None: all.
    """
    names = [SMALL_WORLD, *(name for name, check in CHECKS.items() if check.applies_to(features))]
    return tuple(name for name in names if matches(pattern, name))


def matches(pattern: str | None, name: str) -> bool:
    """Whether a name is meant by a pattern; see `select`."""
    if pattern is None:
        return True
    for word in pattern.split(" or "):
        negated, wanted = word.strip().startswith("not "), word.strip().removeprefix("not ").strip()
        if (wanted in name or fnmatch.fnmatch(name, wanted)) != negated:
            return True
    return False


def run(
    plan: Plan, candidate: Candidate, on_progress: Callable[[str, str], None] = lambda *_: None
) -> Iterator[Record]:
    """Run a plan, one record for each check and dtype. `on_progress(check, dtype)` is called after every case."""
    past = Memory()
    if plan.gate and isinstance(candidate, RemoteRunner):
        candidate.on_call = past.add
    for step in steps(plan):
        yield run_step(plan, step, candidate, on_progress)
    if plan.gate and isinstance(candidate, RemoteRunner):
        yield from run_second_process(plan, candidate, past)


def steps(plan: Plan) -> list[Step]:
    """What a plan runs, in order, but for the second process of a gate. All fronts take their checks from here."""
    asked = [name for name in plan.checks if name in CHECKS]
    # A campaign goes on with other shapes around those of the tier; elsewhere they are walked, and counted apart.
    counted = [name for name in asked if plan.tier == NIGHTLY or not CHECKS[name].structure.production]
    weights = {name: 1 if CHECKS[name].structure.production else CHECKS[name].weight for name in counted}
    found = []
    for dtype in plan.dtypes:
        for name in plan.checks:
            if name == SMALL_WORLD:
                if dtype in plan.small_world_dtypes:
                    found.append(Step(name, dtype, 0))
            elif name in weights:
                share = round(plan.cases * weights[name] / sum(weights.values()))
                found.append(Step(name, dtype, max(share, LEAST_CASES)))
            else:
                found.append(Step(name, dtype, len(walked(plan, dtype, CHECKS[name]))))
    return found


def walked(plan: Plan, dtype: str, check: Check) -> list[int]:
    """Which shapes of production a check is asked for in a dtype, by their place in `to_walk`.

    Those that must be checked, and of the tier's: in the first dtype all, or all but two of three of the dear ones, or
    one of 16, by the weight of the check; in the others a few. With fewer cases than the tier's, fewer in proportion.
    """
    of_tier, everywhere = TIERS[plan.tier]
    first, last = len(plan.shapes), len(plan.to_walk)
    dear = last - (last - first) // 4
    chosen = list(range(first, last))
    if check.weight < ALL_SHAPES:
        chosen = [*range(first, dear), *range(last - 1, dear - 1, -3)[::-1]]
    share = min(plan.cases / of_tier, 1.0) * (1.0 if dtype == plan.dtypes[0] or everywhere else 1 / OTHER_DTYPES)
    share *= 1.0 if check.weight >= MOST_SHAPES else 1 / FEW_SHAPES
    count = max(round(len(chosen) * share), LEAST_CASES)
    return [*range(first), *(chosen[each] for each in spread(0, len(chosen), count))]


def run_production(
    plan: Plan,
    check: Check,
    candidate: Candidate,
    dtype: str,
    examples: int,
    on_progress: Callable[[str, str], None] = lambda *_: None,
) -> Record:
    """Lead a candidate through the shapes of production with one check in one dtype."""
    start = time.monotonic()
    every, demanded_first = plan.to_walk, len(plan.shapes)
    numbers = range(examples) if plan.tier == NIGHTLY else walked(plan, dtype, check)
    drawn = [
        production_case(check, dtype, candidate.features, candidate.limits, every, number, plan.seed, plan.tier)
        for number in numbers
    ]
    guard = Guard(BUDGETS[plan.tier].seconds, half_of_memory())
    found = walk(check, candidate, drawn, guard, demanded_first, lambda: on_progress(check.name, dtype))
    return _record(plan, check.name, check.claim, dtype, found, start, partial(where_it_begins, check, candidate))


def spread(first: int, last: int, count: int) -> list[int]:
    """So many of the numbers from `first` to before `last`, evenly, the last one always."""
    count = max(min(count, last - first), 0)
    return [last - 1 - (each * (last - first)) // count for each in range(count)][::-1] if count else []


def run_step(
    plan: Plan, step: Step, candidate: Candidate, on_progress: Callable[[str, str], None] = lambda *_: None
) -> Record:
    """One step of a plan. Its record depends on nothing that ran before."""
    if step.check == SMALL_WORLD:
        return run_small_world(plan, candidate, step.dtype, on_progress)
    if CHECKS[step.check].structure.production:
        return run_production(plan, CHECKS[step.check], candidate, step.dtype, step.examples, on_progress)
    return run_check(plan, CHECKS[step.check], candidate, step.dtype, step.examples, on_progress)


def run_check(
    plan: Plan,
    check: Check,
    candidate: Candidate,
    dtype: str,
    examples: int,
    on_progress: Callable[[str, str], None] = lambda *_: None,
) -> Record:
    """Search a case that breaks one check in one dtype."""
    start = time.monotonic()
    small = cases(dtype, candidate.features, check.structure.at_most(SMALL), candidate.limits)
    every = cases(dtype, candidate.features, check.structure, candidate.limits)
    found = Found()
    # Small cases first; and where only a large one fails, small ones once more, for a counterexample one can read.
    for phase, strategy, share in (
        ("small", small, examples // 3),
        ("any", every, examples),
        ("small again", small, SMALL_AGAIN),
    ):
        if share == 0 or (phase == "small again" and (found.failure is None or found.failure.status not in SHRUNK)):
            continue
        seed = zlib.crc32(f"{plan.seed} {check.name} {dtype} {phase}".encode())
        left = share - found.cases if phase == "any" else share
        found += search(check, candidate, strategy, max(left, 1), seed, lambda: on_progress(check.name, dtype))
        if found.failure is not None and found.failure.case.tokens <= SMALL:
            break
    return _record(plan, check.name, check.claim, dtype, found, start, partial(where_it_begins, check, candidate))


def where_it_begins(check: Check, candidate: Candidate, failure: Failure) -> str:
    """What the sizes next to those of a failing case do; "" where that tells nothing."""
    if failure.status not in SHRUNK or failure.case is None:
        return ""
    return "; ".join(boundaries(failure.case, failing(check, candidate, failure.status), candidate.limits))


def run_small_world(
    plan: Plan, candidate: Candidate, dtype: str, on_progress: Callable[[str, str], None] = lambda *_: None
) -> Record:
    """Walk the small world in one dtype."""
    start = time.monotonic()
    found = walk_small_world(candidate, dtype, on_progress)
    return _record(plan, SMALL_WORLD, SMALL_WORLD_CLAIM, dtype, found, start)


def walk_small_world(
    candidate: Candidate,
    dtype: str,
    on_progress: Callable[[str, str], None] = lambda *_: None,
    only: Callable[[Case], bool] = lambda _: True,
) -> Found:
    """Walk the small world in one dtype, or `only` some of it. A failure is told as a case of `mask_decoding`."""
    failure, walked = None, 0
    for world in filter(only, worlds(candidate.features, dtype, candidate.limits)):
        walked += world.batch
        try:
            smallest = smallest_failure(candidate, world)
            failure = None if smallest is None else try_case(CHECKS["mask_decoding"], candidate, smallest).failure
        except LOST:
            failure = try_case(CHECKS["mask_decoding"], candidate, world).failure
        on_progress(SMALL_WORLD, dtype)
        if failure is not None:
            break
    return Found(walked, failure=failure, histogram=[])


def run_second_process(plan: Plan, candidate: RemoteRunner, past: Memory) -> Iterator[Record]:
    """Ask a new process what the first was asked, in another order: a record for each dtype."""
    ask_something(plan, candidate, past)
    candidate.close()
    for dtype in plan.dtypes:
        start = time.monotonic()
        calls = past.of(dtype)
        check = second_process(calls)
        tried = try_case(check, candidate, None, lambda asked, _: asked)
        found = Found(len(calls), tried.worst, tried.failure, histogram=[])
        yield _record(plan, check.name, check.claim, dtype, found, start)


def ask_something(plan: Plan, candidate: RemoteRunner, past: Memory) -> None:
    """A small call in every dtype of which no call is remembered, for the second process to be asked."""
    for dtype in plan.dtypes:
        if not past.of(dtype):
            source = RandomChoices(random.Random(f"{plan.seed} {dtype}"))
            inputs = choose_case(source, dtype, candidate.features, TINY, candidate.limits).inputs()
            with contextlib.suppress(*LOST):  # one that cannot do it has no calls, and is told so
                candidate.call(inputs.arrays, inputs.options, dtype)


def reproduce(line: dict[str, Any], target: str, candidate: Candidate, device: str = "cpu") -> Record:
    """Run one check on one case again, as a record's line `{"check": ..., "case": {...}}` says.

    Raises:
        ValueError: no such check for this target, no such case, or one that the check makes no claim about.
    """
    check, case = check_and_case(line, candidate.features)
    name = line["check"]
    plan = Plan(target, (case.dtype,), 1, (), (name,), device, case.seed)
    start = time.monotonic()
    return _record(plan, name, check.claim, case.dtype, Found.of(case, try_case(check, candidate, case)), start)


def check_and_case(line: dict[str, Any], features: Collection[str]) -> tuple[Check, Case]:
    """What `{"check": ..., "case": {...}}` means for a target of these features. ValueError as of `reproduce`."""
    if set(line) != {"check", "case"}:
        raise ValueError(f'case: expected {{"check": NAME, "case": {{...}}}}, got the keys {sorted(line)}')
    name = line["check"]
    known = [*CHECKS, SMALL_WORLD]
    if name not in known:
        raise ValueError(f"check: expected one of {', '.join(known)}, got {name!r}")
    check, case = CHECKS["mask_decoding" if name == SMALL_WORLD else name], Case.from_dict(line["case"])
    if not check.applies_to(features):
        needed = ", ".join(sorted(check.needs - set(features)))
        raise ValueError(f"check: expected one that applies to the target, got {name}, which needs {needed}")
    check.structure.check(case)
    try:
        _ = case.inputs().arguments
    except TypeError as error:  # a field that the contract does not allow, told as the contract tells it
        raise ValueError(str(error)) from error
    return check, case


def _record(
    plan: Plan, name: str, claim: str, dtype: str, found: Found, start: float,
    begins: Callable[[Failure], str] = lambda _: "",
) -> Record:  # fmt: skip
    failure = found.failure
    beginning = begins(failure) if failure else ""
    return Record(
        suite="operator",
        check=name,
        claim=claim,
        target=plan.target,
        dtype=dtype,
        device=plan.device,
        status=found.status,
        cases=found.cases,
        seconds=round(time.monotonic() - start, 3),
        worst=found.worst,
        seed=None if plan.gate else plan.seed,
        case=failure.case.to_dict() if failure and failure.case else None,
        message=f"{found.message} ({beginning})" if beginning else found.message,
        verdict=failure.verdict.to_dict() if failure and failure.verdict else None,
        worst_case=found.worst_case.to_dict() if found.worst_case else None,
        histogram=tuple(found.histogram),
        skipped=found.skipped,
        called=failure.called if failure else (),
    )

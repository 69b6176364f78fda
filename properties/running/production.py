"""Leads a target through shapes with one check, from the cheapest on, and makes what fails smaller."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from trueband.properties.candidate.guard import Guard, half_of_memory
from trueband.properties.candidate.probe import Candidate, Probe
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.combinations import any_row, combined_case, design
from trueband.properties.cases.extended_combinations import extended_case, extended_design
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.production import BUDGETS, any_shape
from trueband.properties.cases.shapes import Shape
from trueband.properties.cases.strategies import COMBINED, DENSE, EXTENDED, dressed
from trueband.properties.cases.ways import DIGITS, plainer
from trueband.properties.cases.windows import widest
from trueband.properties.checks.check import Check
from trueband.properties.running.boundary import smallest
from trueband.properties.running.search import SHRINK_SECONDS, SHRUNK, Failure, Found, Tried, suits, try_case

# Tokens of the dense cases, powers of two: what is lost from tile to tile shows in narrow formats, with many tiles.
DENSE_TOKENS = {"bfloat16": 2048, "float16": 2048}
FEWER_TOKENS, DENSE_HEAD_DIM = 512, 16
TOO_MUCH = ("timeout", "out of memory")


def guard_of(tier: str) -> Guard:
    """For one check in one dtype."""
    return Guard(BUDGETS[tier].seconds, BUDGETS[tier].total, half_of_memory())


def production_case(
    check: Check,
    dtype: str,
    features: Collection[str],
    limits: Limits,
    shapes: Sequence[Shape],
    number: int,
    seed: int,
    tier: str,
) -> Case:
    """Case `number` of a check: of the shapes first, or of the combinations, then of others around them."""
    told = f"{seed} {check.name} {dtype} {number}"
    choices = RandomChoices(random.Random(told))
    if check.structure.production == COMBINED:
        gradients = "backward" in check.needs
        rows = design(features, limits, gradients, tier)
        row = rows[number] if number < len(rows) else any_row(features, limits, gradients, tier, told)
        return combined_case(row, features, limits, dtype, told)
    if check.structure.production == EXTENDED:
        extended = extended_design(features, limits)
        return extended_case(extended[number % len(extended)], features, limits, dtype, told)
    if check.structure.production == DENSE:
        tokens = DENSE_TOKENS.get(dtype, FEWER_TOKENS)
        bare = Case(tokens, tokens, DENSE_HEAD_DIM, dtype=dtype)
        return limits.fitted(dressed(choices, bare, features, check.structure))
    shape = shapes[number] if number < len(shapes) else any_shape(choices, tier, limits)
    batch, heads = max(shape.batch, check.structure.batch[0]), max(shape.heads, check.structure.heads[0])
    bare = Case(shape.tokens, shape.window, shape.head_dim, batch, heads, dtype=dtype)
    return limits.fitted(dressed(choices, bare, features, check.structure))


def walk(
    check: Check,
    candidate: Candidate,
    cases: Iterable[Case],
    guard: Guard,
    demanded: int = 0,
    on_case: Callable[[], None] = lambda: None,
    shrink: bool = True,
) -> Found:
    """Try a check on cases until one fails, then find the smallest such case unless told not to.

    Args:
        demanded: so many of the cases, from the first on, must be done: what is too much for the target fails.
    """
    found = Found()
    for number, case in enumerate(cases):
        tried = asked(check, candidate, case, guard, number < demanded)
        if tried is None:
            continue
        found.tell(case, tried)
        on_case()
        if tried.failure is not None:
            found.failed_at = time.process_time()
            found.failure = made_smaller(check, candidate, tried.failure) if shrink else tried.failure
            break
    return found


def asked(check: Check, candidate: Candidate, case: Case, guard: Guard, demanded: bool = False) -> Tried | None:
    """What trying a case gave. None: it is too much for the target and was left out, which `covered` tells.

    Args:
        demanded: it must be done: what is too much for the target is a failure.
    """
    why = "" if demanded else guard.against(case)
    if not why:
        start = time.monotonic()
        tried, seconds, grown = _measured(check, candidate, case)
        if tried.failure is None and guard.minds(seconds, grown):  # a first call may compile, or import
            tried, *again = _measured(check, candidate, case)
            seconds, grown = min(seconds, again[0]), min(grown, again[1])
        failure = tried.failure
        why = failure.message if failure is not None and failure.status in TOO_MUCH else ""
        guard.tell(case, seconds, grown, why)
        guard.spent += time.monotonic() - start
        if demanded or not why:
            return tried
    candidate.covered.leave_out(shape_of(case), why)
    return None


def _measured(check: Check, candidate: Candidate, case: Case) -> tuple[Tried, float, float]:
    """What trying a case gave, the seconds of its slowest call, and the mebibytes that the target's process grew by."""
    candidate.slowest, before = 0.0, candidate.memory(begin=True)
    tried = try_case(check, candidate, case, Probe)
    return tried, candidate.slowest, candidate.memory() - before if before else 0.0  # a new process has all to grow


def made_smaller(check: Check, candidate: Candidate, failure: Failure) -> Failure:
    """The failure of the smallest case that fails in the same way; itself, where each try costs a new process."""
    if failure.status not in SHRUNK:
        return failure
    case, fails = failure.case, failing(check, candidate, failure.status)
    for name in DIGITS if check.structure.production in (COMBINED, EXTENDED) else ():
        plain = plainer(case, name)
        case = plain if plain != case and fails(plain) else case
    case = smallest(case, fails, candidate.limits, SHRINK_SECONDS)
    return try_case(check, candidate, case, Probe).failure or failure


def failing(check: Check, candidate: Candidate, status: str) -> Callable[[Case], bool]:
    """Whether a case breaks a claim in the same way."""

    def fails(case: Case) -> bool:
        if not suits(check, case):
            return False
        failure = try_case(check, candidate, case, Probe).failure
        return failure is not None and failure.status == status

    return fails


def shape_of(case: Case) -> Shape:
    """The sizes of a case."""
    return Shape(case.tokens, widest(case.window, case.tokens), case.heads, case.head_dim, case.batch)

"""Leads a target through shapes with one check, from the cheapest on, and makes what fails smaller."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from trueband.properties.boundary import smallest
from trueband.properties.case import Case
from trueband.properties.choices import RandomChoices
from trueband.properties.limits import Limits
from trueband.properties.probe import Probe
from trueband.properties.production.guard import Guard
from trueband.properties.production.plans import any_shape
from trueband.properties.production.shapes import Shape
from trueband.properties.search import SHRINK_SECONDS, SHRUNK, Found, suits, try_case
from trueband.properties.strategies import dressed

TOO_MUCH = ("timeout", "out of memory")


def production_case(
    check: Any, dtype: str, features: Collection[str], limits: Limits, shapes: Sequence[Shape], number: int, seed: int,
    tier: str,
) -> Case:  # fmt: skip
    """Case `number` of a check: of the shapes first, then of others around them."""
    choices = RandomChoices(random.Random(f"{seed} {check.name} {dtype} {number}"))
    shape = shapes[number] if number < len(shapes) else any_shape(choices, tier, limits)
    batch = max(shape.batch, check.structure.batch[0])
    bare = Case(shape.tokens, shape.window, shape.head_dim, batch, shape.heads, dtype=dtype)
    return limits.fitted(dressed(choices, bare, features, check.structure))


def walk(
    check: Any,
    candidate: Any,
    cases: Sequence[Case],
    guard: Guard,
    demanded: int = 0,
    on_case: Callable[[], None] = lambda: None,
) -> Found:
    """Try a check on cases until one fails, and find the smallest such case.

    Args:
        demanded: so many of the cases, from the first on, must be done: what is too much for the target fails.
    """
    found = Found()
    for number, case in enumerate(cases):
        why = "" if number < demanded else guard.against(case)
        if why:
            candidate.covered.leave_out(shape_of(case), why)
            continue
        tried = timed(check, candidate, case, guard)
        failure = tried.failure
        if failure is not None and failure.status in TOO_MUCH and number >= demanded:
            candidate.covered.leave_out(shape_of(case), failure.message)
            guard.tell(case, float("inf"), 0.0)
            continue
        found.tell(case, tried)
        on_case()
        if failure is None:
            continue
        found.failed_at = time.process_time()
        found.failure = failure
        if failure.status in SHRUNK:
            fails = failing(check, candidate, failure.status)
            small = smallest(case, fails, candidate.limits, SHRINK_SECONDS)
            found.failure = try_case(check, candidate, small, Probe).failure or failure
        break
    return found


def timed(check: Any, candidate: Any, case: Case, guard: Guard) -> Any:
    """Try a case; the guard is told what it took."""
    candidate.slowest = 0.0
    before = candidate.memory()
    tried = try_case(check, candidate, case, Probe)
    guard.tell(case, candidate.slowest, candidate.memory() - before)
    return tried


def failing(check: Any, candidate: Any, status: str) -> Callable[[Case], bool]:
    """Whether a case breaks a claim in the same way."""

    def fails(case: Case) -> bool:
        if not suits(check, case):
            return False
        failure = try_case(check, candidate, case, Probe).failure
        return failure is not None and failure.status == status

    return fails


def shape_of(case: Case) -> Shape:
    """The sizes of a case."""
    return Shape(case.tokens, case.window, case.heads, case.head_dim, case.batch)

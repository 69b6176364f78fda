"""The engine: the checks that apply to a target, one after the other, each giving a record."""

from __future__ import annotations

import contextlib
import random
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from trueband.properties.candidate.errors import FAILED, CandidateEnded
from trueband.properties.candidate.probe import Candidate, Probe
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.strategies import Structure, cases, choose_case
from trueband.properties.checks import CHECKS, Check
from trueband.properties.results.record import Record
from trueband.properties.running.boundary import boundaries
from trueband.properties.running.plan import NIGHTLY, SMALL_WORLD, SMALL_WORLD_CLAIM, Plan, Step, steps, walked
from trueband.properties.running.production import failing, guard_of, production_case, walk
from trueband.properties.running.search import SHRUNK, Failure, Found, own_error, search, try_case
from trueband.properties.running.second_process import NAME as SECOND_PROCESS
from trueband.properties.running.second_process import Memory, second_process
from trueband.properties.running.small_world import row_of, smallest_failure, worlds

SMALL = 8  # tokens of a case that one can read
TINY = Structure(without=frozenset({"globals"}), tokens=(1, 4), long=False, batch=(1, 1), heads=(1, 1))
SMALL_AGAIN = 300  # small cases that are tried where only a large one has failed


def run(
    plan: Plan, candidate: Candidate, on_progress: Callable[[str, str], None] = lambda *_: None
) -> Iterator[Record]:
    """Run a plan, one record for each check and dtype. `on_progress(check, dtype)` is called after every case."""
    past = remember(plan, candidate)
    for step in steps(plan):
        yield run_step(plan, step, candidate, on_progress, past)


def remember(plan: Plan, candidate: Candidate) -> Memory:
    """Where the calls of a run are kept that a gate asks a second process for, from now on."""
    past = Memory()
    if isinstance(candidate, RemoteRunner):
        candidate.gate = plan.gate
        if plan.gate:
            candidate.on_call = past.add
    return past


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
    every, demanded_first = plan.to_walk, plan.demanded(check)
    numbers = range(examples) if plan.tier == NIGHTLY else walked(plan, dtype, check)
    drawn = [
        production_case(check, dtype, candidate.features, candidate.limits, every, number, plan.seed, plan.tier)
        for number in numbers
    ]
    guard = guard_of(plan.tier)
    found = walk(check, candidate, drawn, guard, demanded_first, lambda: on_progress(check.name, dtype))
    record = _record(plan, check.name, check.claim, dtype, found, start, partial(where_it_begins, check, candidate))
    # A gate skips nothing: there a check without a case is a failure, see `manifest`.
    if record.passed and not record.cases and drawn and not plan.gate:
        why = guard.against(drawn[0])
        return replace(record, status="not asked", message=f"each of its {len(drawn)} shapes was left out: {why}")
    return record


def run_step(
    plan: Plan,
    step: Step,
    candidate: Candidate,
    on_progress: Callable[[str, str], None] = lambda *_: None,
    past: Memory | None = None,
) -> Record:
    """One step of a plan. Its record depends on nothing that ran before, but that of a second process on `past`."""
    if step.check == SECOND_PROCESS:
        return run_second_process(plan, candidate, past or Memory(), step.dtype)
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
        found += search(check, candidate, strategy, max(left, 1), seed, Probe, lambda: on_progress(check.name, dtype))
        if found.failure is not None and found.failure.case.tokens <= SMALL:
            break
    if found.failure is not None and found.failure.status in SHRUNK:
        found.failure = alone(found.failure, check, candidate)
    return _record(plan, check.name, check.claim, dtype, found, start, partial(where_it_begins, check, candidate))


def alone(failure: Failure, check: Check, candidate: Candidate) -> Failure:
    """The failure of one row of the batch by itself, if there is one of the same kind."""
    for row in range(failure.case.batch if failure.case.batch > max(check.structure.batch[0], 1) else 0):
        tried = try_case(check, candidate, row_of(failure.case, row), Probe).failure
        if tried is not None and tried.status == failure.status:
            return tried
    return failure


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
            failure = (
                None if smallest is None else try_case(CHECKS["mask_decoding"], candidate, smallest, Probe).failure
            )
        except CandidateEnded:
            failure = try_case(CHECKS["mask_decoding"], candidate, world, Probe).failure
        except Exception as error:
            failure = Failure(world, FAILED, own_error(error))
        on_progress(SMALL_WORLD, dtype)
        if failure is not None:
            break
    return Found(walked, failure=failure, histogram=[])


def run_second_process(plan: Plan, candidate: Any, past: Memory, dtype: str) -> Record:
    """Ask a new process what the first was asked in a dtype, in another order."""
    start = time.monotonic()
    if not past.of(dtype):
        ask_something(plan, candidate, dtype)
    calls, candidate.on_call = past.of(dtype), lambda _: None
    if past.begin_second():
        candidate.close()
    check = second_process(calls)
    tried = try_case(check, candidate, None, lambda asked, _: asked)
    candidate.on_call = past.add
    return _record(
        plan, check.name, check.claim, dtype, Found(len(calls), tried.worst, tried.failure, histogram=[]), start
    )


def ask_something(plan: Plan, candidate: Candidate, dtype: str) -> None:
    """A small call of a dtype of which no call is remembered, for the second process to be asked."""
    source = RandomChoices(random.Random(f"{plan.seed} {dtype}"))
    inputs = choose_case(source, dtype, candidate.features, TINY, candidate.limits).inputs()
    with contextlib.suppress(CandidateEnded):  # one that cannot do it has no calls, and is told so
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
    return _record(plan, name, check.claim, case.dtype, Found.of(case, try_case(check, candidate, case, Probe)), start)


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
    plan: Plan,
    name: str,
    claim: str,
    dtype: str,
    found: Found,
    start: float,
    begins: Callable[[Failure], str] = lambda _: "",
) -> Record:
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
        traceback=failure.traceback if failure else "",
        printed=failure.printed if failure else "",
    )

"""The engine: the checks that apply to a target, one after the other, each giving a record."""

from __future__ import annotations

import fnmatch
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from trueband.properties.checks import CHECKS, Check
from trueband.properties.probe import Candidate
from trueband.properties.record import Record
from trueband.properties.remote import (
    CandidateCheating,
    CandidateCrash,
    CandidateExhausted,
    CandidateTimeout,
    RemoteRunner,
)
from trueband.properties.runner import CandidateError
from trueband.properties.search import SHRUNK, Failure, search, try_case
from trueband.properties.second_process import Memory, second_process
from trueband.properties.small_world import smallest_failure, worlds
from trueband.properties.strategies import cases

# Cases for each dtype, and whether every dtype walks the small world or only the first.
TIERS: dict[str, tuple[int, bool]] = {"quick": (1_500, False), "full": (10_000, True), "nightly": (100_000, True)}
SMALL_WORLD = "small_world"
SMALL_WORLD_CLAIM = "every length up to 6, window up to 3 and pattern of padded and global tokens decodes exactly"
LEAST_CASES = 6
SMALL = 8  # tokens of a case that one can read


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
    """

    target: str
    dtypes: tuple[str, ...]
    cases: int
    small_world_dtypes: tuple[str, ...]
    checks: tuple[str, ...]
    device: str = "cpu"
    seed: int = 0
    gate: bool = False


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
    weights = {name: CHECKS[name].weight for name in plan.checks if name in CHECKS}
    for dtype in plan.dtypes:
        for name in plan.checks:
            if name == SMALL_WORLD:
                if dtype in plan.small_world_dtypes:
                    yield run_small_world(plan, candidate, dtype, on_progress)
                continue
            share = round(plan.cases * weights[name] / sum(weights.values()))
            yield run_check(plan, CHECKS[name], candidate, dtype, max(share, LEAST_CASES), on_progress)
    if plan.gate and isinstance(candidate, RemoteRunner):
        yield from run_second_process(plan, candidate, past)


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
    small = cases(dtype, candidate.features, check.structure.at_most(SMALL), candidate.least_window)
    every = cases(dtype, candidate.features, check.structure, candidate.least_window)
    tried, worst, failure = 0, 0.0, None
    # Small cases first; and where only a large one fails, small ones once more, for a counterexample one can read.
    for phase, strategy, share in (
        ("small", small, examples // 3),
        ("any", every, examples),
        ("small again", small, 300),
    ):
        if share == 0 or (phase == "small again" and (failure is None or failure.status not in SHRUNK)):
            continue
        seed = zlib.crc32(f"{plan.seed} {check.name} {dtype} {phase}".encode())
        left = share - tried if phase == "any" else share
        found = search(check, candidate, strategy, max(left, 1), seed, lambda: on_progress(check.name, dtype))
        tried, worst, failure = tried + found.cases, max(worst, found.worst), found.failure or failure
        if failure is not None and failure.case.tokens <= SMALL:
            break
    return _record(plan, check.name, check.claim, dtype, tried, start, worst, failure)


def run_small_world(
    plan: Plan, candidate: Candidate, dtype: str, on_progress: Callable[[str, str], None] = lambda *_: None
) -> Record:
    """Walk the small world in one dtype. A failure is reported as a case of the check `mask_decoding`."""
    start = time.monotonic()
    failure, walked = None, 0
    for world in worlds(candidate.features, dtype, candidate.least_window):
        walked += world.batch
        try:
            smallest = smallest_failure(candidate, world)
            failure = None if smallest is None else try_case(CHECKS["mask_decoding"], candidate, smallest)[0]
        except (CandidateError, CandidateCheating, CandidateCrash, CandidateExhausted, CandidateTimeout):
            failure = try_case(CHECKS["mask_decoding"], candidate, world)[0]
        on_progress(SMALL_WORLD, dtype)
        if failure is not None:
            break
    return _record(plan, SMALL_WORLD, SMALL_WORLD_CLAIM, dtype, walked, start, 0.0, failure)


def run_second_process(plan: Plan, candidate: RemoteRunner, past: Memory) -> Iterator[Record]:
    """Ask a new process what the first was asked, in another order: a record for each dtype."""
    candidate.close()
    for dtype in plan.dtypes:
        start = time.monotonic()
        calls = past.of(dtype)
        check = second_process(calls)
        failure, worst = try_case(check, candidate, None, lambda asked, _: asked)
        yield _record(plan, check.name, check.claim, dtype, len(calls), start, worst, failure)


def reproduce(line: dict[str, Any], target: str, candidate: Candidate, device: str = "cpu") -> Record:
    """Run one check on one case again, as a record's line `{"check": ..., "case": {...}}` says.

    Raises:
        ValueError: no such check, or no such case.
    """
    from trueband.properties.case import Case

    if set(line) != {"check", "case"}:
        raise ValueError(f'case: expected {{"check": NAME, "case": {{...}}}}, got the keys {sorted(line)}')
    name = line["check"]
    known = [*CHECKS, SMALL_WORLD]
    if name not in known:
        raise ValueError(f"check: expected one of {', '.join(known)}, got {name!r}")
    check, case = CHECKS["mask_decoding" if name == SMALL_WORLD else name], Case.from_dict(line["case"])
    plan = Plan(target, (case.dtype,), 1, (), (name,), device, case.seed)
    start = time.monotonic()
    failure, worst = try_case(check, candidate, case)
    return _record(plan, name, check.claim, case.dtype, 1, start, worst, failure)


def _record(
    plan: Plan, name: str, claim: str, dtype: str, tried: int, start: float, worst: float, failure: Failure | None
) -> Record:
    verdict = failure.verdict.to_dict() if failure and failure.verdict else None
    return Record(
        suite="operator",
        check=name,
        claim=claim,
        target=plan.target,
        dtype=dtype,
        device=plan.device,
        status=failure.status if failure else "passed",
        cases=tried,
        seconds=round(time.monotonic() - start, 3),
        worst=worst,
        seed=None if plan.gate else plan.seed,
        case=failure.case.to_dict() if failure and failure.case else None,
        message=failure.message if failure else "",
        verdict=verdict,
    )

"""A campaign: very many cases of every check, in blocks that can be spread over machines, interrupted and continued.

Case number i of a check and dtype depends on the seed of the campaign and on i alone, so that every machine knows the
same list of cases without running it. The seed of the case's numbers holds i: no case of a check occurs twice. A case
belongs to one shard, by the hash of its id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from trueband.properties.candidate.probe import Candidate, Probe
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.strategies import NO_LIMITS, cases, choose_case
from trueband.properties.checks import CHECKS
from trueband.properties.results.histogram import BINS, add
from trueband.properties.results.record import Record
from trueband.properties.running.engine import SMALL, SMALL_AGAIN, walk_small_world
from trueband.properties.running.plan import SMALL_WORLD, SMALL_WORLD_CLAIM, Plan, Step, steps
from trueband.properties.running.production import asked, guard_of, made_smaller, production_case
from trueband.properties.running.search import SHRUNK, Failure, Found, search
from trueband.properties.running.small_world import worlds

BLOCK = 500  # cases: what an interrupt may lose
SMALL_EVERY = 3  # every third case is small
SEEDS = 10**9  # case numbers of one seed

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Shard:
    """The part of a campaign that one machine runs.

    Attributes:
        index, count: part `index` (from 1) of `count`.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(f"shard: expected i/N with 1 <= i <= N, got {self}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of "2/3". ValueError if it is something else."""
        parts = text.split("/")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise ValueError(f"shard: expected i/N such as 1/4, got {text!r}")
        return cls(int(parts[0]), int(parts[1]))

    def has(self, case: Case) -> bool:
        """Whether the case is of this shard: its id is a hash, which is read as a number."""
        return int(case.id, 16) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class Block:
    """What became of one block of cases of one check in one dtype, in one shard.

    Attributes:
        check, dtype, number: which block.
        total: cases of the block, those of all shards.
        digest: of the ids of all these cases, the same in every shard.
        cases: run in this shard.
        alarms: of them, that failed.
        seconds: they took.
        worst, worst_case: largest error/bound of what passed, and its case; None where nothing had an error.
        histogram: see `trueband.properties.results.histogram`; empty for the small world.
        status, case, message, verdict, called, traceback, printed: of the smallest failure, as in a `Record`.
    """

    check: str
    dtype: str
    number: int
    total: int
    digest: str
    cases: int
    alarms: int
    seconds: float
    worst: float = 0.0
    worst_case: dict[str, Any] | None = None
    histogram: tuple[int, ...] = ()
    status: str = "passed"
    case: dict[str, Any] | None = None
    message: str = ""
    verdict: dict[str, Any] | None = None
    called: tuple[dict[str, Any], ...] = ()
    traceback: str = ""
    printed: str = ""

    @property
    def key(self) -> tuple[str, str, int]:
        return self.check, self.dtype, self.number

    def to_dict(self) -> dict[str, Any]:
        """Fields that differ from their defaults."""
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if getattr(self, f.name) != f.default}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The block of a parsed JSON line. ValueError on missing or unknown fields, or other bins."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        needed = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
        if not needed <= set(values) <= set(fields):
            raise ValueError(f"block: expected the fields {', '.join(fields)}, got {', '.join(values)}")
        histogram = tuple(values.get("histogram", ()))
        if histogram and len(histogram) != BINS:
            raise ValueError(f"block: expected a histogram of {BINS} bins, got {len(histogram)}")
        return cls(**{**values, "histogram": histogram, "called": tuple(values.get("called", ()))})

    @property
    def outcome(self) -> tuple[Any, ...]:
        """What must be the same if the block is run again: all but the time, and what the kernel printed."""
        return dataclasses.astuple(dataclasses.replace(self, seconds=0.0, traceback="", printed=""))


def case_of(plan: Plan, step: Step, features: Collection[str], number: int, limits: Limits = NO_LIMITS) -> Case:
    """Case `number` (from 0) of a check and dtype."""
    structure = CHECKS[step.check].structure
    if structure.production:
        every = plan.to_walk
        return production_case(CHECKS[step.check], step.dtype, features, limits, every, number, plan.seed, plan.tier)
    if number % SMALL_EVERY == 0:
        structure = structure.at_most(SMALL)
    source = RandomChoices(random.Random(f"{plan.seed} {step.check} {step.dtype} {number}"))
    case = choose_case(source, step.dtype, features, structure, limits)
    return case.replace(seed=plan.seed * SEEDS + number)


def block_keys(plan: Plan) -> list[tuple[str, str, int]]:
    """All blocks of a campaign: the first of every check, in every dtype, then the second, and so on."""
    numbered = [(number, step) for step in steps(plan) for number in range(max(-(-step.examples // BLOCK), 1))]
    order = sorted(numbered, key=lambda each: (each[0], plan.checks.index(each[1].check)))
    return [(step.check, step.dtype, number) for number, step in order]


def run_campaign(
    plan: Plan,
    candidate: Candidate,
    shard: Shard = Shard(),
    done: Collection[Block] = (),
    on_progress: Progress = lambda *_: None,
    known: Mapping[tuple[str, str], Case] = {},
) -> Iterator[Block]:
    """Run the blocks that are not done. A check and dtype with an alarm ends with the block of the alarm.

    Args:
        known: failing cases by (check, dtype), the first cases of the first block.

    Raises:
        ValueError: the seed is negative, or there are more cases than numbers for them.
    """
    if plan.seed < 0 or plan.cases > SEEDS:
        raise ValueError(f"seed: expected a seed >= 0 and at most {SEEDS} cases, got {plan.seed} and {plan.cases}")
    alarms = first_alarms(done)
    for key in left(plan, done):
        if beyond(key, alarms):
            continue
        block = run_block(plan, candidate, key, shard, on_progress, known)
        if block.status != "passed":
            alarms[key[:2]] = block.number
        yield block


def run_block(
    plan: Plan,
    candidate: Candidate,
    key: tuple[str, str, int],
    shard: Shard = Shard(),
    on_progress: Progress = lambda *_: None,
    known: Mapping[tuple[str, str], Case] = {},
) -> Block:
    """Run one block of those that `block_keys` lists; arguments as of `run_campaign`. It depends on no other."""
    check, dtype, number = key
    step = next(step for step in steps(plan) if (step.check, step.dtype) == (check, dtype))
    if check == SMALL_WORLD:
        return _small_world_block(plan, step, number, candidate, shard, on_progress)
    first = [known[check, dtype]] if number == 0 and (check, dtype) in known else []
    return _random_block(plan, step, number, candidate, shard, on_progress, first)


def left(plan: Plan, done: Collection[Block]) -> list[tuple[str, str, int]]:
    """The blocks of a campaign that are to be run, in order, if these are done.

    Raises:
        ValueError: the seed is negative, or there are more cases than numbers for them.
    """
    if plan.seed < 0 or plan.cases > SEEDS:
        raise ValueError(f"seed: expected a seed >= 0 and at most {SEEDS} cases, got {plan.seed} and {plan.cases}")
    finished, alarms = {block.key for block in done}, first_alarms(done)
    return [key for key in block_keys(plan) if key not in finished and not beyond(key, alarms)]


def first_alarms(blocks: Iterable[Block]) -> dict[tuple[str, str], int]:
    """The number of the first block with an alarm, of every check and dtype that has one."""
    alarms: dict[tuple[str, str], int] = {}
    for block in blocks:
        if block.status != "passed":
            alarms[block.check, block.dtype] = min(block.number, alarms.get((block.check, block.dtype), block.number))
    return alarms


def beyond(key: tuple[str, str, int], alarms: Mapping[tuple[str, str], int]) -> bool:
    """Whether a check and dtype has ended before this block."""
    return key[2] > alarms.get(key[:2], key[2])


def counted(plan: Plan, blocks: Iterable[Block]) -> list[Block]:
    """What counts of the blocks of one shard, in the order of `block_keys`, however they were run.

    Where several run at once, one may finish beyond the alarm that ends its check and dtype.
    """
    by_key = {block.key: block for block in blocks}
    alarms = first_alarms(by_key.values())
    order = sorted(by_key, key=lambda key: (key[2], plan.checks.index(key[0]), plan.dtypes.index(key[1])))
    return [by_key[key] for key in order if not beyond(key, alarms)]


def _random_block(
    plan: Plan,
    step: Step,
    number: int,
    candidate: Candidate,
    shard: Shard,
    on_progress: Progress,
    first: Sequence[Case],
) -> Block:
    start = time.monotonic()
    check, found, smallest, alarms = CHECKS[step.check], Found(), None, 0
    numbers = range(number * BLOCK, min((number + 1) * BLOCK, step.examples))
    of_production = check.structure.production
    drawn = [*first, *(case_of(plan, step, candidate.features, each, candidate.limits) for each in numbers)]
    must = len(first) + sum(each < plan.demanded(check) for each in numbers) if of_production else len(drawn)
    guard = guard_of(plan.tier)
    for place, case in enumerate(drawn):
        if not shard.has(case):
            continue
        tried = asked(check, candidate, case, guard, place < must)
        if tried is None:
            continue
        failure = tried.failure
        found += dataclasses.replace(Found.of(case, tried), failure=None)
        on_progress(step.check, step.dtype)
        if failure is None:
            continue
        alarms += 1
        if smallest is None or case.tokens < smallest.case.tokens:
            smallest = failure
        if failure.status not in SHRUNK:
            break  # each costs a new process
    if smallest is not None and of_production:
        smallest = made_smaller(check, candidate, smallest)
    elif smallest is not None and smallest.status in SHRUNK and smallest.case.tokens > SMALL:
        small = cases(step.dtype, candidate.features, check.structure.at_most(SMALL), candidate.limits)
        smallest = search(check, candidate, small, SMALL_AGAIN, plan.seed, Probe).failure or smallest
    return _block(step, number, len(drawn), drawn, found, alarms, start, smallest)


def _small_world_block(
    plan: Plan, step: Step, number: int, candidate: Candidate, shard: Shard, on_progress: Progress
) -> Block:
    start = time.monotonic()
    walk = list(worlds(candidate.features, step.dtype, candidate.limits))
    found = walk_small_world(candidate, step.dtype, on_progress, shard.has)
    total, failure = sum(world.batch for world in walk), found.failure
    return _block(step, number, total, walk, found, int(failure is not None), start, failure)


def _block(
    step: Step,
    number: int,
    total: int,
    drawn: Iterable[Case],
    found: Found,
    alarms: int,
    start: float,
    failure: Failure | None,
) -> Block:
    return Block(
        check=step.check,
        dtype=step.dtype,
        number=number,
        total=total,
        digest=hashlib.sha256(" ".join(case.id for case in drawn).encode()).hexdigest()[:16],
        cases=found.cases,
        alarms=alarms,
        seconds=round(time.monotonic() - start, 3),
        worst=found.worst,
        worst_case=found.worst_case.to_dict() if found.worst_case else None,
        histogram=tuple(found.histogram),
        status=failure.status if failure else "passed",
        case=failure.case.to_dict() if failure else None,
        message=failure.message if failure else "",
        verdict=failure.verdict.to_dict() if failure and failure.verdict else None,
        called=failure.called if failure else (),
        traceback=failure.traceback if failure else "",
        printed=failure.printed if failure else "",
    )


def sum_blocks(blocks: Iterable[Block], target: str, device: str, seed: int) -> list[Record]:
    """One record for each check and dtype."""
    groups: dict[tuple[str, str], list[Block]] = {}
    for block in blocks:
        groups.setdefault((block.check, block.dtype), []).append(block)
    records = []
    for (check, dtype), group in groups.items():
        failed = min(
            (b for b in group if b.status != "passed"), key=lambda b: (b.case or {}).get("tokens", 0), default=None
        )
        worst = max(group, key=lambda block: block.worst)
        histogram = tuple(add(block.histogram for block in group)) if any(b.histogram for b in group) else ()
        records.append(
            Record(
                suite="operator",
                check=check,
                claim=SMALL_WORLD_CLAIM if check == SMALL_WORLD else CHECKS[check].claim,
                target=target,
                dtype=dtype,
                device=device,
                status=failed.status if failed else "passed",
                cases=sum(block.cases for block in group),
                seconds=round(sum(block.seconds for block in group), 3),
                worst=worst.worst,
                seed=seed,
                case=failed.case if failed else None,
                message=failed.message if failed else "",
                verdict=failed.verdict if failed else None,
                worst_case=worst.worst_case,
                histogram=histogram,
                called=failed.called if failed else (),
                traceback=failed.traceback if failed else "",
                printed=failed.printed if failed else "",
            )
        )
    return records

"""A plan: which checks a target is asked, in which dtypes, on how many cases. All fronts take their steps from here."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trueband.properties.bounds.precision import DTYPES
from trueband.properties.cases.combinations import design, ordinary
from trueband.properties.cases.extended_combinations import extended_design
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.production import BUDGETS, shapes
from trueband.properties.cases.shapes import Shape, demanded
from trueband.properties.cases.strategies import COMBINED, DENSE, EXTENDED, NO_LIMITS, SHAPES
from trueband.properties.checks import CHECKS, Check
from trueband.properties.running.second_process import KEPT
from trueband.properties.running.second_process import NAME as SECOND_PROCESS

# Cases for each dtype, and whether every dtype walks the small world or only the first.
TIERS: dict[str, tuple[int, bool]] = {"quick": (1_500, False), "full": (10_000, True), "nightly": (100_000, True)}
SMALL_WORLD = "small_world"
SMALL_WORLD_CLAIM = "every length up to 6, window up to 3 and pattern of padded and global tokens decodes exactly"
LEAST_CASES = 6
NIGHTLY = "nightly"
ALL_SHAPES, MOST_SHAPES = 8, 7  # weights of checks that are asked for all shapes of production, or most
FEW_SHAPES, OTHER_DTYPES = 16, 12  # for one of so many shapes; in other dtypes than the first


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
        limits, features: of the target.
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
    features: frozenset[str] = frozenset()

    @cached_property
    def to_walk(self) -> tuple[Shape, ...]:
        """Shapes of production: those that must be checked, then those of the tier."""
        return tuple(dict.fromkeys([*self.shapes, *shapes(self.tier, self.limits)]))

    def demanded(self, check: Check) -> int:
        """So many of the cases of a check, from the first on, must be done."""
        return len(self.shapes) if check.structure.production == SHAPES else 0


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
        features=frozenset(candidate.features),
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
    """Whether a name is meant by a pattern; see `select`. ValueError for one that is none."""
    if pattern is None:
        return True
    check_pattern(pattern)
    for word in pattern.split(" or "):
        negated, wanted = word.strip().startswith("not "), word.strip().removeprefix("not ").strip()
        if (wanted in name or fnmatch.fnmatch(name, wanted)) != negated:
            return True
    return False


def check_pattern(pattern: str) -> None:
    """ValueError for a pattern with words beside each other, such as "a and b"."""
    for word in pattern.split(" or "):
        if len(word.strip().removeprefix("not ").split()) != 1:
            raise ValueError(f"expected parts of names, as a, 'a or b', 'not a' or 'not a or not b', got {pattern!r}")


def steps(plan: Plan) -> list[Step]:
    """What a plan runs, in order; the second process of a gate comes last."""
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
    return [*found, *(Step(SECOND_PROCESS, dtype, KEPT) for dtype in plan.dtypes if plan.gate and found)]


def walked(plan: Plan, dtype: str, check: Check) -> list[int]:
    """Which shapes of production a check is asked for in a dtype, by their place in `to_walk`; or which combinations.

    Those that must be checked, and of the tier's: in the first dtype all, or all but most of the dear ones, or one of
    16, by the weight of the check; in the others a few. With fewer cases than the tier's, fewer in proportion.
    """
    of_tier, everywhere = TIERS[plan.tier]
    if check.structure.production == DENSE:
        return [0]
    share = min(plan.cases / of_tier, 1.0) * (1.0 if dtype == plan.dtypes[0] or everywhere else 1 / OTHER_DTYPES)
    if check.structure.production == COMBINED:
        rows = design(plan.features, plan.limits, "backward" in check.needs, plan.tier)
        several = len(rows) if share == 1 else ordinary(rows)
        return spread(0, several, max(round(several * share), LEAST_CASES))
    if check.structure.production == EXTENDED:
        count = len(extended_design(plan.features, plan.limits))
        return spread(0, count, max(round(count * share), LEAST_CASES))
    first, last = len(plan.shapes), len(plan.to_walk)
    dear = last - (last - first) // 4
    chosen = list(range(first, last))
    if check.weight < ALL_SHAPES:
        every = 8 if "backward" in check.needs else 3  # the combinations have large shapes, too
        chosen = [*range(first, dear), *range(last - 1, dear - 1, -every)[::-1]]
    share *= 1.0 if check.weight >= MOST_SHAPES else 1 / FEW_SHAPES
    if share < 1:  # what is beyond the tier's budget is for those that are asked for most
        budget = BUDGETS[plan.tier]
        chosen = [each for each in chosen if budget.holds(plan.to_walk[each])]
    count = max(round(len(chosen) * share), LEAST_CASES)
    return [*range(first), *(chosen[each] for each in spread(0, len(chosen), count))]


def spread(first: int, last: int, count: int) -> list[int]:
    """So many of the numbers from `first` to before `last`, evenly, the last one always."""
    count = max(min(count, last - first), 0)
    return [last - 1 - (each * (last - first)) // count for each in range(count)][::-1] if count else []

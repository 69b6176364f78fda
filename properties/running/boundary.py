"""Where a failure begins: a failing case made smaller, size by size, and what the next smaller size does."""

from __future__ import annotations

import time
from collections.abc import Callable

from trueband.properties.cases.case import Case
from trueband.properties.cases.limits import LEAST, Limits

ORDER = ("batch", "heads", "head_dim", "tokens", "window")
HALVED = (*ORDER, "tokens")  # a narrow window may allow a shorter sequence
# A size that is larger is told with where it begins to be wrong; smaller ones can be read off the case.
READABLE = {"batch": 2, "heads": 3, "head_dim": 4, "tokens": 12, "window": 4}
NAMES = {
    "batch": "sequences",
    "heads": "heads",
    "head_dim": "channels of a head",
    "tokens": "tokens",
    "window": "of window",
}
BLOCKS = (16, 64)  # what is wrong for parts of blocks is right for whole ones
SIMPLER = (
    {"head_mask": False},
    {"scale": None},
    {"separate_globals": False},
    {"dilation": 1},
    {"global_": None},
    {"masked": None},
    {"causal": False},
    {"softcap": None},
    {"sinks": False},
    {"slopes": False},
    {"segments": None},
    {"queries": None, "offset": 0},
    {"key_heads": None},
    {"value_dim": None},
)

Fails = Callable[[Case], bool]


def smallest(case: Case, fails: Fails, limits: Limits, seconds: float) -> Case:
    """The smallest case that fails as far as halving finds it within some seconds of processor time.

    Args:
        fails: whether a case breaks the claim, and is one that the claim is about.
        seconds: of this process.
    """
    until = time.process_time() + seconds
    for changes in SIMPLER:
        simpler = case.replace(**changes)
        if simpler != case and time.process_time() < until and fails(simpler):
            case = simpler
    for name in HALVED:
        case = _halved(case, name, fails, limits, until)
    while case.queries is not None and case.queries > 1 and time.process_time() < until:
        fewer = case.replace(queries=case.queries // 2)
        if not fails(fewer):
            break
        case = fewer
    return case


def _halved(case: Case, name: str, fails: Fails, limits: Limits, until: float) -> Case:
    """The case with the least value of a size that fails, if all from there on do."""
    passes = LEAST[name] - 1
    if not isinstance(getattr(case, name), int):
        return case
    while time.process_time() < until:
        middle = (passes + getattr(case, name)) // 2
        value = limits.fit(name, max(middle, LEAST[name]))
        if not passes < value < getattr(case, name):
            return case
        smaller = resized(case, name, value)
        if fails(smaller):
            case = smaller
        else:
            passes = value
    return case


def resized(case: Case, name: str, value: int) -> Case:
    """With another size; a sequence that has masked or global tokens keeps one."""
    other = case.with_size(name, value)
    if name != "tokens":
        return other
    kept = {}
    for field, place in (("masked", value - 1), ("global_", 0)):
        before, after = getattr(case, field), getattr(other, field)
        if before is not None:
            kept[field] = tuple(now or (place,) * bool(had) for had, now in zip(before, after, strict=True))
    return other.replace(**kept)


def boundaries(case: Case, fails: Fails, limits: Limits) -> list[str]:
    """For each size of a failing case that one cannot read at a glance, whether the next smaller one is right.

    "wrong from 9 heads on, right with 8"; where the next larger ones are right, too: "wrong with 9 heads".
    """
    told = []
    for name in ORDER:
        value = getattr(case, name)
        if not isinstance(value, int):
            continue
        smaller = _next_below(name, value, limits)
        if value <= READABLE[name] or smaller is None or fails(resized(case, name, smaller)):
            continue
        beyond = (value + 1, 2 * value, *(value // block * block + block for block in BLOCKS))
        larger = sorted({limits.fit(name, each) for each in beyond})
        right = next((each for each in larger if each > value and not fails(resized(case, name, each))), None)
        what = NAMES[name]
        if right is None:
            told.append(f"wrong from {value:,} {what} on, right with {smaller:,}")
        else:
            told.append(f"wrong with {value:,} {what}, right with {smaller:,} and {right:,}")
    return told


def _next_below(name: str, value: int, limits: Limits) -> int | None:
    """The largest size below one that a target takes, as far as a few steps find it."""
    sizes = limits.of(name)
    near = sizes.only if sizes.only is not None else range(max(value - sizes.multiple, LEAST[name]), value)
    return max((each for each in near if LEAST[name] <= each < value and sizes.takes(each)), default=None)

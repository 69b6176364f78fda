"""Combinations that production runs: sizes, masks, options and layouts, each of them small so that all meet all.

Each size alone, and the sizes of models, are walked elsewhere (`plans`). A kernel that is wrong for two things at once
(a batch and a long sequence, padding and global tokens, a window past the end) is met by a covering design of them.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.covering import Row, covering
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.ways import ALL, DIGITS, Way

SOME, WHOLE, HUGE = "some", "whole", "huge"  # windows
SIZES: dict[str, tuple[Any, ...]] = {
    "heads": (1, 2, 4, 12, 16),
    "head_dim": (8, 64, 80, 128),
    "tokens": (64, 340, 600, 1030, 2048),
    "batch": (1, 2, 3, 8),
    "window": (SOME, 0, 1, WHOLE, HUGE),
}
# What a target may have, and what of it is asked for; the first is that of a target without.
OPTIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "padding": ("padding", ("none", "right", "left", "holes")),
    "globals": ("globals", (0, 1, 7, 32)),
    "separate": ("separate_globals", (False, True)),
    "causal": ("causal", (False, True)),
    "dilation": ("dilation", (1, 2, 8)),
    "scale": ("scale", (None, 0.3, 3.0, 40.0)),
    "head_mask": ("head_mask", (False, True)),
    "layout": ("strided", DIGITS["layout"]),
    "of": ("strided", DIGITS["of"]),
}
GRADIENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "grad_layout": ("strided", DIGITS["grad_layout"]),
    "wanted": ("autograd", DIGITS["wanted"]),
}
# About each of the sizes: what is a multiple of a tile and what is not.
AROUND = {64: (64, 70), 340: (340, 352, 397), 600: (576, 600, 615), 1030: (1024, 1030, 1100), 2048: (2048, 2051)}
SOME_WINDOWS = (5, 33, 64)
HUGE_WINDOWS = (10_000, 2**15 + 5, 2**16 + 1, 2**20)
FEW = 9  # global tokens, and windows, are about as dear as the next size
MOST_NUMBERS, MOST_WORK = 2**18, 105_000_000  # of an input; pairs of row and key times channels, some more
DEARER = 1.5  # of a backward pass, as numbers go: so many fewer
MORE = 5  # times as much, for a few
MOST_LARGE = 10
GROWTH = {"quick": 1, "full": 4, "nightly": 16}  # of what is seldom allowed


@lru_cache
def _design(factors: tuple[tuple[str, tuple[Any, ...]], ...], growth: int) -> tuple[Row, ...]:
    of = dict(factors)
    least = {name: min(levels, key=_size) for name, levels in of.items() if name in SIZES}
    dearer = DEARER if "wanted" in of else 1.0
    base = max(1.0, _load(least, least))

    def allows(most: float, dearer: float) -> Any:
        return lambda row: _makes_sense(row) and _load(row, least, dearer) <= most * base

    rows = covering(of, allows(1.0, dearer), _coarse, allows(MORE * growth, 1.0), MOST_LARGE * growth)
    return tuple(sorted(rows, key=lambda row: _load(row, least)))


def design(features: Collection[str], limits: Limits, gradients: bool, tier: str = "quick") -> tuple[Row, ...]:
    """Which levels meet, for a target of these features and limits, from the cheapest row on.

    Args:
        gradients: a backward pass is asked for.
    """
    asked = OPTIONS | GRADIENTS if gradients else OPTIONS
    factors = {name: _taken(name, levels, limits) for name, levels in SIZES.items()}
    factors |= {name: levels if feature in features else levels[:1] for name, (feature, levels) in asked.items()}
    if "causal_only" in features:
        factors["causal"] = (True,)
    if limits.padding == "right":
        factors["padding"] = tuple(level for level in factors["padding"] if level in ("none", "right"))
    return _design(tuple(factors.items()), GROWTH[tier])


def ordinary(rows: Sequence[Row]) -> int:
    """How many of the rows, from the first on, cost no more than a row may in general."""
    return sum(_load(row, {}) <= 1 for row in rows) or len(rows)


def combined_case(row: Mapping[str, Any], features: Collection[str], limits: Limits, dtype: str, told: str) -> Case:
    """A case of a row.

    Args:
        told: what its numbers, and all that a row leaves open, depend on.
    """
    source = random.Random(told)
    choices = RandomChoices(source)
    tokens, batch, heads = choices.one_of(AROUND.get(row["tokens"], (row["tokens"],))), row["batch"], row["heads"]
    window = {
        SOME: choices.one_of(SOME_WINDOWS),
        WHOLE: choices.one_of((tokens - 1, tokens, tokens + 17, 2 * tokens)),
        HUGE: choices.one_of(HUGE_WINDOWS),
    }.get(row["window"], row["window"])
    dilation: int | tuple[int, ...] = row["dilation"] if row["dilation"] < 3 else choices.integer((4, row["dilation"]))
    if row["dilation"] > 1 and "dilation_per_head" in features and choices.flag():
        dilation = (*(choices.integer((1, row["dilation"])) for _ in range(heads - 1)), row["dilation"])
    steep = row["scale"] is not None and row["scale"] > 1
    way = Way(row["layout"], row["of"], row.get("grad_layout", "contiguous"), row.get("wanted", ALL))
    case = Case(
        tokens=tokens,
        window=window,
        head_dim=row["head_dim"],
        batch=batch,
        heads=heads,
        masked=None if row["padding"] == "none" else _masked(source, row["padding"], batch, tokens),
        global_=_flagged(source, row["globals"], batch, tokens) if row["globals"] else None,
        separate_globals=row["separate"],
        dilation=dilation,
        causal=row["causal"],
        scale=row["scale"],
        head_mask=row["head_mask"],
        family=choices.one_of(("normal", "integer") if steep else ("normal", "peaked", "integer", "adversarial")),
        seed=way.seed(choices.integer((0, 2**12))),
        dtype=dtype,
    )
    return limits.fitted(case)


def any_row(features: Collection[str], limits: Limits, gradients: bool, tier: str, told: str) -> Row:
    """Levels of two rows of the design, mixed, if they make sense together; else one of the rows."""
    source, rows = random.Random(f"{told} row"), design(features, limits, gradients, tier)
    first, second = source.choice(rows), source.choice(rows)
    mixed = {name: source.choice((first[name], second[name])) for name in first}
    dearest = _load(rows[-1], {})
    return mixed if _makes_sense(mixed) and _load(mixed, {}) <= dearest else first


def _taken(name: str, levels: tuple[Any, ...], limits: Limits) -> tuple[Any, ...]:
    """Levels next to those that a target takes, each once."""
    fitted = (level if isinstance(level, str) else limits.fit(name, level) for level in levels)
    return tuple(dict.fromkeys(fitted))


def _makes_sense(row: Mapping[str, Any]) -> bool:
    if row.get("causal") and (row.get("globals") or row.get("separate")):
        return False
    if row.get("separate") and row.get("globals") == 0:
        return False
    if row.get("of", ALL) != ALL and row.get("layout") == "contiguous":
        return False
    alone = row.get("batch") == 1 and row.get("heads") == 1
    return not (alone and row.get("layout") == "expanded")


def _size(level: Any) -> int:
    """Of a level, to find the least."""
    return {SOME: FEW, WHOLE: 10**6, HUGE: 10**7}.get(level, level) if not isinstance(level, bool) else 0


def _load(row: Mapping[str, Any], least: Mapping[str, Any], dearer: float = 1.0) -> float:
    """What a row costs at least, in units of what each row may cost."""
    heads, head_dim, tokens, batch, window = (row.get(name, least.get(name)) for name in SIZES)
    keys = min(tokens, {SOME: 2 * 64 + 1, WHOLE: tokens, HUGE: tokens}.get(window, 2 * _size(window) + 1))
    both = batch * heads
    rows = (max(both, 2) if row.get("layout") == "expanded" else both) * tokens
    work = rows * (keys + 2 * row.get("globals", 0)) * (head_dim + 16)
    return max(rows * head_dim * dearer / MOST_NUMBERS, work / MOST_WORK)


def _coarse(name: str, level: Any) -> Hashable:
    """What a level is taken for where three meet."""
    if name in ("batch", "heads", "head_dim", "tokens"):
        bounds = {"batch": (1,), "heads": (1, 4), "head_dim": (64, 80), "tokens": (64, 340, 1030)}[name]
        return sum(level > bound for bound in bounds)
    if name == "window":
        return {SOME: SOME, WHOLE: WHOLE, HUGE: WHOLE}.get(level, "narrow")
    if name == "globals":
        return int(level > 0) + (level > 1)
    if name in ("padding", "of", "layout", "grad_layout", "wanted"):
        return level in ("none", ALL, "contiguous") if level != "expanded" else level
    return level not in (1, None, False, 0.3)


def _masked(source: random.Random, kind: str, batch: int, tokens: int) -> tuple[tuple[int, ...], ...]:
    """Other masked tokens in each sequence; at least one in the last."""
    found = []
    for row in range(batch):
        count = source.randint(int(row == batch - 1), tokens // 2)
        if kind == "right":
            found.append(tuple(range(tokens - count, tokens)))
        elif kind == "left":
            found.append(tuple(range(count)))
        else:
            holes = {source.randrange(tokens) for _ in range(3)}
            for _ in range(2):
                first = source.randrange(tokens)
                holes |= set(range(first, min(first + source.randint(1, tokens // 5), tokens)))
            found.append(tuple(sorted(holes)))
    return tuple(found)


def _flagged(source: random.Random, count: int, batch: int, tokens: int) -> tuple[tuple[int, ...], ...]:
    """Other global tokens in each sequence: some of the first, and others."""
    found = []
    for _ in range(batch):
        wanted = count if count == 1 else source.randint(count, count * 3 // 2)
        first = source.randint(1, wanted)
        rest = source.sample(range(first, tokens), min(wanted - first, tokens - first))
        found.append(tuple(sorted([*range(first), *rest])))
    return tuple(found)

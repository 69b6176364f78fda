"""Combinations at the sizes of today's models: grouped heads, caches, packed rows and what else the second edition has.

As `combinations`, with factors of its own, of which every two levels meet.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.covering import Row, covering
from trueband.properties.cases.extensions import WITHOUT_GLOBALS, possible
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.windows import HUGE, Window

# (tokens, head_dim, heads): past the tiles of kernels in one of them, small in the others.
SIZES = ((130, 64, 8), (340, 128, 4), (700, 16, 4), (1030, 8, 2), (150, 256, 2), (260, 32, 32), (515, 64, 12))
CACHES = ((4100, 64, 4),)  # for the few queries of a decoding step
STEPS = ("one", "last")
FACTORS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "size": ("", (*SIZES, *CACHES)),
    "window": ("", ("some", 0, "whole", "huge")),
    "batch": ("", (1, 3)),
    "padding": ("padding", ("none", "right", "left", "holes")),
    "causal": ("causal", (False, True)),
    "globals": ("globals", (0, 5)),
    "dilation": ("dilation", (1, 3)),
    "group": ("gqa", (1, 2, 0)),  # 0: one head of keys for all
    "value_dim": ("value_dim", (0, 16, 96)),
    "sides": ("asymmetric", ("same", "left", "right", "narrow")),
    "open": ("unlimited_side", ("none", "left", "right")),
    "queries": ("offset", ("all", "one", "last", "chunk", "beyond")),
    "segments": ("segments", (0, 2, 9, 300)),
    "softcap": ("softcap", (None, 20.0, 1.0)),
    "sinks": ("sinks", (False, True)),
    "slopes": ("slopes", (False, True)),
}
SOME_WINDOWS = (5, 33, 64, 127)


@lru_cache
def _design(factors: tuple[tuple[str, tuple[Any, ...]], ...]) -> tuple[Row, ...]:
    none = lambda row: False  # noqa: E731
    return tuple(covering(dict(factors), _makes_sense, lambda name, level: 0, none, 0))


def extended_design(features: Collection[str], limits: Limits) -> tuple[Row, ...]:
    """Which levels meet, for a target of these features and limits."""
    has = {*features, *possible(features), ""}
    factors = {name: levels if feature in has else levels[:1] for name, (feature, levels) in FACTORS.items()}
    if "causal_only" in features:
        factors["causal"] = (True,)
    if "offset" not in features:
        factors["queries"] = tuple(level for level in factors["queries"] if level != "beyond")
    if not set(STEPS) & set(factors["queries"]):
        factors["size"] = SIZES
    if limits.padding == "right":
        factors["padding"] = tuple(level for level in factors["padding"] if level in ("none", "right"))
    return _design(tuple(factors.items()))


def extended_case(row: Mapping[str, Any], features: Collection[str], limits: Limits, dtype: str, told: str) -> Case:
    """A case of a row.

    Args:
        told: what its numbers, and all that a row leaves open, depend on.
    """
    source = random.Random(told)
    choices = RandomChoices(source)
    tokens, head_dim, heads = row["size"]
    batch = row["batch"]
    bottom_right = "offset" not in features
    queries, offset = _queries(source, row["queries"], tokens, bottom_right, bool(row["segments"]))
    case = Case(
        tokens=tokens,
        window=_window(source, row, tokens),
        head_dim=head_dim,
        batch=batch,
        heads=heads,
        key_heads=None if row["group"] == 1 else heads // (row["group"] or heads),
        value_dim=row["value_dim"] or None,
        masked=None
        if row["padding"] == "none"
        else tuple(_masked(source, row["padding"], tokens) for _ in range(batch)),
        global_=tuple(_some(source, row["globals"], tokens) for _ in range(batch)) if row["globals"] else None,
        causal=row["causal"],
        dilation=row["dilation"],
        queries=queries,
        offset=offset,
        segments=tuple(_segments(source, min(row["segments"], tokens // 2), tokens) for _ in range(batch))
        if row["segments"]
        else None,
        softcap=row["softcap"],
        sinks=row["sinks"],
        slopes=row["slopes"],
        family=choices.one_of(("normal", "peaked", "integer")),
        seed=choices.integer((0, 2**16)),
        dtype=dtype,
    )
    return limits.fitted(case)


def _makes_sense(row: Mapping[str, Any]) -> bool:
    if row.get("globals"):
        moved = row.get("queries", "all") != "all"
        if moved or row.get("causal") or any(row.get(name) for name in WITHOUT_GLOBALS if name != "offset"):
            return False
    if row.get("size") in CACHES and (row.get("queries", STEPS[0]) not in STEPS or row.get("globals")):
        return False
    if row.get("slopes") and row.get("dilation", 1) > 1:
        return False
    if row.get("open", "none") != "none" and row.get("sides") == "same":
        return False
    return not (row.get("segments") and row.get("queries") == "beyond")


def _window(source: random.Random, row: Mapping[str, Any], tokens: int) -> Window:
    wide = {"some": source.choice(SOME_WINDOWS), "whole": tokens, "huge": HUGE}.get(row["window"], row["window"])
    narrow = max(wide // 3 - 1, 0)
    pairs = {"left": (wide, 0), "right": (0, wide), "narrow": (wide, narrow)}
    if row["sides"] == "same":
        return int(wide)
    left, right = pairs[row["sides"]]
    return (None if row["open"] == "left" else left), (None if row["open"] == "right" else right)


def _queries(source: random.Random, kind: str, tokens: int, bottom_right: bool, inside: bool) -> tuple[int | None, int]:
    """How many queries there are, and where the first one stands."""
    if kind == "all":
        return None, 0
    count = {"one": 1, "last": 17, "chunk": tokens // 3, "beyond": tokens // 2}[kind]
    if bottom_right or kind in ("one", "last"):
        return count, tokens - count
    if kind == "chunk" or inside:
        return count, source.randint(0, tokens - count)
    return count, source.choice((tokens - count // 2, -(count // 2)))


def _masked(source: random.Random, kind: str, tokens: int) -> tuple[int, ...]:
    count = source.randint(1, tokens // 2)
    if kind == "right":
        return tuple(range(tokens - count, tokens))
    return tuple(range(count)) if kind == "left" else _some(source, tokens // 4, tokens)


def _some(source: random.Random, count: int, tokens: int) -> tuple[int, ...]:
    return tuple(sorted(source.sample(range(tokens), count)))


def _segments(source: random.Random, count: int, tokens: int) -> tuple[int, ...]:
    """So many segments one after the other, of any lengths."""
    starts = set(source.sample(range(1, tokens), count - 1))
    return tuple(itertools.accumulate(int(token in starts) for token in range(tokens)))

"""What the second edition of the contract adds to a case: grouped key heads, two-sided windows, offsets and others."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from trueband.properties.cases.choices import Choices
from trueband.properties.cases.windows import Window, sides

if TYPE_CHECKING:
    from trueband.properties.cases.case import Case

# What a case may have; by the names of the features, but that queries at the bottom right have an offset, too.
KINDS = ("gqa", "value_dim", "asymmetric", "unlimited_side", "offset", "segments", "softcap", "sinks", "slopes")
EVERY_KIND = frozenset(KINDS)
SCORES = frozenset({"softcap", "sinks", "slopes"})  # kinds that change weights
WITHOUT_GLOBALS = ("offset", "segments", "sinks", "slopes")  # not defined with global tokens
GROUPS = (2, 3, 4)  # query heads for each head of keys
VALUE_DIMS = (2, 1, 3, 8, 24)
SOFTCAPS = (2.0, 0.5, 8.0, 30.0)
MOST_BEYOND = 3  # tokens that queries stand before the first key, or behind the last


def kinds_of(case: Case) -> frozenset[str]:
    """What a case has of the second edition."""
    left_right = sides(case.window)
    has = {
        "gqa": case.key_heads is not None,
        "value_dim": case.value_dim is not None,
        "asymmetric": isinstance(case.window, tuple),
        "unlimited_side": None in left_right,
        "offset": case.offset != 0 or case.queries is not None,
        "segments": case.segments is not None,
        "softcap": case.softcap is not None,
        "sinks": case.sinks,
        "slopes": case.slopes,
    }
    return frozenset(name for name, holds in has.items() if holds)


def possible(features: Collection[str]) -> frozenset[str]:
    """The kinds of a target with these features."""
    return EVERY_KIND & {*features, *({"offset"} if "bottom_right" in features else ())}


def extended(
    choices: Choices, case: Case, features: Collection[str], kinds: Collection[str], require: Collection[str] = ()
) -> Case:
    """A case with some kinds more: half of the cases have none but those that are required.

    Args:
        features: of the target.
        kinds: that there may be.
    """
    several = bool(require) or choices.flag()
    if not several:
        return case
    excluded = {*(WITHOUT_GLOBALS if case.global_ is not None else ()), *(("slopes",) if case.dilation != 1 else ())}

    def has(kind: str) -> bool:
        if kind in require:
            return True
        return kind in kinds and kind not in excluded and choices.flag()

    if has("gqa"):
        # Where heads are few all queries share one head of keys: the simplest grouping.
        group, key_heads = choices.one_of(GROUPS), case.heads
        case = case.with_size("heads", group * key_heads).replace(key_heads=key_heads)
    if has("value_dim"):
        dims = [dim for dim in VALUE_DIMS if dim != case.head_dim]
        case = case.replace(value_dim=choices.one_of(dims))
    if has("asymmetric"):
        case = case.replace(window=_window(choices, case, has("unlimited_side")))
    if has("softcap"):
        case = case.replace(softcap=choices.one_of(SOFTCAPS))
    case = case.replace(sinks=has("sinks"), slopes=has("slopes"))
    segmented = has("segments")
    if has("offset"):
        case = _moved(choices, case, features, segmented)
    if segmented:
        case = case.replace(segments=tuple(_segments(choices, case.tokens) for _ in range(case.batch)))
    return case


def _window(choices: Choices, case: Case, unlimited: bool) -> Window:
    """Two limits, of which one is that of the case, or none."""
    one = case.window
    assert isinstance(one, int)
    other: int | None = choices.integer((0, 4), (0, case.tokens + 2))
    if unlimited:
        other = None
        if choices.integer((0, 3)) == 3:
            return None, None
    return (one, other) if choices.flag() else (other, one)


def _moved(choices: Choices, case: Case, features: Collection[str], inside: bool) -> Case:
    """Other queries than one for each token, or elsewhere.

    Args:
        inside: they stand at tokens.
    """
    tokens = case.tokens
    if "offset" not in features:  # at the bottom right
        queries = choices.integer((1, min(tokens, 3)), (1, tokens))
        return case.replace(queries=queries, offset=tokens - queries)
    queries = choices.integer((1, min(tokens, 3)), (1, tokens))
    ranges = [(0, tokens - queries), (tokens - queries, tokens - queries)]
    if not inside:
        queries = choices.integer((queries, queries), (queries, tokens + MOST_BEYOND))
        ranges = [(0, max(tokens - queries, 0)), (tokens - queries, tokens - queries)]
        ranges += [(-MOST_BEYOND - queries, tokens + MOST_BEYOND)]
    offset: int | tuple[int, ...] = choices.integer(*ranges)
    if "offset_per_row" in features and choices.flag():
        offset = tuple(choices.integer(*ranges) for _ in range(case.batch))
    return case.replace(queries=queries, offset=offset)


def _segments(choices: Choices, tokens: int) -> tuple[int, ...]:
    """Segments one after the other; now and then one comes again, or their numbers fall."""
    starts = choices.subset(tokens, 5)
    numbers = choices.one_of(((0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (1, 0, 1, 0, 2, 1)))
    found: list[int] = []
    place = 0
    for token in range(tokens):
        place += int(token in starts and token > 0)
        found.append(numbers[place])
    return tuple(found)

"""A covering design: few rows of levels in which every two levels of different factors meet, and most three of coarse
ones.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

TRIES = 4  # rows of which the best is taken

Row = dict[str, Any]
Met = tuple[tuple[str, Hashable], ...]  # levels that meet, by factor, in the order of the factors
Allows = Callable[[Mapping[str, Any]], bool]  # whether some levels may meet, whatever the others are at least


def covering(
    factors: Mapping[str, Sequence[Any]],
    allows: Allows,
    coarse: Callable[[str, Any], Hashable],
    seldom: Allows,
    most_seldom: int,
) -> list[Row]:
    """Rows in which all pairs of levels meet that may, and all triples of coarse levels that may.

    Args:
        factors: levels of each.
        allows: of the levels of some factors; of more levels never where not of fewer.
        coarse: what a level is taken for in a triple.
        seldom: as `allows`, for at most `most_seldom` rows, which meet what the others may not.
    """
    source, rows = random.Random(0), []
    pairs = _meetings(factors, 2, lambda _, level: level, allows)
    triples = _meetings(factors, 3, coarse, allows)
    names = list(factors)
    while pairs or triples:
        to_meet = pairs or triples
        target = next(iter(to_meet.values()))
        tried = [_row(factors, target, pairs, allows, source) for _ in range(TRIES)]
        row = max(tried, key=lambda each: _gain(names, each, pairs, triples, coarse))
        _strike(names, row, pairs, triples, coarse)
        rows.append(row)
    rest = _meetings(factors, 3, coarse, seldom)
    for row in rows:
        for met in _met(names, row, 3, coarse):
            rest.pop(met, None)
    for _ in range(most_seldom):
        if not rest:
            break
        target = next(iter(rest.values()))
        tried = [_row(factors, target, {}, seldom, source) for _ in range(TRIES)]
        row = max(tried, key=lambda each: sum(met in rest for met in _met(names, each, 3, coarse)))
        for met in _met(names, row, 3, coarse):
            rest.pop(met, None)
        rows.append(row)
    return rows


def _meetings(
    factors: Mapping[str, Sequence[Any]], together: int, taken_for: Callable[[str, Any], Hashable], allows: Allows
) -> dict[Met, Row]:
    """Levels that may meet, what they are taken for, with one way to have them."""
    found: dict[Met, Row] = {}
    for names in itertools.combinations(factors, together):
        for levels in itertools.product(*(factors[name] for name in names)):
            row = dict(zip(names, levels, strict=True))
            met = tuple((name, taken_for(name, level)) for name, level in row.items())
            if met not in found and allows(row):
                found[met] = row
    return found


def _row(
    factors: Mapping[str, Sequence[Any]], target: Row, pairs: Mapping[Met, Row], allows: Allows, source: random.Random
) -> Row:
    """A row with the levels of a target, and for the rest levels of which most pairs are still to meet."""
    row, place = dict(target), {name: number for number, name in enumerate(factors)}
    rest = [name for name in factors if name not in row]
    source.shuffle(rest)
    for name in rest:
        levels = [level for level in factors[name] if allows({**row, name: level})]
        source.shuffle(levels)

        def gained(level: Any, name: str = name) -> int:
            own = (name, level)
            return sum(
                ((own, other) if place[name] < place[other[0]] else (other, own)) in pairs for other in row.items()
            )

        row[name] = max(levels, key=gained)
    return {name: row[name] for name in factors}


def _met(names: Sequence[str], row: Row, together: int, taken_for: Callable[[str, Any], Hashable]) -> Iterable[Met]:
    return itertools.combinations([(name, taken_for(name, row[name])) for name in names], together)


def _gain(
    names: Sequence[str],
    row: Row,
    pairs: Mapping[Met, Row],
    triples: Mapping[Met, Row],
    coarse: Callable[[str, Any], Hashable],
) -> float:
    if pairs:
        return sum(met in pairs for met in _met(names, row, 2, lambda _, level: level))
    return sum(met in triples for met in _met(names, row, 3, coarse))


def _strike(
    names: Sequence[str],
    row: Row,
    pairs: dict[Met, Row],
    triples: dict[Met, Row],
    coarse: Callable[[str, Any], Hashable],
) -> None:
    for met in _met(names, row, 2, lambda _, level: level):
        pairs.pop(met, None)
    for met in _met(names, row, 3, coarse):
        triples.pop(met, None)

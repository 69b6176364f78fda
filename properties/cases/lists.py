"""How long lists of a case are written in its JSON line: positions in runs, segments with their lengths."""

from __future__ import annotations

import itertools
import re
from typing import Any

LONGEST_RUN = 8  # of what is written one by one
MOST = 1 << 24  # positions or tokens: what is written may be anything


def written_positions(row: tuple[int, ...]) -> tuple[int | str, ...]:
    """Positions in order, runs of more than `LONGEST_RUN` as "first..last"."""
    found: list[int | str] = []
    for _, run in itertools.groupby(enumerate(row), lambda each: each[1] - each[0]):
        positions = [position for _, position in run]
        long = len(positions) > LONGEST_RUN
        found += [f"{positions[0]}..{positions[-1]}"] if long else positions
    return tuple(found)


def positions_of(name: str, row: Any) -> Any:
    """What `written_positions` has written; anything else as it is, to be refused by the case."""
    if not isinstance(row, tuple):
        return row
    found: list[Any] = []
    for each in row:
        match = re.fullmatch(r"(\d+)\.\.(\d+)", each) if isinstance(each, str) else None
        if isinstance(each, str) and match is None:
            raise ValueError(f'{name}: expected positions, or runs of them as "3..20", got {each!r}')
        found += [each] if match is None else range(int(match[1]), min(int(match[2]), MOST) + 1)
    return tuple(found)


def written_segments(row: tuple[int, ...]) -> tuple[int | str, ...]:
    """The segment of each token, more than `LONGEST_RUN` equal ones as "segment x tokens"."""
    found: list[int | str] = []
    for segment, run in itertools.groupby(row):
        count = len(list(run))
        found += [f"{segment} x {count}"] if count > LONGEST_RUN else [segment] * count
    return tuple(found)


def segments_of(name: str, row: Any) -> Any:
    """What `written_segments` has written; anything else as it is, to be refused by the case."""
    if not isinstance(row, tuple):
        return row
    found: list[Any] = []
    for each in row:
        match = re.fullmatch(r"(-?\d+) x (\d+)", each) if isinstance(each, str) else None
        if isinstance(each, str) and match is None:
            raise ValueError(f'{name}: expected segments, or many equal ones as "3 x 20", got {each!r}')
        found += [each] if match is None else [int(match[1])] * min(int(match[2]), MOST)
    return tuple(found)


def as_written(value: Any) -> Any:
    """A JSON value with tuples for its lists."""
    return tuple(map(as_written, value)) if isinstance(value, list | tuple) else value

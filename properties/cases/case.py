"""A case: a small, plain description of one input of the operator. It is one JSON line.

Structure (shapes, window, padding, globals) is spelled out; numbers come from a family and a seed, never element by
element, so that a case stays small, shrinks well and is the same wherever it is rebuilt.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from trueband.properties.bounds.precision import DTYPES
from trueband.properties.cases.families import FAMILIES, draw
from trueband.properties.cases.inputs import Inputs

Positions = tuple[tuple[int, ...], ...]
LONGEST_RUN = 8  # of positions that are written one by one
MOST_POSITION = 1 << 24  # what is written may be anything


@dataclass(frozen=True)
class Case:
    """One input of the operator.

    Attributes:
        tokens, window, head_dim, batch, heads: sizes; the window is one-sided.
        masked: positions of masked tokens, for each row of the batch; None: no attention_mask is passed.
        global_: positions flagged global, for each row of the batch; None: no global_attention_mask is passed.
        separate_globals: query_global, key_global, value_global are passed.
        dilation: one int, or one for each head.
        causal, scale: as in the contract.
        head_mask: a head mask of 0, 1/2 and 1 is passed.
        family: where the numbers come from, one of `FAMILIES`.
        seed: of the numbers.
        dtype: whose grid the numbers lie on.
    """

    tokens: int
    window: int
    head_dim: int = 1
    batch: int = 1
    heads: int = 1
    masked: Positions | None = None
    global_: Positions | None = None
    separate_globals: bool = False
    dilation: int | tuple[int, ...] = 1
    causal: bool = False
    head_mask: bool = False
    scale: float | None = None
    family: str = "uniform"
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, least in (("tokens", 1), ("window", 0), ("head_dim", 1), ("batch", 1), ("heads", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name}: expected an int >= {least}, got {value!r}")
        for name, allowed in (("family", tuple(FAMILIES)), ("dtype", DTYPES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("separate_globals", "causal", "head_mask"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected true or false, got {getattr(self, name)!r}")
        for name in ("masked", "global_"):
            rows = getattr(self, name)
            if rows is None:
                continue
            if (
                not isinstance(rows, tuple)
                or len(rows) != self.batch
                or not all(isinstance(row, tuple) for row in rows)
            ):
                raise ValueError(f"{name}: expected one list of positions for each of {self.batch} rows, got {rows!r}")
            if any(type(position) is not int or not 0 <= position < self.tokens for row in rows for position in row):
                raise ValueError(f"{name}: expected positions in 0..{self.tokens - 1}, got {rows!r}")

    @property
    def id(self) -> str:
        """Stable identifier: the beginning of the SHA-256 of the JSON line."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Fields that differ from their defaults, and the sizes."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        for name in ("masked", "global_"):
            if fields.get(name) is not None:
                fields[name] = tuple(_runs(row) for row in fields[name])
        return fields

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The case of a parsed JSON line. ValueError on unknown, missing or impossible fields."""
        if not isinstance(values, Mapping):
            raise ValueError(f"case: expected an object of fields, got {values!r}")
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"case: expected the fields {', '.join(sorted(known))}, got {', '.join(unknown)}")
        missing = sorted({"tokens", "window"} - set(values))
        if missing:
            raise ValueError(f"case: expected the fields tokens and window, got no {', '.join(missing)}")
        written = {name: _tuples(value) for name, value in values.items()}
        for name in ("masked", "global_"):
            if isinstance(written.get(name), tuple):
                written[name] = tuple(_positions(name, row) for row in written[name])
        return cls(**written)

    def replace(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)

    def with_size(self, name: str, value: int) -> Self:
        """The case with another value of one size, and what depends on it as long. Rows and heads repeat."""
        changes: dict[str, Any] = {name: value}
        if name == "heads" and isinstance(self.dilation, tuple):
            changes["dilation"] = tuple(self.dilation[head % len(self.dilation)] for head in range(value))
        for field in ("masked", "global_"):
            rows = getattr(self, field)
            if rows is not None and name == "batch":
                changes[field] = tuple(rows[row % len(rows)] for row in range(value))
            elif rows is not None and name == "tokens":
                changes[field] = tuple(tuple(i for i in row if i < value) for row in rows)
        return self.replace(**changes)

    def inputs(self) -> Inputs:
        """The arrays and options of the case. Arguments that the case leaves out are left out."""
        shape = (self.batch, self.heads, self.tokens, self.head_dim)
        names = ["query", "key", "value"]
        if self.separate_globals:
            names += ["query_global", "key_global", "value_global"]
        arrays = {name: draw(self.family, name, shape, self.seed, self.dtype) for name in names}
        if self.masked is not None:
            arrays["attention_mask"] = ~self._flags(self.masked)
        if self.global_ is not None:
            arrays["global_attention_mask"] = self._flags(self.global_)
        if self.head_mask:
            arrays["head_mask"] = np.array([0.5, 0.0, 1.0])[(np.arange(self.heads) + self.seed) % 3]
        return Inputs(arrays, self.options(), self.dtype)

    def options(self) -> dict[str, Any]:
        """The options that the case passes."""
        options: dict[str, Any] = {"window": self.window}
        if self.dilation != 1:
            options["dilation"] = self.dilation
        if self.causal:
            options["causal"] = True
        if self.scale is not None:
            options["scale"] = self.scale
        return options

    def grad_output(self) -> np.ndarray:
        """(b, h, n, d): a gradient of the output, on the grid of the dtype."""
        shape = (self.batch, self.heads, self.tokens, self.head_dim)
        return draw("normal", "grad_output", shape, self.seed, self.dtype)

    def _flags(self, rows: Positions) -> np.ndarray:
        flags = np.zeros((self.batch, self.tokens), dtype=bool)
        for row, positions in enumerate(rows):
            flags[row, list(positions)] = True
        return flags


def _runs(row: tuple[int, ...]) -> tuple[int | str, ...]:
    """Positions in order, runs of more than `LONGEST_RUN` as "first..last"."""
    found: list[int | str] = []
    for _, run in itertools.groupby(enumerate(row), lambda each: each[1] - each[0]):
        positions = [position for _, position in run]
        long = len(positions) > LONGEST_RUN
        found += [f"{positions[0]}..{positions[-1]}"] if long else positions
    return tuple(found)


def _positions(name: str, row: Any) -> Any:
    """What `_runs` has written; anything else as it is, to be refused by the case."""
    if not isinstance(row, tuple):
        return row
    found: list[Any] = []
    for each in row:
        match = re.fullmatch(r"(\d+)\.\.(\d+)", each) if isinstance(each, str) else None
        if isinstance(each, str) and match is None:
            raise ValueError(f'{name}: expected positions, or runs of them as "3..20", got {each!r}')
        found += [each] if match is None else range(int(match[1]), min(int(match[2]), MOST_POSITION) + 1)
    return tuple(found)


def _tuples(value: Any) -> Any:
    """A JSON value with tuples for its lists."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value

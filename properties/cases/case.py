"""A case: a small, plain description of one input of the operator. It is one JSON line.

Structure (shapes, window, padding, globals) is spelled out; numbers come from a family and a seed, never element by
element, so that a case stays small, shrinks well and is the same wherever it is rebuilt.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from trueband.properties.bounds.precision import DTYPES
from trueband.properties.cases.families import FAMILIES, draw
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.lists import as_written, positions_of, segments_of, written_positions, written_segments
from trueband.properties.cases.windows import Window, check_window

Positions = tuple[tuple[int, ...], ...]
PROJECTIONS = ("query", "key", "value")
SINKS = (0.0, 1.5, -2.0, 4.0, -8.0)  # on the grid of every dtype
SLOPES = (0.5, 0.25, 0.0, 0.125, 1.0)


@dataclass(frozen=True)
class Case:
    """One input of the operator.

    Attributes:
        tokens, head_dim, batch, heads: sizes; tokens are those of the keys.
        window: one-sided; or (left, right), where None is no limit.
        masked: positions of masked tokens, for each row of the batch; None: no attention_mask is passed.
        global_: positions flagged global, for each row of the batch; None: no global_attention_mask is passed.
        separate_globals: query_global, key_global, value_global are passed.
        dilation: one int, or one for each head.
        causal, scale: as in the contract.
        head_mask: a head mask of 0, 1/2 and 1 is passed.
        family: where the numbers come from, one of `FAMILIES`.
        seed: of the numbers.
        dtype: whose grid the numbers lie on.
        key_heads: heads of keys and values; None: as many as of the queries.
        value_dim: head dim of the values; None: that of the queries.
        queries: how many there are; None: one for each token.
        offset: query i stands at token offset + i; one for all sequences, or one for each.
        segments: the segment of each token, for each row of the batch; None: no segments are passed.
        softcap: as in the contract.
        sinks, slopes: some are passed; those of `SINKS` and `SLOPES`, from another one on for another seed.
    """

    tokens: int
    window: Window
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
    key_heads: int | None = None
    value_dim: int | None = None
    queries: int | None = None
    offset: int | tuple[int, ...] = 0
    segments: Positions | None = None
    softcap: float | None = None
    sinks: bool = False
    slopes: bool = False

    def __post_init__(self) -> None:
        for name, least in (("tokens", 1), ("head_dim", 1), ("batch", 1), ("heads", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name}: expected an int >= {least}, got {value!r}")
        check_window(self.window)
        self._check_extensions()
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

    def _check_extensions(self) -> None:
        """The fields of the second edition."""
        for name in ("key_heads", "value_dim", "queries"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"{name}: expected an int >= 1 or none, got {value!r}")
        if self.key_heads is not None and self.heads % self.key_heads:
            raise ValueError(f"key_heads: expected a divisor of the {self.heads} heads, got {self.key_heads}")
        for name in ("sinks", "slopes"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected true or false, got {getattr(self, name)!r}")
        offsets = self.offset if isinstance(self.offset, tuple) else (self.offset,)
        if any(type(each) is not int for each in offsets) or len(offsets) not in (
            1 if isinstance(self.offset, int) else self.batch,
        ):
            raise ValueError(f"offset: expected an int, or one for each of {self.batch} rows, got {self.offset!r}")
        if self.segments is not None and (
            not isinstance(self.segments, tuple)
            or len(self.segments) != self.batch
            or any(not isinstance(row, tuple) or len(row) != self.tokens for row in self.segments)
            or any(type(each) is not int for row in self.segments for each in row)
        ):
            raise ValueError(
                f"segments: expected {self.tokens} ints for each of {self.batch} rows, got {self.segments!r}"
            )

    @property
    def id(self) -> str:
        """Stable identifier: the beginning of the SHA-256 of the JSON line."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Fields that differ from their defaults, and the sizes."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        for name in ("masked", "global_"):
            if fields.get(name) is not None:
                fields[name] = tuple(written_positions(row) for row in fields[name])
        if self.segments is not None:
            fields["segments"] = tuple(written_segments(row) for row in self.segments)
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
        written = {name: as_written(value) for name, value in values.items()}
        for name, read in (("masked", positions_of), ("global_", positions_of), ("segments", segments_of)):
            if isinstance(written.get(name), tuple):
                written[name] = tuple(read(name, row) for row in written[name])
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
        return self.replace(**changes, **resized_extensions(self, name, value))

    def inputs(self) -> Inputs:
        """The arrays and options of the case. Arguments that the case leaves out are left out."""
        arrays = {name: draw(self.family, name, self.shape_of(name), self.seed, self.dtype) for name in PROJECTIONS}
        if self.separate_globals:
            names = [f"{name}_global" for name in PROJECTIONS]
            arrays |= {name: draw(self.family, name, self.shape_of(name), self.seed, self.dtype) for name in names}
        if self.masked is not None:
            arrays["attention_mask"] = ~self._flags(self.masked)
        if self.global_ is not None:
            arrays["global_attention_mask"] = self._flags(self.global_)
        turn = np.arange(self.heads) + self.seed
        if self.head_mask:
            arrays["head_mask"] = np.array([0.5, 0.0, 1.0])[turn % 3]
        if self.sinks:
            arrays["sinks"] = np.array(SINKS)[turn % len(SINKS)]
        if self.slopes:
            arrays["slopes"] = np.array(SLOPES)[turn % len(SLOPES)]
        if self.segments is not None:
            arrays["segments"] = np.array(self.segments, dtype=np.int64)
        if isinstance(self.offset, tuple):
            arrays["offset"] = np.array(self.offset, dtype=np.int64)
        return Inputs(arrays, self.options(), self.dtype)

    def shape_of(self, name: str) -> tuple[int, int, int, int]:
        """Of query, key or value, or of its global counterpart."""
        if name.startswith("query"):
            return self.batch, self.heads, self.queries or self.tokens, self.head_dim
        channels = (self.value_dim or self.head_dim) if name.startswith("value") else self.head_dim
        return self.batch, self.key_heads or self.heads, self.tokens, channels

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(b, h, m, e)."""
        return self.batch, self.heads, self.queries or self.tokens, self.value_dim or self.head_dim

    def options(self) -> dict[str, Any]:
        """The options that the case passes."""
        options: dict[str, Any] = {"window": self.window}
        if self.dilation != 1:
            options["dilation"] = self.dilation
        if self.causal:
            options["causal"] = True
        if self.scale is not None:
            options["scale"] = self.scale
        if isinstance(self.offset, int) and self.offset:
            options["offset"] = self.offset
        if self.softcap is not None:
            options["softcap"] = self.softcap
        return options

    def grad_output(self) -> np.ndarray:
        """(b, h, m, e): a gradient of the output, on the grid of the dtype."""
        return draw("normal", "grad_output", self.output_shape, self.seed, self.dtype)

    def grad_lse(self) -> np.ndarray:
        """(b, h, m): a gradient of lse, on the grid of the dtype."""
        return draw("normal", "grad_lse", self.output_shape, self.seed, self.dtype)[..., 0]

    def _flags(self, rows: Positions) -> np.ndarray:
        flags = np.zeros((self.batch, self.tokens), dtype=bool)
        for row, positions in enumerate(rows):
            flags[row, list(positions)] = True
        return flags


def resized_extensions(case: Case, name: str, value: int) -> dict[str, Any]:
    """What depends on a size of a case, of the fields of the second edition."""
    changes: dict[str, Any] = {}
    if name == "heads" and case.key_heads is not None:
        changes["key_heads"] = math.gcd(value, case.key_heads)
    if name == "batch":
        for field in ("segments", "offset"):
            rows = getattr(case, field)
            if isinstance(rows, tuple):
                changes[field] = tuple(rows[row % len(rows)] for row in range(value))
    if name == "tokens" and case.segments is not None:
        changes["segments"] = tuple((row + row[-1:] * value)[:value] for row in case.segments)
        if case.queries is not None or case.offset:
            queries = min(case.queries or case.tokens, value)
            first = lambda offset: max(min(offset, value - queries), 0)  # noqa: E731
            offset = tuple(map(first, case.offset)) if isinstance(case.offset, tuple) else first(case.offset)
            changes |= {"queries": queries, "offset": offset}
    return changes

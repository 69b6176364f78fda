"""Patches: a few rows of one kind, and the keys that any of them sees. The reference computes them as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trueband.properties.cases.inputs import Inputs
from trueband.reference.arguments import Arguments, Float
from trueband.reference.attention import Rows, attend
from trueband.reference.masks import in_band

Positions = NDArray[np.int64]
ELEMENTS = 2**19  # of the largest array: about 4 MiB, some twenty of which are alive


@dataclass(frozen=True)
class Patch:
    """Some rows of one sequence, and the keys that they see.

    Attributes:
        batch: the sequence.
        is_global: the rows are those of global tokens; else of local ones.
        rows: (r,) which queries, all of that kind.
        columns: (k,) positions of real tokens, all that any of the rows sees, in order.
    """

    batch: int
    is_global: bool
    rows: Positions
    columns: Positions

    @property
    def names(self) -> tuple[str, str, str]:
        """The arguments that these rows read."""
        end = "_global" if self.is_global else ""
        return f"query{end}", f"key{end}", f"value{end}"

    def heads_at_once(self, head_dim: int) -> int:
        """So many that memory stays small."""
        rows, columns = len(self.rows), len(self.columns)
        return max(1, ELEMENTS // max(1, rows * columns, columns * head_dim, rows * head_dim))

    def visible(self, structure: Arguments, heads: slice) -> NDArray[np.bool_]:
        """(1, heads, r, k): keys that each row attends."""
        dilations = structure.dilations[heads]
        if self.is_global:
            return np.ones((1, len(dilations), len(self.rows), len(self.columns)), dtype=bool)
        at = positions_of(structure, self.batch)[self.rows]
        bands = {
            dilation: in_band(at, self.columns, structure.window, dilation, structure.causal)
            | structure.is_global[self.batch, self.columns]
            for dilation in set(dilations)
        }
        seen = np.stack([bands[dilation] for dilation in dilations])[None]
        if structure.segments is not None:
            segments = structure.segments[self.batch]
            seen &= segments[at][:, None] == segments[self.columns]
        return seen

    def computed(self, inputs: Inputs, heads: slice) -> tuple[Rows, tuple[Float, Float, Float], Arguments]:
        """The reference of these rows and heads: (rows, (query, key, value), the arguments of these heads)."""
        structure = inputs.structure
        own = np.arange(len(structure.dilations))[heads]
        query, key, value = (
            _taken(inputs.arrays.get(name, inputs.arrays[name.removesuffix("_global")]), self.batch, of, positions)
            for name, of, positions in zip(
                self.names,
                (own, own // structure.group, own // structure.group),
                (self.rows, self.columns, self.columns),
                strict=True,
            )
        )
        arguments = replace(
            structure,
            head_mask=structure.head_mask[heads],
            sinks=None if structure.sinks is None else structure.sinks[heads],
            slopes=None if structure.slopes is None else structure.slopes[heads],
        )
        bias = sinks = None
        if arguments.slopes is not None:
            at = positions_of(structure, self.batch)[self.rows]
            far = np.abs(self.columns - at[:, None]).astype(np.float64)
            bias = -arguments.slopes[:, None, None] * far
        if arguments.sinks is not None:
            sinks = np.broadcast_to(arguments.sinks[:, None], (1, len(own), len(self.rows)))
        visible = self.visible(structure, heads)
        rows = attend(query, key, value, visible, structure.scale, arguments.head_mask, structure.softcap, bias, sinks)
        return rows, (query, key, value), arguments


def patches(structure: Arguments, batch: int, rows: Positions, head_dim: int) -> list[Patch]:
    """Patches that hold the given rows of a sequence once each; rows that see no key may be left out."""
    real, is_global = structure.real_queries[batch], structure.global_queries[batch]
    at = positions_of(structure, batch)
    found = []
    if (chosen := rows[is_global[rows]]).size:
        found.append(Patch(batch, True, chosen, np.flatnonzero(structure.real[batch])))
    group: list[int] = []
    columns = np.zeros(0, dtype=np.int64)
    for row in rows[real[rows] & ~is_global[rows]]:
        own = _columns(structure, batch, at[row], at[row])
        joint = _columns(structure, batch, at[group[0]], at[row]) if group else own
        # Fetching keys costs some 6 operations for each of their numbers, each pair of row and key some 16.
        apart = _cost(len(group), len(columns), head_dim) + _cost(1, len(own), head_dim)
        if group and _cost(len(group) + 1, len(joint), head_dim) > apart:
            found.append(Patch(batch, False, np.array(group), columns))
            group, joint = [], own
        group, columns = [*group, int(row)], joint
    if group:
        found.append(Patch(batch, False, np.array(group), columns))
    return [patch for patch in found if patch.columns.size]


def head_slices(heads: int, at_once: int) -> Iterator[slice]:
    """All heads, so many at once."""
    for first in range(0, heads, at_once):
        yield slice(first, min(first + at_once, heads))


def positions_of(structure: Arguments, batch: int) -> Positions:
    """(m,): the token that each query of a sequence stands at."""
    return structure.positions[batch if len(structure.positions) > 1 else 0]


def _columns(structure: Arguments, batch: int, first: int, last: int) -> Positions:
    """Keys that local rows at tokens between two may see."""
    left, right = structure.reach
    position = np.arange(structure.real.shape[1])
    near = (position >= first - left) & (position <= last + right)
    return np.flatnonzero(structure.real[batch] & (near | structure.is_global[batch]))


def _cost(rows: int, columns: int, head_dim: int) -> int:
    return columns * (6 * head_dim + 16 * rows)


def _taken(array: Float, batch: int, heads: Positions, positions: Positions) -> Float:
    """(1, heads, positions, d), contiguous."""
    first, last = (int(positions[0]), int(positions[-1]) + 1) if positions.size else (0, 0)
    place = slice(first, last) if last - first == positions.size else positions
    return np.ascontiguousarray(array[batch, heads][:, place])[None]

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
        rows: (r,) positions, all of that kind.
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
        bands = {
            dilation: in_band(self.rows, self.columns, structure.window, dilation, structure.causal)
            | structure.is_global[self.batch, self.columns]
            for dilation in set(dilations)
        }
        return np.stack([bands[dilation] for dilation in dilations])[None]

    def computed(self, inputs: Inputs, heads: slice) -> tuple[Rows, tuple[Float, Float, Float], Arguments]:
        """The reference of these rows and heads: (rows, (query, key, value), the arguments of these heads)."""
        structure = inputs.structure
        query, key, value = (
            _taken(inputs.arrays.get(name, inputs.arrays[name.removesuffix("_global")]), self.batch, heads, positions)
            for name, positions in zip(self.names, (self.rows, self.columns, self.columns), strict=True)
        )
        visible, head_mask = self.visible(structure, heads), structure.head_mask[heads]
        rows = attend(query, key, value, visible, structure.scale, head_mask)
        return rows, (query, key, value), replace(structure, head_mask=head_mask)


def patches(structure: Arguments, batch: int, rows: Positions, head_dim: int) -> list[Patch]:
    """Patches that hold the given rows of a sequence once each; rows of masked tokens are left out."""
    real, is_global = structure.real[batch], structure.is_global[batch]
    found = []
    if (chosen := rows[is_global[rows]]).size:
        found.append(Patch(batch, True, chosen, np.flatnonzero(real)))
    group: list[int] = []
    columns = np.zeros(0, dtype=np.int64)
    for row in rows[real[rows] & ~is_global[rows]]:
        own = _columns(structure, batch, row, row)
        joint = _columns(structure, batch, group[0], row) if group else own
        # Fetching keys costs some 6 operations for each of their numbers, each pair of row and key some 16.
        apart = _cost(len(group), len(columns), head_dim) + _cost(1, len(own), head_dim)
        if group and _cost(len(group) + 1, len(joint), head_dim) > apart:
            found.append(Patch(batch, False, np.array(group), columns))
            group, joint = [], own
        group, columns = [*group, int(row)], joint
    if group:
        found.append(Patch(batch, False, np.array(group), columns))
    return found


def head_slices(heads: int, at_once: int) -> Iterator[slice]:
    """All heads, so many at once."""
    for first in range(0, heads, at_once):
        yield slice(first, min(first + at_once, heads))


def _columns(structure: Arguments, batch: int, first: int, last: int) -> Positions:
    """Keys that local rows between two may see."""
    left, right = structure.reach
    position = np.arange(structure.real.shape[1])
    near = (position >= first - left) & (position <= last + right)
    return np.flatnonzero(structure.real[batch] & (near | structure.is_global[batch]))


def _cost(rows: int, columns: int, head_dim: int) -> int:
    return columns * (6 * head_dim + 16 * rows)


def _taken(array: Float, batch: int, heads: slice, positions: Positions) -> Float:
    """(1, heads, positions, d), contiguous."""
    first, last = (int(positions[0]), int(positions[-1]) + 1) if positions.size else (0, 0)
    place = slice(first, last) if last - first == positions.size else positions
    return np.ascontiguousarray(array[batch, heads][:, place])[None]

"""The reference's output at some rows of every sequence, with the bound of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds import Bound
from trueband.properties.bounds.attention import rows_bound
from trueband.properties.cases.inputs import Inputs
from trueband.properties.linear.patches import head_slices, patches
from trueband.properties.results.verdict import Verdict
from trueband.reference.arguments import Float

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SomeRows:
    """What the output of a call is at some rows.

    Attributes:
        rows: (b, r) positions.
        output: (b, h, r, d).
        bound: of the same shape.
    """

    rows: Rows
    output: Float
    bound: Bound


def at_rows(array: Float, rows: Rows) -> Float:
    """(b, h, r, e): an array (b, h, m, e) at the given rows of each sequence."""
    return np.take_along_axis(array, rows[:, None, :, None], axis=2)


def placed(verdict: Verdict, rows: Rows) -> Verdict:
    """A verdict on some rows that tells the worst element by its position in the sequence."""
    if len(verdict.index) != 4:
        return verdict
    b, h, row, c = verdict.index
    return replace(verdict, index=(b, h, int(rows[b, row]), c))


def reference_at(inputs: Inputs, rows: Rows) -> SomeRows:
    """The reference of some rows; of masked tokens exactly 0.

    Args:
        rows: (b, r) positions, in order, each once.
    """
    _, heads, _, head_dim = inputs.shape
    shape = (len(rows), heads, rows.shape[1], inputs.output_shape[3])
    output, keys = np.zeros(shape), np.zeros((*shape[:3], 1), dtype=np.int64)
    terms: dict[str, Float] = {}
    for batch, chosen in enumerate(rows):
        for patch in patches(inputs.structure, batch, chosen, head_dim):
            place = np.searchsorted(chosen, patch.rows)
            for some in head_slices(heads, patch.heads_at_once(head_dim)):
                computed, arrays, arguments = patch.computed(inputs, some)
                bound = rows_bound(computed, *arrays, arguments, inputs.precision)
                output[batch, some][:, place] = computed.output[0]
                keys[batch, some][:, place] = computed.visible.sum(axis=-1, keepdims=True)[0]
                for name, term in bound.terms.items():
                    terms.setdefault(name, np.zeros(shape))[batch, some][:, place] = term[0]
    return SomeRows(rows, output, Bound(terms or {"exact": np.zeros(shape)}, keys))

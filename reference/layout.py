"""The compact layout of probabilities that Longformer and LED return, to and from dense (n, n) tables.

Local rows: x columns for the global tokens of the row of the batch, in order of position (x: the largest number of
globals in any row of the batch), then 2w + 1 columns for the offsets -w .. +w in units of the dilation. A global key
inside the window stands in its global column; its place in the window is 0. Rows of global tokens are 0 here:
they stand apart, one for each of the x columns, over all n tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.masks import Bool


class CompactProbabilities(NamedTuple):
    """Attributes:
    local: (b, h, n, x + 2w + 1).
    global_: (b, h, n, x): column g is the row of the g-th global token over all tokens; 0 for a missing one.
    """

    local: Float
    global_: Float


def global_positions(is_global: Bool) -> list[np.ndarray]:
    """Positions of the global tokens, in order, for each row of the batch."""
    return [np.flatnonzero(row) for row in is_global]


def dense_to_compact(
    probabilities: Float, is_global: Bool, window: int, dilations: tuple[int, ...]
) -> CompactProbabilities:
    """Compact layout of dense probabilities (b, h, n, n). `is_global`: (b, n), already without masked tokens."""
    batch, heads, tokens, _ = probabilities.shape
    columns = int(is_global.sum(axis=1).max())
    local = np.zeros((batch, heads, tokens, columns + 2 * window + 1))
    global_ = np.zeros((batch, heads, tokens, columns))
    for b, positions in enumerate(global_positions(is_global)):
        for g, position in enumerate(positions):
            local[b, :, :, g] = probabilities[b, :, :, position]
            global_[b, :, :, g] = probabilities[b, :, position, :]
        for h, i, k in np.ndindex(heads, tokens, 2 * window + 1):
            j = i + (k - window) * dilations[h]
            if 0 <= j < tokens and not is_global[b, j]:
                local[b, h, i, columns + k] = probabilities[b, h, i, j]
        local[b, :, positions] = 0
    return CompactProbabilities(local, global_)


def compact_to_dense(compact: CompactProbabilities, is_global: Bool, window: int, dilations: tuple[int, ...]) -> Float:
    """Dense probabilities (b, h, n, n) of a compact layout; the inverse of `dense_to_compact`."""
    batch, heads, tokens, columns = compact.global_.shape
    dense = np.zeros((batch, heads, tokens, tokens))
    for b, positions in enumerate(global_positions(is_global)):
        for h, i, k in np.ndindex(heads, tokens, 2 * window + 1):
            j = i + (k - window) * dilations[h]
            if 0 <= j < tokens:
                dense[b, h, i, j] = compact.local[b, h, i, columns + k]
        for g, position in enumerate(positions):
            dense[b, :, :, position] = compact.local[b, :, :, g]
        for g, position in enumerate(positions):
            dense[b, :, position, :] = compact.global_[b, :, :, g]
    return dense

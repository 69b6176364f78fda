"""Sums over the keys that every row sees, and over the rows that see every key, by prefix sums over the sequence."""

from __future__ import annotations

import numpy as np

from trueband.reference.arguments import Arguments, Float


class Sight:
    """Who sees whom, of one kind of rows of one sequence, for heads of one dilation.

    Attributes:
        rows: (n,) the rows of this kind.
        keys: (n, 1) how many keys each row sees; 0 for rows of another kind.
        seen_by: (n, 1) how many rows of this kind see each key.
    """

    def __init__(self, structure: Arguments, batch: int, dilation: int, is_global: bool) -> None:
        self._real, self._flagged = structure.real[batch], structure.is_global[batch]
        self._dilation, (self._left, self._right) = dilation, structure.limits
        self.is_global = is_global
        self.rows = self._flagged if is_global else self._real & ~self._flagged
        ones = np.ones((len(self._real), 1))
        self.keys, self.seen_by = self.over_keys(ones), self.over_rows(ones)

    def over_keys(self, terms: Float) -> Float:
        """(n, c): for each row the sum of the terms (n, c) of its keys; 0 for rows of another kind.

        A key that is global is seen by every row, and is not counted in the band.
        """
        everywhere = self._real if self.is_global else self._flagged
        total = np.broadcast_to(terms[everywhere].sum(axis=0), terms.shape)
        if not self.is_global:
            near = np.where((self._real & ~self._flagged)[:, None], terms, 0.0)
            total = total + band_sums(near, self._left, self._right, self._dilation)
        return np.where(self.rows[:, None], total, 0.0)

    def over_rows(self, terms: Float) -> Float:
        """(n, c): for each key the sum of the terms (n, c) of the rows of this kind that see it."""
        of_rows = np.where(self.rows[:, None], terms, 0.0)
        total = of_rows.sum(axis=0)
        if self.is_global:
            return np.where(self._real[:, None], total, 0.0)
        near = band_sums(of_rows, self._right, self._left, self._dilation)
        return np.where(self._real[:, None], np.where(self._flagged[:, None], total, near), 0.0)


def band_sums(terms: Float, left: int | None, right: int | None, dilation: int) -> Float:
    """(n, c): for each position the sum of the terms (n, c) at most so many steps before and after it, and its own.

    Differences of prefix sums, one residue class of the dilation for each: exact where the terms are integers, as long
    as 2^53 holds their sum.

    Args:
        left, right: None: all before it, or all after it.

    >>> band_sums(np.arange(5.0)[:, None], 1, 1, 2).ravel()
    array([2., 4., 6., 4., 6.])
    """
    tokens, channels = terms.shape
    steps = -(-tokens // dilation)
    sums = np.zeros((steps + 1, dilation, channels))
    padded = np.zeros((steps * dilation, channels))
    padded[:tokens] = terms
    np.cumsum(padded.reshape(steps, dilation, channels), axis=0, out=sums[1:])
    step = np.arange(steps)
    last = np.minimum(step + min(steps if right is None else right, steps), steps - 1)
    first = np.maximum(step - min(steps if left is None else left, steps), 0)
    return (sums[last + 1] - sums[first]).reshape(steps * dilation, channels)[:tokens]

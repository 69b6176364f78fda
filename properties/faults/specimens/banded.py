"""A correct kernel for long sequences: a block of rows at a time, with the keys that any of them sees.

Its cost is linear in the tokens. Shapes: s rows in a block, m keys that they see.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trueband.properties.faults.specimens.plain import Array, Call, Specimen

BLOCK = 64  # rows


class Banded(Specimen):
    """The specimen, block by block, forward and backward."""

    def unmasked(self, call: Call, b: int) -> Array:
        call.index = b
        output: Array = np.zeros(call.local[0].shape[1:], call.wide)
        for far, rows, columns, seen in self.blocks(call, b):
            query, key, value = self.inputs(call, b, far)
            p = self.softmax(call, self.scores(call, query[:, rows], key[:, columns]), seen)
            self.store(call, output, rows, self.weigh(call, p, value[:, columns]))
        return output

    def inputs(self, call: Call, b: int, far: bool) -> list[Array]:
        """Return query, key and value, (h, n, d) each, of one kind of rows."""
        return self.far_inputs(call, b) if far else self.local_inputs(call, b)

    def blocks(self, call: Call, b: int) -> Iterator[tuple[bool, Array, Array, Array]]:
        """Yield (far, rows (s,), columns (m,), seen (h, s, m)) of blocks of local rows, then of global ones."""
        tokens = call.real.shape[1]
        local, flagged = call.real[b] & ~call.flagged[b], np.flatnonzero(call.flagged[b])
        for first in range(0, tokens, BLOCK):
            rows = np.arange(first, min(first + BLOCK, tokens))
            columns = self.columns(call, b, rows)
            if not columns.size:
                continue
            yield False, rows, columns, self.seen(call, b, rows, columns) & local[rows][None, :, None]
        for first in range(0, len(flagged), BLOCK):
            rows, columns = flagged[first : first + BLOCK], self.far_columns(call, b)
            yield True, rows, columns, np.ones((len(call.dilations), len(rows), len(columns)), bool)

    def columns(self, call: Call, b: int, rows: Array) -> Array:
        """Return the real tokens (m,) that a block of local rows may see."""
        reach, position = call.window * max(call.dilations), np.arange(call.real.shape[1])
        near = (position >= rows[0] - reach) & (position <= rows[-1] + (0 if call.causal else reach))
        return np.flatnonzero((near | call.flagged[b]) & call.real[b])

    def far_columns(self, call: Call, b: int) -> Array:
        """Return the tokens (m,) that rows of global tokens see."""
        return np.flatnonzero(call.real[b])

    def seen(self, call: Call, b: int, rows: Array, columns: Array) -> Array:
        """Return (h, s, m): the band and the global keys."""
        ahead = columns[None, :] - rows[:, None]
        bands = [
            (abs(ahead) <= call.window * d) & (ahead % d == 0) & ~((ahead > 0) & call.causal) for d in call.dilations
        ]
        return np.array(bands) | call.flagged[b][columns]

    def store(self, call: Call, output: Array, rows: Array, block: Array) -> None:
        """Write a block of rows; rows that see nothing are 0, and are left to the other kind."""
        output[:, rows] += block

    # --- backward

    @np.errstate(all="ignore")
    def gradients(self, query: Array, key: Array, value: Array, grad_output: Array, **options: Any) -> dict[str, Array]:
        call = self.read(query, key, value, **options)
        totals: list[list[Array]] = [[np.zeros(query.shape, call.wide) for _ in range(3)] for _ in range(2)]
        for b in range(len(query)):
            call.index = b
            upstream = self.upstream(call, b, grad_output)
            for far, rows, columns, seen in self.blocks(call, b):
                query_, key_, value_ = self.inputs(call, b, far)
                block = [query_[:, rows], key_[:, columns], value_[:, columns]]
                parts = self.rows_backward(call, block, seen, upstream[:, rows])
                of_query, of_key, of_value = (total[b] for total in totals[far])
                self.add_query(call, of_query, rows, parts[0])
                self.add_key(call, of_key, rows, columns, parts[1])
                self.add_value(call, of_value, rows, columns, parts[2])
        gradients = self.collect(call, totals[0], totals[1], query.dtype)
        return gradients | self.of_head_mask(call, grad_output, query.dtype, options)

    def add_query(self, call: Call, total: Array, rows: Array, part: Array) -> None:
        total[:, rows] += part

    def add_key(self, call: Call, total: Array, rows: Array, columns: Array, part: Array) -> None:
        total[:, columns] += part

    def add_value(self, call: Call, total: Array, rows: Array, columns: Array, part: Array) -> None:
        total[:, columns] += part

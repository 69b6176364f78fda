"""A correct kernel that computes the local rows in chunks, each with the keys of three chunks: the sliding-chunk way.

Removing a global key from the window and appending it as a column of its own counts it once. Shapes: s rows in a
chunk, m keys gathered for it (3 s around it and one for each global token).
"""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.specimens.plain import Array, Call, Specimen


class Chunked(Specimen):
    """The specimen with local rows in chunks as long as the window reaches."""

    def sequence(self, call: Call, b: int) -> Array:
        call.index = b
        return self.mask_heads(call, self.put_far_rows(call, b, self.local_rows(call, b)))

    def local_rows(self, call: Call, b: int) -> Array:
        """Return (h, n, d): all chunks, one after another."""
        tokens = call.real.shape[1]
        size = max(call.window * max(call.dilations), 1)
        chunks = [self.chunk(call, b, first, size) for first in range(0, tokens, size)]
        return self.join(chunks, tokens)

    def chunk(self, call: Call, b: int, first: int, size: int) -> Array:
        """Return (h, s, d): the rows from `first` on, those beyond the end of the sequence included."""
        query, key, value = self.local_inputs(call, b)
        tokens = call.real.shape[1]
        rows, near = np.arange(first, first + size), self.gathered(first, size, tokens)
        far = self.global_columns(call, b)
        index = np.clip(np.concatenate([near, far]), 0, tokens - 1)
        seen = np.concatenate(
            [
                self.window_part(call, rows, near) & self.attendable(call, b, near)[None, None],
                np.ones((len(call.dilations), size, len(far)), bool),
            ],
            axis=-1,
        )
        inside = np.minimum(rows, tokens - 1)
        local = (rows < tokens) & call.real[b][inside] & ~call.flagged[b][inside]
        seen &= local[None, :, None]
        p = self.softmax(call, self.scores(call, query[:, inside], key[:, index]), seen)
        return self.weigh(call, p, value[:, index])

    def gathered(self, first: int, size: int, tokens: int) -> Array:
        """Return (3 s,): the positions of the chunk and its neighbors; those outside the sequence are masked later."""
        return np.arange(first - size, first + 2 * size)

    def global_columns(self, call: Call, b: int) -> Array:
        """Return (g,): the positions of the global tokens."""
        return np.flatnonzero(call.flagged[b])

    def attendable(self, call: Call, b: int, near: Array) -> Array:
        """Return (3 s,): the real tokens inside the sequence that are not global."""
        tokens = call.real.shape[1]
        at = np.clip(near, 0, tokens - 1)
        return (near >= 0) & (near < tokens) & call.real[b][at] & ~call.flagged[b][at]

    def window_part(self, call: Call, rows: Array, near: Array) -> Array:
        """Return (h, s, 3 s): the band, which cuts two corners off the gathered keys."""
        ahead = near[None, :] - rows[:, None]
        return np.array([self.before(call, ahead, d) & self.after(call, ahead, d) for d in call.dilations])

    def before(self, call: Call, ahead: Array, dilation: int) -> Array:
        return (ahead >= -call.window * dilation) & (ahead % dilation == 0)

    def after(self, call: Call, ahead: Array, dilation: int) -> Array:
        return ahead <= (0 if call.causal else call.window * dilation)

    def join(self, chunks: list[Array], tokens: int) -> Array:
        return np.concatenate(chunks, axis=1)[:, :tokens]

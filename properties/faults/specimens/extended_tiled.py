"""The specimen of the second edition as fused kernels do it: blocks of rows, tiles of keys, an online softmax."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall

TILE = 4  # keys of a tile, and rows of a block: small, so that few tokens have several


class ExtendedTiled(Extended):
    """Blocks of rows that walk only the tiles of keys that their windows reach. State: maximum, sum, result."""

    def attend(self, call: ExtendedCall, inputs: list[Array], keys: Array) -> tuple[Array, Array]:
        blocks = [self.block(call, inputs, keys, slice(row, row + TILE)) for row in range(0, keys.shape[1], TILE)]
        return np.concatenate([output for output, _ in blocks], 1), np.concatenate([lse for _, lse in blocks], 1)

    def block(self, call: ExtendedCall, inputs: list[Array], keys: Array, rows: slice) -> tuple[Array, Array]:
        """Return the output (h, t, e) and lse (h, t, 1) of a block of rows."""
        query, key, value = inputs
        query, keys = query[:, rows], keys[:, rows]
        top = np.full((*query.shape[:2], 1), -np.inf, call.wide)
        total: Array = np.zeros(top.shape, call.wide)
        result = np.zeros((*query.shape[:2], value.shape[-1]), call.wide)
        for first in self.tiles(call, rows):
            tile = slice(first, first + TILE)
            seen = self.tile_keys(call, keys[:, :, tile], rows, first)
            scores = self.tile_scores(call, query, key[:, tile], seen, rows, tile)
            higher = self.higher(top, scores)
            weights = np.exp(scores - np.where(np.isfinite(higher), higher, 0)).astype(call.wide)
            rescale = self.rescale(call, top, higher)
            total = self.add_sum(call, total, rescale, weights, higher)
            result = result * rescale + weights @ value[:, tile]
            top = higher
        return self.close(call, top, total, result)

    def reach(self, call: ExtendedCall, rows: slice) -> tuple[int, int]:
        """Return the first key that a block of rows may attend, and the one after the last."""
        at, step = call.at[call.index][rows], max(call.dilations)
        everything = call.flagged[call.index].any()
        first = 0 if call.left is None or everything else int(at[0]) - call.left * step
        last = call.tokens if call.right is None or everything else int(at[-1]) + call.right * step + 1
        return max(first, 0), min(last, call.tokens)

    def tiles(self, call: ExtendedCall, rows: slice) -> range:
        """Return the first key of each tile that a block of rows walks."""
        first, last = self.reach(call, rows)
        return range(first // TILE * TILE, last, TILE)

    def tile_keys(self, call: ExtendedCall, keys: Array, rows: slice, first: int) -> Array:
        """Return (h, t, t): what the rows of a block attend in a tile."""
        return keys

    def tile_scores(self, call: ExtendedCall, query: Array, key: Array, keys: Array, rows: slice, tile: slice) -> Array:
        """Return (h, t, t): the scores of a block of rows and a tile of keys, -inf where a row does not attend."""
        scores, slope = self.cap(call, self.products(call, query, key)), self.slope_scores(call)
        return np.where(keys, scores if slope is None else scores + slope[:, rows, tile], -np.inf)

    def higher(self, top: Array, scores: Array) -> Array:
        return np.maximum(top, scores.max(axis=-1, keepdims=True))

    def rescale(self, call: ExtendedCall, top: Array, higher: Array) -> Array:
        """Return (h, t, 1): the factor of the sums so far."""
        return np.where(np.isfinite(top), np.exp(top - higher), 0).astype(call.wide)

    def add_sum(self, call: ExtendedCall, total: Array, rescale: Array, weights: Array, higher: Array) -> Array:
        return total * rescale + weights.sum(axis=-1, keepdims=True)

    def close(self, call: ExtendedCall, top: Array, total: Array, result: Array) -> tuple[Array, Array]:
        """Return output and lse of a block, with the term of the sink."""
        sinks = self.sinks(call, top)
        higher = self.largest(top, sinks)
        rescale = self.rescale(call, top, higher)
        total = total * rescale + np.exp(sinks - np.where(np.isfinite(higher), higher, 0))
        return result * rescale / np.where(total == 0, 1, total), self.log_sum(call, higher, total)

"""A correct kernel that walks the keys in tiles and keeps a running maximum, sum and result: the fused-kernel way."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.specimens.plain import Array, Call, Specimen

TILE = 2


class Tiled(Specimen):
    """The specimen with an online softmax. State: maximum (h, n, 1), sum (h, n, 1), result (h, n, d)."""

    def rows(self, call: Call, inputs: list[Array], keys: Array) -> tuple[Array, Array]:
        query, key, value = inputs
        probabilities = self.softmax(call, self.scores(call, query, key), keys)  # of the backward pass
        return probabilities, self.online(call, query, key, value, keys)

    def online(self, call: Call, query: Array, key: Array, value: Array, keys: Array) -> Array:
        """Return (h, n, d): the output, one tile of keys after another."""
        shape = (*query.shape[:2], 1)
        top = np.full(shape, -np.inf, call.wide)
        total: Array = np.zeros(shape, call.wide)
        result: Array = np.zeros(query.shape, call.wide)
        for first in self.tiles(key.shape[1]):
            tile = np.s_[:, first : first + TILE]
            scores = np.where(keys[..., tile[1]], self.scores(call, query, key[tile]), -np.inf)
            higher = self.higher(top, scores)
            weights = self.tile_weights(call, scores, higher)
            rescale = self.rescale(call, top, higher, first)
            total = self.add_sum(total, rescale, weights)
            result = self.add_result(result, rescale, weights @ value[tile])
            top = higher
        return self.divide(result, total)

    def tiles(self, tokens: int) -> range:
        return range(0, tokens, TILE)

    def higher(self, top: Array, scores: Array) -> Array:
        return np.maximum(top, scores.max(axis=-1, keepdims=True))

    def tile_weights(self, call: Call, scores: Array, top: Array) -> Array:
        """Return (h, n, t): exp(s - m); a row that has seen no key yet has only zeros."""
        return np.exp(scores - np.where(np.isfinite(top), top, 0)).astype(call.wide)

    def rescale(self, call: Call, top: Array, higher: Array, first: int) -> Array:
        """Return (h, n, 1): the factor of the sums so far."""
        return np.where(np.isfinite(top), np.exp(top - higher), 0).astype(call.wide)

    def add_sum(self, total: Array, rescale: Array, weights: Array) -> Array:
        return total * rescale + weights.sum(axis=-1, keepdims=True)

    def add_result(self, result: Array, rescale: Array, part: Array) -> Array:
        return result * rescale + part

    def divide(self, result: Array, total: Array) -> Array:
        return result / np.where(total == 0, 1, total)

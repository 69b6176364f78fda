"""Faults of an online softmax: the running maximum, the running sum, the tiles."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call
from trueband.properties.faults.specimens.tiled import TILE, Tiled


@fault(
    "tiles",
    "the result so far is not rescaled when the maximum rises",
    "matches_reference",
    "associative_recall",
    step="add_result",
    of=Tiled,
)
def result_not_rescaled(self: Tiled, result: Array, rescale: Array, part: Array) -> Array:
    return result + part


@fault(
    "tiles",
    "the sum so far is not rescaled when the maximum rises",
    "matches_reference",
    "integer_scores",
    step="add_sum",
    of=Tiled,
)
def sum_not_rescaled(self: Tiled, total: Array, rescale: Array, weights: Array) -> Array:
    return total + weights.sum(axis=-1, keepdims=True)


@fault("tiles", "the third tile does not rescale", "matches_reference", "integer_scores", step="rescale", of=Tiled)
def third_tile_not_rescaled(self: Tiled, call: Call, top: Array, higher: Array, first: int) -> Array:
    factor = Tiled.rescale(self, call, top, higher, first)
    return np.ones_like(factor) if first == 2 * TILE else factor


@fault("tiles", "rescaling is the wrong way round", "matches_reference", "integer_scores", step="rescale", of=Tiled)
def rescaled_inversely(self: Tiled, call: Call, top: Array, higher: Array, first: int) -> Array:
    return np.where(np.isfinite(top), np.exp(higher - top), 0).astype(call.wide)


@fault("tiles", "the maximum of the first tile is kept", "temperature_limit", step="higher", of=Tiled)
def maximum_of_first_tile(self: Tiled, top: Array, scores: Array) -> Array:
    return np.where(np.isfinite(top), top, Tiled.higher(self, top, scores))


@fault("tiles", "the running maximum starts at 0", "temperature_limit", "key_shift", step="higher", of=Tiled)
def maximum_starts_at_0(self: Tiled, top: Array, scores: Array) -> Array:
    return np.maximum(np.where(np.isfinite(top), top, 0), scores.max(axis=-1, keepdims=True))


@fault(
    "tiles",
    "the maximum is shared by all rows of a tile",
    "temperature_limit",
    "matches_reference",
    step="higher",
    of=Tiled,
)
def maximum_shared_by_rows(self: Tiled, top: Array, scores: Array) -> Array:
    higher = Tiled.higher(self, top, scores)
    return np.broadcast_to(higher.max(axis=1, keepdims=True), higher.shape)


@fault("tiles", "the maximum is shared by all heads", "temperature_limit", "matches_reference", step="higher", of=Tiled)
def maximum_shared_by_heads(self: Tiled, top: Array, scores: Array) -> Array:
    higher = Tiled.higher(self, top, scores)
    return np.broadcast_to(higher.max(axis=0, keepdims=True), higher.shape)


@fault("tiles", "a last tile that is not full is skipped", "mask_decoding", "reachability", step="tiles", of=Tiled)
def last_tile_skipped(self: Tiled, tokens: int) -> range:
    return range(0, max(tokens - tokens % TILE, 1), TILE)


@fault(
    "tiles", "the first tile is skipped where there are others", "mask_decoding", "reachability", step="tiles", of=Tiled
)
def first_tile_skipped(self: Tiled, tokens: int) -> range:
    return range(TILE if tokens > TILE else 0, tokens, TILE)


@fault("tiles", "tiles overlap by one key", "mask_decoding", "matches_reference", step="tiles", of=Tiled)
def tiles_overlap(self: Tiled, tokens: int) -> range:
    return range(0, tokens, TILE - 1)


@fault(
    "tiles", "tiles after the first 64 keys are skipped", "mask_decoding", "matches_reference", step="tiles", of=Tiled
)
def tiles_end_at_64(self: Tiled, tokens: int) -> range:
    return range(0, min(tokens, 64), TILE)


@fault(
    "tiles",
    "a tile without a key that the row attends gives NaN",
    "mask_decoding",
    "matches_reference",
    step="tile_weights",
    of=Tiled,
    seen="mlx PR 2608, pytorch #103749",
)
def empty_tile_is_nan(self: Tiled, call: Call, scores: Array, top: Array) -> Array:
    return np.exp(scores - top).astype(call.wide)


@fault(
    "tiles",
    "tiles in front of a row's first key count with weight 1",
    "mask_decoding",
    "constant_values",
    step="tile_weights",
    of=Tiled,
    seen="finfo.min in place of -inf",
)
def empty_tile_counts(self: Tiled, call: Call, scores: Array, top: Array) -> Array:
    return np.where(np.isfinite(top), np.exp(scores - top), 1).astype(call.wide)


@fault(
    "tiles",
    "where nothing was seen before, the rescaling is NaN",
    "mask_decoding",
    "matches_reference",
    step="rescale",
    of=Tiled,
    seen="-inf - (-inf) in fused attention",
)
def first_rescale_is_nan(self: Tiled, call: Call, top: Array, higher: Array, first: int) -> Array:
    return np.exp(top - higher).astype(call.wide)


@fault("tiles", "the result is kept in half precision between tiles", "matches_reference", step="add_result", of=Tiled)
def result_in_half(self: Tiled, result: Array, rescale: Array, part: Array) -> Array:
    return Tiled.add_result(self, result, rescale, part).astype(np.float16).astype(part.dtype)


@fault("tiles", "the sum is kept in half precision between tiles", "matches_reference", step="add_sum", of=Tiled)
def sum_in_half(self: Tiled, total: Array, rescale: Array, weights: Array) -> Array:
    return Tiled.add_sum(self, total, rescale, weights).astype(np.float16).astype(weights.dtype)


@fault(
    "tiles",
    "the result is divided by the sum of its first tile",
    "constant_values",
    "matches_reference",
    step="add_sum",
    of=Tiled,
)
def sum_of_first_tile(self: Tiled, total: Array, rescale: Array, weights: Array) -> Array:
    return np.where(total > 0, total * rescale, weights.sum(axis=-1, keepdims=True))


@fault(
    "tiles",
    "the sums of two tiles are averaged, not added",
    "mask_decoding",
    "constant_values",
    step="add_sum",
    of=Tiled,
)
def sums_averaged(self: Tiled, total: Array, rescale: Array, weights: Array) -> Array:
    added = Tiled.add_sum(self, total, rescale, weights)
    return np.where((total > 0) & (weights.sum(axis=-1, keepdims=True) > 0), added / 2, added)


@fault("tiles", "the result is never divided by the sum", "constant_values", "mask_decoding", step="divide", of=Tiled)
def never_divided(self: Tiled, result: Array, total: Array) -> Array:
    return result


@fault(
    "tiles",
    "the division uses the sum of the first head",
    "matches_reference",
    "head_permutation",
    step="divide",
    of=Tiled,
)
def sum_of_head_0(self: Tiled, result: Array, total: Array) -> Array:
    return Tiled.divide(self, result, np.broadcast_to(total[:1], total.shape))

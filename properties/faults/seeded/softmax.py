"""Faults of the scores, the softmax and the scale."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault("scale", "the scale is 0.1 % too large", "matches_reference", "integer_scores", step="scores")
def scale_too_large(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, query, key) * call.wide(1.001)


@fault("scale", "the default scale is 1 / head_dim", "default_scale", "matches_reference", step="read")
def scale_is_1_over_d(self: Specimen, *arrays: Array, **options: object) -> Call:
    call = Specimen.read(self, *arrays, **options)  # type: ignore[arg-type]
    return call if options.get("scale") is not None else Call(**{**vars(call), "scale": 1 / arrays[0].shape[-1]})


@fault("scale", "the scale argument is ignored", "scale_is_a_factor", "matches_reference", step="read")
def scale_ignored(self: Specimen, *arrays: Array, **options: object) -> Call:
    return Specimen.read(self, *arrays, **{**options, "scale": None})  # type: ignore[arg-type]


@fault("softmax", "the largest score is not subtracted", "key_shift", "temperature_limit", step="softmax")
def max_not_subtracted(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    return self.normalize(call, np.where(keys, np.exp(scores), 0).astype(call.wide), keys)


@fault("softmax", "scores are clipped at 8", "temperature_limit", "associative_recall", step="scores")
def scores_clipped(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return np.clip(Specimen.scores(self, call, query, key), -8, 8)


@fault(
    "softmax",
    "the normalizer counts one key too many",
    "constant_values",
    "mask_decoding",
    "own_value",
    step="normalize",
)
def sink_in_normalizer(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    return weights / (weights.sum(axis=-1, keepdims=True) + 1)


@fault("softmax", "weights are divided by a quarter of the length", "convexity", "constant_values", step="normalize")
def divided_by_length(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    return weights * call.wide(4 / weights.shape[-1])


@fault(
    "softmax",
    "the last key of a row does not enter the normalizer",
    "constant_values",
    "value_gradient_mass",
    "matches_reference",
    step="normalize",
)
def last_key_not_normalized(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    total = weights.sum(axis=-1, keepdims=True) - weights[..., -1:] * (keys.sum(axis=-1, keepdims=True) > 1)
    return weights / np.where(total == 0, 1, total)


@fault("softmax", "log2(e) is wrong in the fourth digit", "matches_reference", "integer_scores", step="scores")
def log2_e_wrong(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, query, key) * call.wide(1.4429 / 1.442695)


@fault("softmax", "the first channel of the query is dropped", "rotation", "matches_reference", step="scores")
def first_channel_dropped(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, query[..., 1:], key[..., 1:])


@fault(
    "softmax", "queries are rounded to multiples of 4/3", "power_of_two_exchange", "matches_reference", step="scores"
)
def queries_quantized(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, (np.rint(query * 0.75) / 0.75).astype(call.wide), key)


@fault("softmax", "every third row uses the query of the row before", "translation", "matches_reference", step="scores")
def neighbor_query(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    mixed = query.copy()
    mixed[:, 1::3] = query[:, 0::3][:, : mixed[:, 1::3].shape[1]]
    return Specimen.scores(self, call, mixed, key)

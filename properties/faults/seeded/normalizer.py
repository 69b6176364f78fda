"""Faults of the exponential and of the normalizer."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault(
    "softmax",
    "the exponential has base 2",
    "matches_reference",
    "integer_scores",
    step="softmax",
    seen="exp2 without log2(e)",
)
def exponential_of_base_2(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    return Specimen.softmax(self, call, scores * call.wide(np.log(2)), keys)


@fault("softmax", "log2(e) is cut to seven digits", "matches_reference", "integer_scores", step="softmax")
def log2_e_cut_to_7_digits(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    return Specimen.softmax(self, call, scores * call.wide(1.442695 / 1.4426950408889634), keys)


@fault(
    "softmax",
    "the exponential is a polynomial of degree 4",
    "matches_reference",
    "integer_scores",
    step="softmax",
    seen="fast exponentials",
)
def exponential_is_a_polynomial(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    scores = np.where(keys, scores, -np.inf)
    top = scores.max(axis=-1, keepdims=True)
    x = np.where(keys, scores - np.where(np.isfinite(top), top, 0), 0) / np.log(2)
    whole = np.floor(x)
    rest = (x - whole) * np.log(2)
    power = np.exp2(np.maximum(whole, -120)) * (1 + rest * (1 + rest / 2 * (1 + rest / 3 * (1 + rest / 4))))
    return self.normalize(call, np.where(keys, power, 0).astype(call.wide), keys)


@fault("softmax", "exponents below -8 are raised to -8", "temperature_limit", "associative_recall", step="softmax")
def small_exponents_floored(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    top = np.where(keys, scores, -np.inf).max(axis=-1, keepdims=True)
    return Specimen.softmax(self, call, np.maximum(scores, top - 8), keys)


@fault("softmax", "probabilities below 1/1000 are dropped", "matches_reference", step="normalize")
def small_probabilities_dropped(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    p = Specimen.normalize(self, call, weights, keys)
    return np.where(p < 1e-3, 0, p)


@fault(
    "softmax",
    "only the 8 likeliest keys count",
    "mask_decoding",
    "matches_reference",
    step="normalize",
    seen="top-k attention",
)
def only_8_keys_count(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    least = np.sort(weights, axis=-1)[..., -8:][..., :1]
    return Specimen.normalize(self, call, np.where(weights > least, weights, weights * (weights == least)), keys) * (
        np.cumsum(weights >= least, axis=-1) <= 8
    )


@fault("softmax", "an epsilon of 1e-6 is added to the normalizer", "constant_values", "own_value", step="normalize")
def epsilon_in_normalizer(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    return weights / (weights.sum(axis=-1, keepdims=True) + call.wide(1e-6))


@fault("softmax", "the normalizer saturates at 6", "mask_decoding", "constant_values", step="normalize")
def normalizer_saturates(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    total = np.minimum(weights.sum(axis=-1, keepdims=True), 6)
    return weights / np.where(total == 0, 1, total)


@fault(
    "softmax",
    "probabilities are normalized over the queries",
    "mask_decoding",
    "constant_values",
    step="normalize",
    seen="softmax over the wrong axis",
)
def normalized_over_queries(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    total = weights.sum(axis=-2, keepdims=True)
    return weights / np.where(total == 0, 1, total)


@fault("softmax", "probabilities are normalized over the heads", "mask_decoding", "constant_values", step="normalize")
def normalized_over_heads(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    total = weights.sum(axis=0, keepdims=True)
    return weights / np.where(total == 0, 1, total)


@fault("softmax", "the normalizer is that of the row before", "constant_values", "matches_reference", step="normalize")
def normalizer_of_row_before(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    total = np.roll(weights.sum(axis=-1, keepdims=True), 1, axis=1)
    return weights / np.where(total == 0, 1, total)


@fault(
    "softmax",
    "the largest score of the whole sequence is subtracted",
    "temperature_limit",
    "matches_reference",
    step="softmax",
)
def maximum_of_the_sequence(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    top = np.where(keys, scores, -np.inf).max(initial=-np.inf)
    weights: Array = np.where(keys, np.exp(scores - (top if np.isfinite(top) else 0)), 0).astype(call.wide)
    return self.normalize(call, weights, keys)


@fault("softmax", "the likeliest key takes all", "matches_reference", "mask_decoding", step="normalize")
def likeliest_key_takes_all(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    first = np.cumsum(weights == weights.max(axis=-1, keepdims=True), axis=-1) == 1
    return (first & (weights == weights.max(axis=-1, keepdims=True)) & keys).astype(call.wide)


@fault("softmax", "dropout is on", "mask_decoding", "constant_values", step="normalize", seen="dropout left on in eval")
def dropout_left_on(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    p = Specimen.normalize(self, call, weights, keys)
    dropped = np.random.default_rng(0).random(p.shape[-2:]) < 0.1
    return (np.where(dropped, 0, p) / 0.9).astype(call.wide)


@fault("softmax", "the softmax is taken twice", "matches_reference", "integer_scores", step="normalize")
def softmax_taken_twice(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    p = Specimen.normalize(self, call, weights, keys)
    return Specimen.normalize(self, call, (np.exp(p) * keys).astype(call.wide), keys)

"""Faults of precision: something is kept in too narrow a format, or cut where it should not be."""

from __future__ import annotations

import numpy as np

from trueband.properties.bounds.precision import round_to
from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


def _through(array: Array, dtype: str) -> Array:
    """Round to a narrower format and back."""
    return round_to(array.astype(np.float64), dtype).astype(array.dtype)


@fault("precision", "scores are stored in half precision", "matches_reference", "key_shift", step="scores")
def scores_in_half(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return _through(Specimen.scores(self, call, query, key), "float16")


@fault("precision", "scores are stored in bfloat16", "matches_reference", "key_shift", step="scores")
def scores_in_bfloat16(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return _through(Specimen.scores(self, call, query, key), "bfloat16")


@fault(
    "precision", "queries and keys lose all but 11 bits", "matches_reference", step="scores", seen="TF32 silently on"
)
def tf32_scores(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, _through(query, "float16"), _through(key, "float16"))


@fault("precision", "values lose all but 8 bits", "matches_reference", "own_value", step="weigh")
def bfloat16_values(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities @ _through(value, "bfloat16")


@fault("precision", "the output is rounded to half precision on the way", "matches_reference", step="finish")
def output_through_half(self: Specimen, call: Call, output: Array, dtype: np.dtype[np.floating]) -> Array:
    return Specimen.finish(self, call, _through(output, "float16"), dtype)


@fault(
    "precision", "the normalizer is summed in half precision", "matches_reference", "constant_values", step="normalize"
)
def normalizer_in_half(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    total = np.zeros((*weights.shape[:-1], 1), np.float16)
    for j in range(weights.shape[-1]):
        total = (total + weights[..., j : j + 1]).astype(np.float16)
    return weights / np.where(total == 0, 1, total).astype(call.wide)


@fault(
    "precision",
    "the softmax runs in single precision for double inputs",
    "matches_reference",
    step="normalize",
    seen="transformers 5.23: softmax in float32 whatever the dtype",
)
def softmax_in_single(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    return Specimen.normalize(self, call, weights, keys).astype(np.float32).astype(call.wide)


@fault("precision", "products run in single precision for double inputs", "matches_reference", step="weigh")
def products_in_single(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return (probabilities.astype(np.float32) @ value.astype(np.float32)).astype(call.wide)


@fault(
    "precision",
    "weights are rounded after the sum is taken of the unrounded ones",
    "constant_values",
    "matches_reference",
    step="normalize",
)
def numerator_rounded_alone(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    total = weights.sum(axis=-1, keepdims=True)
    return _through(weights, "bfloat16") / np.where(total == 0, 1, total)


@fault(
    "precision",
    "weights that half precision cannot hold are 0",
    "integer_scores",
    "matches_reference",
    step="normalize",
)
def weights_underflow_half(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    return Specimen.normalize(self, call, np.where(weights < 2.0**-14, 0, weights), keys)


@fault(
    "precision",
    "large results are clamped as for half precision",
    "powers_of_two",
    step="finish",
    seen="LED's clamp, always on; transformers PR 19229",
)
def output_clamped(self: Specimen, call: Call, output: Array, dtype: np.dtype[np.floating]) -> Array:
    return Specimen.finish(self, call, np.clip(output, -64504, 64504), dtype)


@fault("precision", "small results are flushed to 0", "powers_of_two", step="finish")
def small_output_flushed(self: Specimen, call: Call, output: Array, dtype: np.dtype[np.floating]) -> Array:
    return Specimen.finish(self, call, np.where(abs(output) < 1e-7, 0, output), dtype)


@fault(
    "precision",
    "values are centered before they are weighed, and the center is rounded",
    "matches_reference",
    "own_value",
    step="weigh",
)
def center_rounded(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    center = value.mean(axis=1, keepdims=True).astype(call.wide)
    some = probabilities.sum(axis=-1, keepdims=True) > 0
    return probabilities @ (value - center) + some * _through(center, "float16")

"""Faults of the scores: the scale, and terms of other models left in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault(
    "scale",
    "the default scale is that of the hidden size, not of the head",
    "default_scale",
    "matches_reference",
    step="read",
)
def scale_of_hidden_size(self: Specimen, *arrays: Array, **options: Any) -> Call:
    call = Specimen.read(self, *arrays, **options)
    hidden = arrays[0].shape[1] * arrays[0].shape[-1]
    return call if options.get("scale") is not None else replace(call, scale=hidden**-0.5)


@fault("scale", "there is no default scale", "default_scale", "matches_reference", step="read", seen="T5's attention")
def scale_missing(self: Specimen, *arrays: Array, **options: Any) -> Call:
    call = Specimen.read(self, *arrays, **options)
    return call if options.get("scale") is not None else replace(call, scale=1.0)


@fault("scale", "the scale is applied twice", "scale_is_a_factor", "matches_reference", step="scores")
def scaled_twice(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, query, key) * call.wide(call.scale)


@fault("scale", "a given scale divides instead of multiplying", "scale_is_a_factor", "matches_reference", step="read")
def scale_divides(self: Specimen, *arrays: Array, **options: Any) -> Call:
    call = Specimen.read(self, *arrays, **options)
    return call if not options.get("scale") else replace(call, scale=1 / call.scale)


@fault("scale", "a scale of 0 is taken for none", "any_finite_scale", step="read", seen="scale = scale or default")
def scale_0_is_default(self: Specimen, *arrays: Array, **options: Any) -> Call:
    return Specimen.read(self, *arrays, **{**options, "scale": options.get("scale") or None})


@fault("scale", "the sign of the scale is lost", "any_finite_scale", step="scores")
def scale_sign_lost(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, replace(call, scale=abs(call.scale)), query, key)


@fault(
    "scale",
    "the scale grows with the logarithm of the length",
    "matches_reference",
    "repeated_sequence",
    step="scores",
    seen="Qwen's logn attention",
)
def scale_grows_with_length(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, query, key) * call.wide(1 + np.log(key.shape[1]))


@fault("scale", "a scale below 1/2 is raised to 1/2", "matches_reference", step="scores")
def scale_floored(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, replace(call, scale=max(call.scale, 0.5)), query, key)


@fault("scale", "the scale of the first head is 1", "head_permutation", "matches_reference", step="scores")
def head_0_unscaled(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    scores = Specimen.scores(self, call, query, key)
    scores[0] = query[0] @ key[0].T
    return scores


@fault(
    "softmax",
    "scores are capped softly at 30",
    "temperature_limit",
    "integer_scores",
    step="scores",
    seen="Gemma 2's logit soft-capping",
)
def soft_cap_left_on(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return (30 * np.tanh(Specimen.scores(self, call, query, key) / 30)).astype(call.wide)


@fault("softmax", "a slope by distance is left on", "mask_decoding", "matches_reference", step="scores", seen="ALiBi")
def distance_bias_left_on(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    position = np.arange(key.shape[1])
    distance = abs(position[None, :] - position[:, None])
    return Specimen.scores(self, call, query, key) - (distance / 4).astype(call.wide)


@fault("softmax", "rotary positions are left on", "matches_reference", "integer_scores", step="scores", seen="RoPE")
def rotary_left_on(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    def turned(array: Array) -> Array:
        angle = np.arange(array.shape[1])[:, None]
        half = array.shape[-1] // 2
        even, odd = array[..., :half], array[..., half : 2 * half]
        parts = [even * np.cos(angle) - odd * np.sin(angle), even * np.sin(angle) + odd * np.cos(angle)]
        return np.concatenate([*parts, array[..., 2 * half :]], axis=-1).astype(call.wide)

    return Specimen.scores(self, call, turned(query), turned(key))


@fault(
    "softmax", "queries are normalized first", "matches_reference", "scale_is_a_factor", step="scores", seen="QK-norm"
)
def queries_normalized(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    length = np.sqrt((query**2).sum(axis=-1, keepdims=True))
    return Specimen.scores(self, call, (query / np.where(length == 0, 1, length)).astype(call.wide), key)


@fault("softmax", "the mean key is not subtracted alike in every row", "key_shift", "matches_reference", step="scores")
def keys_centered_by_parity(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    mean = key.mean(axis=1, keepdims=True)
    key = key - mean * (np.arange(key.shape[1]) % 2)[None, :, None]
    return Specimen.scores(self, call, query, key.astype(call.wide))


@fault("softmax", "negative scores are set to 0", "matches_reference", "integer_scores", step="scores")
def negative_scores_lost(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return np.maximum(Specimen.scores(self, call, query, key), 0)


@fault("softmax", "scores lose their sign", "matches_reference", "integer_scores", step="scores")
def score_signs_lost(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return abs(Specimen.scores(self, call, query, key))


@fault("softmax", "scores are transposed: the key's row asks", "matches_reference", "integer_scores", step="scores")
def scores_transposed(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, query, key).transpose(0, 2, 1)


@fault("softmax", "the product of the last channels is added twice", "rotation", "matches_reference", step="scores")
def last_channel_twice(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    more = query[..., -1:] @ key[..., -1:].transpose(0, 2, 1) * call.wide(call.scale)
    return Specimen.scores(self, call, query, key) + more


@fault("softmax", "scores read the first 32 channels only", "matches_reference", "associative_recall", step="scores")
def channels_beyond_32_lost(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, query[..., :32], key[..., :32])


@fault("softmax", "an odd last channel is dropped from the scores", "matches_reference", "rotation", step="scores")
def odd_channel_lost(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    even = max(query.shape[-1] - query.shape[-1] % 2, 1)
    return Specimen.scores(self, call, query[..., :even], key[..., :even])


@fault(
    "softmax",
    "scores beyond what half precision holds become infinite",
    "temperature_limit",
    step="scores",
    seen="unscaled fp16 products, allenai/longformer #2",
)
def scores_overflow_half(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    scores = Specimen.scores(self, call, query, key)
    return np.where(abs(scores) > 65504, np.copysign(np.inf, scores), scores).astype(call.wide)

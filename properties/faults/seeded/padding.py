"""Faults of padding: leaks, wrong rows, and what masked tokens hold."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault(
    "padding",
    "the first masked token after a real one is attended",
    "mask_decoding",
    "masking_is_removal",
    "right_padding_invariance",
    step="local_keys",
)
def first_pad_leaks(self: Specimen, call: Call, b: int) -> Array:
    keys = Specimen.local_keys(self, call, b)
    for i in np.flatnonzero(call.real[b][:-1] & ~call.real[b][1:]):
        keys[:, i, i + 1] = call.window > 0
    return keys


@fault(
    "padding",
    "padding is not masked at all",
    "mask_decoding",
    "matches_reference",
    step="local_keys",
    seen="huggingface/transformers PR 5219",
)
def padding_attended(self: Specimen, call: Call, b: int) -> Array:
    everywhere = Call(**{**vars(call), "real": np.ones_like(call.real)})
    return Specimen.local_keys(self, everywhere, b)


@fault(
    "padding",
    "the mask of the first row of the batch is used for all",
    "batch_permutation",
    "row_alone",
    "batch_invariance",
    step="local_keys",
)
def mask_of_row_0(self: Specimen, call: Call, b: int) -> Array:
    keys = np.repeat(call.real[:1], len(call.real), axis=0)
    shared = Specimen.local_keys(self, Call(**{**vars(call), "real": keys}), b)
    return shared & call.real[b][None, :, None]


@fault("padding", "masked rows are not set to 0", "masked_rows_are_zero", "fully_masked_sequence", step="local_keys")
def masked_rows_attend(self: Specimen, call: Call, b: int) -> Array:
    keys = Specimen.local_keys(self, call, b)
    return keys | (call.real[b][None, None, :] & ~call.real[b][None, :, None])


@fault(
    "padding",
    "values of masked tokens are read, and weighed with 0",
    "masked_content_is_ignored",
    "padding_at_size",
    step="local_inputs",
)
def masked_values_read(self: Specimen, call: Call, b: int) -> list[Array]:
    query, key, _ = Specimen.local_inputs(self, call, b)
    return [query, key, call.local[2][b].astype(call.wide)]


@fault(
    "padding",
    "a row without keys divides 0 by 0",
    "fully_masked_sequence",
    "masked_rows_are_zero",
    step="normalize",
    seen="pytorch #103749",
)
def empty_row_is_nan(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    return weights / weights.sum(axis=-1, keepdims=True)


@fault(
    "padding",
    "a row without keys is a uniform mean",
    "fully_masked_sequence",
    step="normalize",
    seen="transformers XLM-RoBERTa, eager",
)
def empty_row_is_uniform(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    p = Specimen.normalize(self, call, weights, keys)
    return np.where(keys.any(axis=-1, keepdims=True), p, 1 / p.shape[-1]).astype(call.wide)


@fault(
    "padding",
    "masked scores are lowered by 10000 instead of excluded",
    "temperature_limit",
    "locality",
    step="softmax",
    seen="transformers PR 17306",
)
def minus_10000(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    lowered: Array = np.where(keys, scores, scores - 10000).astype(call.wide)
    weights = np.exp(lowered - lowered.max(axis=-1, keepdims=True))
    return self.normalize(call, np.where(keys.any(axis=-1, keepdims=True), weights, 0), keys)


@fault("padding", "an attention mask of ones widens the window", "no_mask_is_all_ones", step="read")
def mask_shifts_window(self: Specimen, *arrays: Array, **options: object) -> Call:
    call = Specimen.read(self, *arrays, **options)  # type: ignore[arg-type]
    has_mask = options.get("attention_mask") is not None
    return Call(**{**vars(call), "window": call.window + 1}) if has_mask and call.real.all() else call


@fault(
    "padding",
    "padding is left out by moving the window: rows see further past masked tokens",
    "mask_decoding",
    step="local_keys",
    seen="sentence-transformers PR 3879 (positions of packed batches)",
)
def positions_skip_padding(self: Specimen, call: Call, b: int) -> Array:
    position = np.cumsum(call.real[b])
    near = abs(position[None, :] - position[:, None]) <= call.window * np.array(call.dilations)[:, None, None]
    keys = Specimen.local_keys(self, call, b)
    return keys | (
        near & call.real[b][None, None, :] & (call.real[b] & ~call.flagged[b])[None, :, None] & (not call.causal)
    )

"""Faults of how the padding mask is applied: where in the formula, with which sign, from which row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault("padding", "True is taken for padding", "mask_decoding", "masked_rows_are_zero", step="read")
def mask_inverted(self: Specimen, *arrays: Array, **options: Any) -> Call:
    mask = options.get("attention_mask")
    return Specimen.read(self, *arrays, **{**options, "attention_mask": None if mask is None else ~mask})


for _name, _by in (("late", 1), ("early", -1)):

    @fault(
        "padding",
        f"the mask of the keys is one token {_name}",
        "mask_decoding",
        "masking_is_removal",
        step="local_keys",
        name=f"mask_one_{_name}",
    )
    def _mask_moved(self: Specimen, call: Call, b: int, by: int = _by) -> Array:
        moved = replace(call, real=np.roll(call.real, by, axis=1))
        return Specimen.local_keys(self, moved, b) & call.real[b][None, :, None]


@fault(
    "padding",
    "masked scores are lowered by 10 instead of excluded",
    "matches_reference",
    "mask_decoding",
    step="softmax",
)
def minus_10(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    lowered = np.where(keys, scores, scores - 10)
    weights = np.exp(lowered - lowered.max(axis=-1, keepdims=True)).astype(call.wide)
    return self.normalize(call, np.where(keys.any(axis=-1, keepdims=True), weights, 0), keys)


@fault(
    "padding",
    "masked scores are multiplied by 0 instead of excluded",
    "mask_decoding",
    "matches_reference",
    step="softmax",
    seen="huggingface/transformers PR 41620",
)
def mask_multiplied_in(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    return Specimen.softmax(self, call, scores * keys, keys.any(axis=-1, keepdims=True) & np.ones_like(keys))


@fault(
    "padding", "probabilities are masked after they are normalized", "mask_decoding", "constant_values", step="softmax"
)
def masked_after_softmax(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    everything = keys.any(axis=-1, keepdims=True) & np.ones_like(keys)
    return Specimen.softmax(self, call, scores, everything) * keys


@fault("padding", "the mask zeroes rows but no keys", "mask_decoding", "masking_is_removal", step="local_keys")
def mask_on_rows_only(self: Specimen, call: Call, b: int) -> Array:
    everywhere = replace(call, real=np.ones_like(call.real))
    return Specimen.local_keys(self, everywhere, b) & call.real[b][None, :, None]


@fault(
    "padding",
    "the mask is read as a length: the first so many tokens are real",
    "mask_decoding",
    "masked_rows_are_zero",
    step="read",
    seen="fused kernels that take sequence lengths",
)
def mask_read_as_length(self: Specimen, *arrays: Array, **options: Any) -> Call:
    mask = options.get("attention_mask")
    if mask is not None:
        options["attention_mask"] = np.arange(mask.shape[1])[None, :] < mask.sum(axis=1, keepdims=True)
    return Specimen.read(self, *arrays, **options)


@fault("padding", "the mask of the next row of the batch is used", "row_alone", "mask_decoding", step="local_keys")
def mask_of_next_row(self: Specimen, call: Call, b: int) -> Array:
    other = replace(call, real=np.roll(call.real, -1, axis=0))
    return Specimen.local_keys(self, other, b) & call.real[b][None, :, None]


@fault(
    "padding",
    "the mask is tiled over the heads instead of repeated",
    "mask_decoding",
    "row_alone",
    step="local_keys",
    seen="(batch, heads) flattened in two orders",
)
def mask_tiled_over_heads(self: Specimen, call: Call, b: int) -> Array:
    heads, batch = len(call.dilations), len(call.real)
    keys = Specimen.local_keys(self, replace(call, real=np.ones_like(call.real)), b)
    masks = call.real[[(b * heads + head) % batch for head in range(heads)]]
    return keys & masks[:, None, :] & call.real[b][None, :, None]


@fault("padding", "the first token is always real", "mask_decoding", "masked_rows_are_zero", step="read")
def first_token_always_real(self: Specimen, *arrays: Array, **options: Any) -> Call:
    mask = options.get("attention_mask")
    if mask is not None:
        options["attention_mask"] = mask | (np.arange(mask.shape[1]) == 0)
    return Specimen.read(self, *arrays, **options)


@fault("padding", "rows of masked tokens pass their value through", "masked_rows_are_zero", step="mask_heads")
def masked_rows_pass_through(self: Specimen, call: Call, output: Array) -> Array:
    value = call.local[2][call.index].astype(call.wide)
    return np.where(call.real[call.index][None, :, None], Specimen.mask_heads(self, call, output), value)


@fault(
    "padding",
    "rows of masked tokens are NaN",
    "masked_rows_are_zero",
    "matches_reference",
    step="mask_heads",
    seen="transformers: padded rows under some backends",
)
def masked_rows_are_nan(self: Specimen, call: Call, output: Array) -> Array:
    return np.where(call.real[call.index][None, :, None], Specimen.mask_heads(self, call, output), np.nan)


@fault(
    "padding",
    "causal attention ignores the mask",
    "mask_decoding",
    "matches_reference",
    step="local_keys",
    seen="is_causal and attn_mask exclude each other in scaled_dot_product_attention",
)
def causal_ignores_mask(self: Specimen, call: Call, b: int) -> Array:
    return mask_on_rows_only(self, call, b) if call.causal else Specimen.local_keys(self, call, b)


@fault(
    "padding",
    "a window that covers the sequence takes a path without the mask",
    "masking_is_removal",
    "mask_decoding",
    step="local_keys",
)
def dense_path_ignores_mask(self: Specimen, call: Call, b: int) -> Array:
    dense = call.window >= call.real.shape[1] - 1
    return mask_on_rows_only(self, call, b) if dense else Specimen.local_keys(self, call, b)


@fault(
    "padding",
    "a batch of one takes a path without the mask",
    "row_alone",
    "mask_decoding",
    step="local_keys",
    seen="transformers drops an attention mask that it holds to be trivial",
)
def lone_row_ignores_mask(self: Specimen, call: Call, b: int) -> Array:
    return mask_on_rows_only(self, call, b) if len(call.real) == 1 else Specimen.local_keys(self, call, b)


@fault(
    "padding",
    "one fully masked sequence empties the whole batch",
    "fully_masked_sequence",
    "row_alone",
    step="local_keys",
)
def masked_sequence_empties_batch(self: Specimen, call: Call, b: int) -> Array:
    return Specimen.local_keys(self, call, b) & call.real.any(axis=1).all()


@fault(
    "padding",
    "tokens of padding between real ones are attended",
    "mask_decoding",
    "masking_is_removal",
    step="local_keys",
)
def inner_padding_attended(self: Specimen, call: Call, b: int) -> Array:
    real = np.logical_or.accumulate(call.real, axis=1) & np.logical_or.accumulate(call.real[:, ::-1], axis=1)[:, ::-1]
    return Specimen.local_keys(self, replace(call, real=real), b) & call.real[b][None, :, None]


@fault(
    "padding", "rows of global tokens attend padding", "mask_decoding", "all_global_is_full_attention", step="far_keys"
)
def global_rows_attend_padding(self: Specimen, call: Call, b: int) -> Array:
    keys = np.repeat(call.flagged[b][:, None], call.real.shape[1], axis=1)
    return np.repeat(keys[None], len(call.dilations), axis=0)


@fault(
    "padding", "the output is moved by the padding in front", "masked_rows_are_zero", "mask_decoding", step="mask_heads"
)
def left_padding_moves_output(self: Specimen, call: Call, output: Array) -> Array:
    in_front = int(np.argmax(call.real[call.index]))
    return np.roll(Specimen.mask_heads(self, call, output), -in_front, axis=1)


@fault("padding", "the largest score is taken over masked keys too", "associative_recall", step="softmax")
def maximum_over_masked_keys(self: Specimen, call: Call, scores: Array, keys: Array) -> Array:
    weights: Array = np.where(keys, np.exp(scores - scores.max(axis=-1, keepdims=True)), 0).astype(call.wide)
    return self.normalize(call, weights, keys)

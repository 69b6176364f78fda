"""Faults of precision and of the weighted sum."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault("precision", "sums run in half precision", "matches_reference", "additive_in_values", step="weigh")
def half_accumulator(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    total = np.zeros(value.shape, np.float16)
    for j in range(value.shape[1]):
        total = (total + (probabilities[:, :, j, None] * value[:, None, j])).astype(np.float16)
    return total.astype(call.wide)


@fault("precision", "probabilities are rounded to a half's precision in single", "matches_reference", step="weigh")
def rounded_probabilities(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities.astype(np.float16).astype(call.wide) @ value


@fault("precision", "values beyond 3 are clipped", "homogeneous_in_values", "additive_in_values", step="weigh")
def values_clipped(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities @ np.clip(value, -3, 3)


@fault("precision", "NaN is replaced by 0", "nan_is_seen", step="weigh", seen="pytorch nan_to_num before a product")
def nan_replaced(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities @ np.nan_to_num(value)


@fault("precision", "a NaN spreads to rows that do not attend it", "nan_stays_local", step="weigh", claims="nan_local")
def nan_spreads(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities @ value


@fault("precision", "the result is truncated toward zero", "constant_values", "single_token", step="weigh")
def truncated_output(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    exact = probabilities @ value
    step = np.exp2(np.floor(np.log2(np.maximum(abs(exact), 1e-30))) - 9)
    return (np.trunc(exact / step) * step).astype(call.wide)


@fault("indexing", "the values of the first two tokens are swapped", "associative_recall", "locality", step="weigh")
def values_swapped(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities @ value[:, [1, 0, *range(2, value.shape[1])]] if value.shape[1] > 2 else probabilities @ value


@fault("indexing", "the last row repeats the one before", "support_of_a_value", "reversal", step="weigh")
def last_row_repeated(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    output = probabilities @ value
    output[:, -1] = output[:, max(value.shape[1] - 2, 0)]
    return output


@fault("indexing", "the last channel is read from the first", "value_channels", "matches_reference", step="weigh")
def last_channel_from_first(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    output = probabilities @ value
    output[..., -1] = output[..., 0]
    return output


@fault("indexing", "head 2 reads head 1", "head_permutation", "matches_reference", step="weigh")
def head_reads_neighbor(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    output = probabilities @ value
    if len(output) > 1:
        output[1] = output[0]
    return output


@fault("options", "the head mask is ignored", "head_mask_scales_heads", step="mask_heads")
def head_mask_ignored(self: Specimen, call: Call, output: Array) -> Array:
    return output


@fault("options", "a head mask, even of ones, drops the first head", "head_mask_of_ones", step="read")
def head_mask_drops_first(self: Specimen, *arrays: Array, **options: object) -> Call:
    call = Specimen.read(self, *arrays, **options)  # type: ignore[arg-type]
    if options.get("head_mask") is not None:
        call.factor = np.concatenate([[0.0], call.factor[1:]])
    return call

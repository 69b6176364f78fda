"""Faults of indexing: another row, head, channel or sequence is read or written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault("indexing", "every row holds the result of the next one", "mask_decoding", "own_value", step="mask_heads")
def rows_moved(self: Specimen, call: Call, output: Array) -> Array:
    return np.roll(Specimen.mask_heads(self, call, output), -1, axis=1)


@fault("indexing", "the last row is not written", "mask_decoding", "own_value", step="mask_heads")
def last_row_unwritten(self: Specimen, call: Call, output: Array) -> Array:
    output = Specimen.mask_heads(self, call, output)
    return np.concatenate([output[:, :-1], 0 * output[:, -1:]], axis=1)


@fault("indexing", "rows past 256 are not written", "matches_reference", "mask_decoding", step="mask_heads")
def rows_past_256_unwritten(self: Specimen, call: Call, output: Array) -> Array:
    output = Specimen.mask_heads(self, call, output)
    return np.concatenate([output[:, :256], 0 * output[:, 256:]], axis=1)


@fault("indexing", "the last row of an odd length is not written", "own_value", "mask_decoding", step="mask_heads")
def odd_row_unwritten(self: Specimen, call: Call, output: Array) -> Array:
    even = output.shape[1] - output.shape[1] % 2
    return np.concatenate([Specimen.mask_heads(self, call, output)[:, :even], 0 * output[:, even:]], axis=1)


@fault("indexing", "heads are written in reverse order", "head_permutation", "matches_reference", step="mask_heads")
def heads_reversed(self: Specimen, call: Call, output: Array) -> Array:
    return Specimen.mask_heads(self, call, output)[::-1]


@fault("indexing", "channels are written in reverse order", "value_channels", "matches_reference", step="mask_heads")
def channels_reversed(self: Specimen, call: Call, output: Array) -> Array:
    return Specimen.mask_heads(self, call, output)[..., ::-1]


@fault(
    "indexing",
    "heads and tokens are mixed where the result is laid out",
    "matches_reference",
    "own_value",
    step="mask_heads",
    seen="view in place of transpose",
)
def heads_and_tokens_mixed(self: Specimen, call: Call, output: Array) -> Array:
    output = Specimen.mask_heads(self, call, output)
    return np.ascontiguousarray(output.transpose(1, 0, 2)).reshape(output.shape)


@fault(
    "indexing",
    "head dims and tokens are mixed where the result is laid out",
    "matches_reference",
    "own_value",
    step="mask_heads",
)
def channels_and_tokens_mixed(self: Specimen, call: Call, output: Array) -> Array:
    output = Specimen.mask_heads(self, call, output)
    return np.ascontiguousarray(output.transpose(0, 2, 1)).reshape(output.shape)


@fault(
    "indexing",
    "the sequences of the batch are written in reverse order",
    "row_alone",
    "batch_permutation",
    "sequence_alone_at_size",
    step="finish",
)
def batch_reversed(self: Specimen, call: Call, output: Array, dtype: np.dtype[Any]) -> Array:
    return Specimen.finish(self, call, output[::-1], dtype)


@fault(
    "indexing",
    "every sequence of the batch gets the result of the first",
    "row_alone",
    "batch_permutation",
    step="finish",
)
def first_sequence_repeated(self: Specimen, call: Call, output: Array, dtype: np.dtype[Any]) -> Array:
    return Specimen.finish(self, call, np.repeat(output[:1], len(output), axis=0), dtype)


@fault("indexing", "the last sequence of an odd batch is not written", "row_alone", "matches_reference", step="finish")
def odd_sequence_unwritten(self: Specimen, call: Call, output: Array, dtype: np.dtype[Any]) -> Array:
    lost = (len(output) % 2 == 1) & (len(output) > 1) & (np.arange(len(output)) == len(output) - 1)
    return Specimen.finish(self, call, np.where(lost[:, None, None, None], 0, output), dtype)


for _tensor, _place in (("queries", 0), ("keys", 1), ("values", 2)):

    @fault(
        "indexing",
        f"all heads read the {_tensor} of the first",
        "head_permutation",
        "matches_reference",
        step="local_inputs",
        name=f"{_tensor}_of_head_0",
    )
    def _of_head_0(self: Specimen, call: Call, b: int, place: int = _place) -> list[Array]:
        inputs = Specimen.local_inputs(self, call, b)
        inputs[place] = np.repeat(inputs[place][:1], len(inputs[place]), axis=0)
        return inputs

    @fault(
        "indexing",
        f"the {_tensor} of the first sequence are read for all",
        "row_alone",
        "batch_permutation",
        step="local_inputs",
        name=f"{_tensor}_of_sequence_0",
    )
    def _of_sequence_0(self: Specimen, call: Call, b: int, place: int = _place) -> list[Array]:
        inputs = Specimen.local_inputs(self, call, b)
        first = np.where(call.real[b][None, :, None], call.local[place][0], 0)
        inputs[place] = first.astype(call.wide)
        return inputs


@fault(
    "indexing",
    "two heads share their keys and values",
    "head_permutation",
    "matches_reference",
    step="local_inputs",
    seen="grouped queries: repeat and tile confused",
)
def heads_share_keys(self: Specimen, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    shared = np.arange(len(query)) // 2 * 2
    return [query, key[shared], value[shared]]


@fault("indexing", "keys and values are swapped", "matches_reference", "own_value", step="local_inputs")
def keys_and_values_swapped(self: Specimen, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    return [query, value, key]


@fault("indexing", "queries and keys are swapped", "matches_reference", "integer_scores", step="local_inputs")
def queries_and_keys_swapped(self: Specimen, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    return [key, query, value]


@fault("indexing", "values are read one token late", "mask_decoding", "own_value", step="weigh")
def values_one_late(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities @ np.roll(value, 1, axis=1)


@fault("indexing", "values past 128 are those of the beginning", "mask_decoding", "matches_reference", step="weigh")
def values_modulo_128(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities @ value[:, np.arange(value.shape[1]) % 128]


@fault(
    "indexing",
    "one key in 61 is lost",
    "mask_decoding",
    "reachability",
    step="local_keys",
    seen="seeded: one entry of the mask wrong",
)
def one_key_in_61_lost(self: Specimen, call: Call, b: int) -> Array:
    keys = Specimen.local_keys(self, call, b).copy()
    keys.reshape(-1)[30::61] = False
    return keys


@fault("indexing", "channels past 16 are those of the beginning", "value_channels", "matches_reference", step="weigh")
def channels_modulo_16(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    return probabilities @ value[..., np.arange(value.shape[-1]) % 16]


@fault(
    "indexing",
    "a head dim that is no power of two is filled from the next token",
    "matches_reference",
    "value_channels",
    step="weigh",
)
def uneven_head_dim_reads_on(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    output = probabilities @ value
    if value.shape[-1] & (value.shape[-1] - 1):
        output[..., -1] = np.roll(output[..., -1], -1, axis=1)
    return output


@fault(
    "indexing",
    "the masks of heads and of sequences change places where there are as many",
    "row_alone",
    "mask_decoding",
    step="local_keys",
)
def heads_taken_for_sequences(self: Specimen, call: Call, b: int) -> Array:
    if len(call.dilations) != len(call.real):
        return Specimen.local_keys(self, call, b)
    keys = [
        Specimen.local_keys(self, replace(call, real=np.roll(call.real, b - h, axis=0)), b)[h]
        for h in range(len(call.dilations))
    ]
    return np.array(keys) & call.real[b][None, :, None]

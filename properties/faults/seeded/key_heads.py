"""Faults of grouped heads, and of values that have a head dim of their own."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall


@fault(
    "grouping",
    "query head x reads key head x % k",
    "grouped_is_repeated",
    "key_heads_serve_groups",
    "grouped_gradients_are_sums",
    "extended_rows",
    step="spread",
    of=Extended,
    seen="`repeat` in place of `repeat_interleave`",
)
def key_head_modulo(self: Extended, call: ExtendedCall, array: Array) -> Array:
    return np.tile(array, (call.heads // call.key_heads, 1, 1))


@fault(
    "grouping",
    "every query head reads the first key head",
    "key_heads_serve_groups",
    "matches_reference",
    "gradients_match_reference",
    "extended_rows",
    step="spread",
    of=Extended,
)
def first_key_head_for_all(self: Extended, call: ExtendedCall, array: Array) -> Array:
    return np.repeat(array[:1], call.heads, axis=0)


@fault(
    "grouping",
    "the key head is rounded to the nearest, and not down",
    "key_heads_serve_groups",
    "grouped_is_repeated",
    "grouped_gradients_are_sums",
    step="spread",
    of=Extended,
)
def key_head_rounded(self: Extended, call: ExtendedCall, array: Array) -> Array:
    nearest = np.rint(np.arange(call.heads) * call.key_heads / call.heads).astype(int)
    return array[np.minimum(nearest, call.key_heads - 1)]


@fault(
    "grouping",
    "a group of 3 is one of 2, as a shift of bits has it",
    "grouped_is_repeated",
    "key_heads_serve_groups",
    "grouped_gradients_are_sums",
    step="spread",
    of=Extended,
)
def group_is_a_power_of_two(self: Extended, call: ExtendedCall, array: Array) -> Array:
    shift = (call.heads // call.key_heads).bit_length() - 1
    return array[np.minimum(np.arange(call.heads) >> shift, call.key_heads - 1)]


@fault(
    "grouping",
    "groups of heads are counted from the last",
    "key_heads_serve_groups",
    "grouped_is_repeated",
    "grouped_gradients_are_sums",
    step="spread",
    of=Extended,
)
def groups_from_the_last(self: Extended, call: ExtendedCall, array: Array) -> Array:
    grouped = call.key_heads < call.heads
    return Extended.spread(self, call, array[::-1] if grouped else array)


@fault(
    "grouping",
    "query head x reads the values of head x % k, and the keys of the right one",
    "key_heads_serve_groups",
    "grouped_is_repeated",
    "grouped_gradients_are_sums",
    step="inputs",
    of=Extended,
)
def value_head_modulo(self: Extended, call: ExtendedCall, b: int, arrays: tuple[Array, Array, Array]) -> list[Array]:
    query, key, value = Extended.inputs(self, call, b, arrays)
    group = call.heads // call.key_heads
    return [query, key, np.tile(value[::group], (group, 1, 1))]


@fault(
    "grouping",
    "keys step from row to row of the batch by the heads of the queries",
    "matches_reference",
    "gradients_match_reference",
    "lse_matches_reference",
    step="inputs",
    of=Extended,
)
def key_stride_of_queries(
    self: Extended, call: ExtendedCall, b: int, arrays: tuple[Array, Array, Array]
) -> list[Array]:
    query, key, value = arrays
    heads = key.reshape(-1, *key.shape[2:])
    read = (b * call.heads + np.arange(call.key_heads)) % len(heads)
    return Extended.inputs(self, call, b, (query, np.broadcast_to(heads[read], key.shape), value))


@fault(
    "grouping",
    "a query head has the dilation of its key head's place",
    "matches_reference",
    "gradients_match_reference",
    "lse_matches_reference",
    step="read",
    of=Extended,
)
def dilation_of_key_head(self: Extended, *arrays: Array, **options: object) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)  # type: ignore[arg-type]
    group = call.heads // call.key_heads
    call.dilations = [call.dilations[head // group] for head in range(call.heads)]
    return call


@fault(
    "grouping",
    "a query head has the head mask of its key head's place",
    "matches_reference",
    "gradients_match_reference",
    "lse_matches_reference",
    step="read",
    of=Extended,
)
def head_mask_of_key_head(self: Extended, *arrays: Array, **options: object) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)  # type: ignore[arg-type]
    call.factor = call.factor[np.arange(call.heads) // (call.heads // call.key_heads)]
    return call


@fault(
    "grouping",
    "a key head gets the gradient of its first query head only",
    "grouped_gradients_are_sums",
    "gradients_match_reference",
    "lse_gradients",
    "extended_gradients",
    step="fold",
    of=Extended,
)
def gradient_of_first_query_head(self: Extended, call: ExtendedCall, gradient: Array) -> Array:
    return gradient.reshape(call.key_heads, -1, *gradient.shape[1:])[:, 0]


@fault(
    "grouping",
    "the query heads of a group overwrite each other's gradient",
    "grouped_gradients_are_sums",
    "gradients_match_reference",
    "lse_gradients",
    step="fold",
    of=Extended,
    seen="a store where an atomic addition is needed",
)
def gradient_of_last_query_head(self: Extended, call: ExtendedCall, gradient: Array) -> Array:
    return gradient.reshape(call.key_heads, -1, *gradient.shape[1:])[:, -1]


@fault(
    "grouping",
    "a key head gets the mean of the gradients of its query heads",
    "grouped_gradients_are_sums",
    "gradients_match_reference",
    "lse_gradients",
    step="fold",
    of=Extended,
)
def gradient_is_mean_of_group(self: Extended, call: ExtendedCall, gradient: Array) -> Array:
    return Extended.fold(self, call, gradient) * call.wide(call.key_heads / call.heads)


@fault(
    "grouping",
    "gradients are added over the query heads x % k",
    "grouped_gradients_are_sums",
    "gradients_match_reference",
    "lse_gradients",
    step="fold",
    of=Extended,
)
def gradient_folded_modulo(self: Extended, call: ExtendedCall, gradient: Array) -> Array:
    return gradient.reshape(-1, call.key_heads, *gradient.shape[1:]).sum(axis=0)


@fault(
    "grouping",
    "gradients are added over a group in half precision",
    "grouped_gradients_are_sums",
    "gradients_match_reference",
    "lse_gradients",
    step="fold",
    of=Extended,
)
def group_summed_in_half(self: Extended, call: ExtendedCall, gradient: Array) -> Array:
    if call.heads == call.key_heads:
        return gradient
    return Extended.fold(self, call, gradient.astype(np.float16)).astype(call.wide)


@fault(
    "grouping",
    "only the gradient of the values is added over a group",
    "gradients_match_reference",
    "lse_gradients",
    "grouped_gradients_are_sums",
    step="grad_key",
    of=Extended,
)
def key_gradient_of_first_query_head(self: Extended, call: ExtendedCall, grad_t: Array, query: Array) -> Array:
    first = np.arange(call.heads) % (call.heads // call.key_heads) == 0
    return np.where(first[:, None, None], Extended.grad_key(self, call, grad_t, query), 0)


# --- values of another head dim


@fault(
    "indexing",
    "values have no more channels than keys",
    "value_dim_padded",
    "matches_reference",
    "gradients_match_reference",
    step="inputs",
    of=Extended,
)
def value_channels_beyond_lost(
    self: Extended, call: ExtendedCall, b: int, arrays: tuple[Array, Array, Array]
) -> list[Array]:
    query, key, value = Extended.inputs(self, call, b, arrays)
    return [query, key, np.where(np.arange(value.shape[-1]) < key.shape[-1], value, 0)]


@fault(
    "indexing",
    "values are walked with the stride of the keys",
    "value_dim_padded",
    "value_dim_padded_gradients",
    "matches_reference",
    step="inputs",
    of=Extended,
)
def value_stride_of_keys(self: Extended, call: ExtendedCall, b: int, arrays: tuple[Array, Array, Array]) -> list[Array]:
    query, key, value = Extended.inputs(self, call, b, arrays)
    heads, tokens, channels = value.shape
    places = np.arange(tokens)[:, None] * key.shape[-1] + np.arange(channels)
    return [query, key, value.reshape(heads, -1)[:, places % (tokens * channels)]]


@fault(
    "scale",
    "the default scale comes from the head dim of the values",
    "value_dim_padded",
    "value_dim_padded_gradients",
    "gradients_match_reference",
    step="default_scale",
    of=Extended,
)
def scale_of_value_dim(self: Extended, query: Array, key: Array, value: Array) -> float:
    return float(value.shape[-1] ** -0.5)


@fault(
    "gradients",
    "the gradient of the values ends at the head dim of the keys",
    "value_dim_padded_gradients",
    "gradients_match_reference",
    "lse_gradients",
    step="collect",
    of=Extended,
)
def value_gradient_cut(
    self: Extended, call: ExtendedCall, local: list[Array], far: list[Array], dtype: np.dtype[np.generic]
) -> dict[str, Array]:
    gradients = Extended.collect(self, call, local, far, dtype)
    kept = np.arange(local[2].shape[-1]) < local[1].shape[-1]
    return gradients | {"value": np.where(kept, gradients["value"], 0).astype(dtype)}


@fault(
    "gradients",
    "the gradient of the probabilities is added over the channels of the keys",
    "value_dim_padded_gradients",
    "gradients_match_reference",
    "lse_gradients",
    step="upstream",
    of=Extended,
)
def upstream_cut_to_head_dim(self: Extended, call: ExtendedCall, b: int, grad_output: Array) -> Array:
    upstream = Extended.upstream(self, call, b, grad_output)
    return np.where(np.arange(upstream.shape[-1]) < call.local[1].shape[-1], upstream, 0)

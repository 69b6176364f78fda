"""Faults of queries that stand elsewhere than at the first keys, and of rows that see no key."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall


@fault(
    "offsets",
    "the first query stands at the first key, whatever the offset",
    "queries_in_parts",
    "matches_reference",
    step="places",
    of=Extended,
    seen="FlashAttention before 2.1, and is_causal of torch's scaled_dot_product_attention: aligned at the top left",
)
def aligned_at_the_top_left(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    return Extended.places(self, 0, batch, queries, tokens)


@fault(
    "offsets", "the last query stands at the last key, whatever the offset", "mask_decoding", step="places", of=Extended
)
def aligned_at_the_bottom_right(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    return Extended.places(self, tokens - queries, batch, queries, tokens)


@fault(
    "offsets",
    "an offset of 0 is taken for none, and aligns the last query with the last key",
    "support_of_a_value",
    step="places",
    of=Extended,
)
def offset_of_0_is_none(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    none = isinstance(offset, int) and offset == 0
    return Extended.places(self, tokens - queries if none else offset, batch, queries, tokens)


@fault(
    "offsets",
    "all rows of the batch have the offset of the first",
    "offset_of_each_row",
    step="places",
    of=Extended,
    seen="a decoding step that reads the length of one sequence for all",
)
def offset_of_row_0(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    return Extended.places(self, np.ravel(offset)[0], batch, queries, tokens)


@fault("offsets", "all rows of the batch have the largest offset", "offset_of_each_row", step="places", of=Extended)
def largest_offset_for_all(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    return Extended.places(self, np.max(offset), batch, queries, tokens)


@fault("offsets", "the offset is one too large", "matches_reference", step="places", of=Extended)
def offset_counts_the_new_token(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    moved = np.asarray(offset)
    return Extended.places(self, np.where(moved > 0, moved + 1, moved), batch, queries, tokens)


@fault("offsets", "a negative offset is taken for 0", "rows_without_keys", step="places", of=Extended)
def negative_offset_is_0(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    return Extended.places(self, np.maximum(offset, 0), batch, queries, tokens)


@fault(
    "offsets",
    "an offset leaves room for all queries before the last key",
    "rows_without_keys",
    step="places",
    of=Extended,
)
def offset_cut_to_keys(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    return Extended.places(self, np.minimum(offset, max(tokens - queries, 0)), batch, queries, tokens)


@fault("offsets", "queries behind the last key stand at it", "rows_without_keys", step="places", of=Extended)
def queries_behind_stand_at_last_key(self: Extended, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    return np.minimum(Extended.places(self, offset, batch, queries, tokens), tokens - 1)


@fault(
    "offsets",
    "the offset moves the right limit and not the left one",
    "cache_with_offset",
    "queries_in_parts",
    step="left_of",
    of=Extended,
)
def left_limit_without_offset(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    return Extended.left_of(self, call, ahead + call.at[call.index][0], dilation)


@fault(
    "offsets",
    "the offset moves the left limit and not the right one",
    "gradients_match_reference",
    step="right_of",
    of=Extended,
)
def right_limit_without_offset(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    return Extended.right_of(self, call, ahead + call.at[call.index][0], dilation)


@fault("offsets", "the steps of the dilation are counted without the offset", "convexity", step="in_band", of=Extended)
def dilation_without_offset(self: Extended, call: ExtendedCall, b: int, dilation: int) -> Array:
    ahead = self.ahead(call, b)
    near = self.left_of(call, ahead, dilation) & self.right_of(call, ahead, dilation)
    return near & ((ahead + call.at[b][0]) % dilation == 0)


@fault(
    "offsets",
    "all queries of a chunk begin with the first key of the first one",
    "mask_decoding",
    step="left_of",
    of=Extended,
)
def chunk_shares_first_key(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    return Extended.left_of(self, call, np.broadcast_to(ahead[:1], ahead.shape), dilation)


@fault(
    "offsets",
    "all queries of a chunk end with the last key of the last one",
    "mask_decoding",
    step="right_of",
    of=Extended,
)
def chunk_shares_last_key(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    return Extended.right_of(self, call, np.broadcast_to(ahead[-1:], ahead.shape), dilation)


@fault(
    "offsets",
    "one query alone has no window",
    "queries_in_parts",
    step="left_of",
    of=Extended,
    seen="a path of its own for m = 1",
)
def one_query_has_no_window(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    one = call.at.shape[1] == 1 < call.tokens
    return np.ones(ahead.shape, bool) if one else Extended.left_of(self, call, ahead, dilation)


@fault(
    "offsets",
    "keys beyond the number of queries are not read",
    "gradients_match_reference",
    step="local_keys",
    of=Extended,
)
def keys_end_with_queries(self: Extended, call: ExtendedCall, b: int) -> Array:
    return Extended.local_keys(self, call, b) & (np.arange(call.tokens) < call.at.shape[1])


@fault("offsets", "keys behind the last query are not read", "queries_in_parts", step="local_keys", of=Extended)
def keys_end_at_last_query(self: Extended, call: ExtendedCall, b: int) -> Array:
    moved = call.at.shape[1] != call.tokens or call.at[b][0] != 0
    return Extended.local_keys(self, call, b) & ((np.arange(call.tokens) <= call.at[b][-1]) | (not moved))


# --- masks, and rows that see nothing


@fault("offsets", "queries that stand at no key are masked", "softcap_of_large_scores", step="real_rows", of=Extended)
def queries_beyond_are_masked(self: Extended, call: ExtendedCall, b: int) -> Array:
    return self.of_queries(call, b, call.real[b], False)


@fault("offsets", "query i is masked where token i is", "matches_reference", step="real_rows", of=Extended)
def query_mask_without_offset(self: Extended, call: ExtendedCall, b: int) -> Array:
    rows = np.arange(call.at.shape[1])
    return np.where(rows < call.tokens, call.real[b][np.minimum(rows, call.tokens - 1)], True)


@fault("offsets", "queries take the mask of the last tokens", "queries_in_parts", step="real_rows", of=Extended)
def query_mask_of_last_tokens(self: Extended, call: ExtendedCall, b: int) -> Array:
    rows = np.arange(call.at.shape[1]) + call.tokens - call.at.shape[1]
    return np.where(rows >= 0, call.real[b][np.maximum(rows, 0)], True)


@fault(
    "offsets",
    "queries that are fewer or more than the keys are never masked",
    "matches_reference",
    step="real_rows",
    of=Extended,
)
def no_mask_of_other_queries(self: Extended, call: ExtendedCall, b: int) -> Array:
    rows = Extended.real_rows(self, call, b)
    return rows if len(rows) == call.tokens else np.ones(len(rows), bool)


@fault(
    "offsets",
    "keys of a cache that is longer than the chunk are read though they are masked",
    "mask_decoding",
    step="read",
    of=Extended,
    seen="stale keys behind the length of a sequence in a cache",
)
def stale_keys_of_cache(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    if call.at.shape[1] < call.tokens:
        call.real = np.ones(call.real.shape, bool)
    return call


@fault(
    "offsets",
    "the mask of the keys is read from the offset on",
    "softcap_of_large_scores",
    step="local_keys",
    of=Extended,
)
def key_mask_moved_by_offset(self: Extended, call: ExtendedCall, b: int) -> Array:
    kept, first = call.real, int(call.at[b][0])
    rows = self.real_rows(call, b)
    call.real = np.roll(kept, -first, axis=1) if first > 0 else kept
    keys = Extended.local_keys(self, call, b) & rows[None, :, None]
    call.real = kept
    return keys


@fault(
    "offsets",
    "a row without keys is NaN",
    "rows_without_keys",
    "key_heads_serve_groups",
    step="attend",
    of=Extended,
    seen="0 / 0 for rows that are not masked: the upper rows of m > n in many kernels",
)
def row_without_keys_is_nan(
    self: Extended, call: ExtendedCall, inputs: list[Array], keys: Array
) -> tuple[Array, Array]:
    output, lse = Extended.attend(self, call, inputs, keys)
    return np.where(keys.any(axis=-1, keepdims=True), output, np.nan), lse


@fault(
    "offsets",
    "a row without keys is the mean of all values",
    "rows_without_keys",
    step="attend",
    of=Extended,
    seen="scores that are masked by a large finite number",
)
def row_without_keys_is_mean(
    self: Extended, call: ExtendedCall, inputs: list[Array], keys: Array
) -> tuple[Array, Array]:
    output, lse = Extended.attend(self, call, inputs, keys)
    return np.where(keys.any(axis=-1, keepdims=True), output, inputs[2].mean(axis=1, keepdims=True)), lse


@fault(
    "offsets",
    "the gradient of a real row without keys is NaN",
    "gradients_without_keys",
    "lse_gradients",
    step="row_sum",
    of=Extended,
)
def gradient_without_keys_is_nan(self: Extended, p: Array, grad_p: Array) -> Array:
    total = p.sum(axis=-1, keepdims=True)
    return np.where(total > 0, Extended.row_sum(self, p, grad_p), np.nan)


@fault(
    "offsets",
    "the backward pass forgets an offset that is one number",
    "gradients_match_reference",
    step="gradients",
    of=Extended,
)
def backward_forgets_offset(self: Extended, *arrays: Array, offset: Any = 0, **options: Any) -> dict[str, Array]:
    return Extended.gradients(self, *arrays, offset=0 if isinstance(offset, int) else offset, **options)


@fault(
    "offsets",
    "the backward pass has the offset of the first row for all",
    "gradient_layouts",
    step="gradients",
    of=Extended,
)
def backward_offset_of_row_0(self: Extended, *arrays: Array, offset: Any = 0, **options: Any) -> dict[str, Array]:
    return Extended.gradients(self, *arrays, offset=int(np.ravel(offset)[0]), **options)

"""Faults of long sequences and wide windows: right as long as there is a tile, a split or a buffer of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.banded import BLOCK, Banded
from trueband.properties.faults.specimens.plain import Array, Call, Specimen

FORWARD = ("counts_at_size", "rows_match_reference")
COUNTS = (*FORWARD, "query_gradient_counts_at_size")
ALL_GRADIENTS = (
    "gradients_of_rows",
    "gradients_of_keys",
    "query_gradient_counts_at_size",
    "key_gradient_counts_at_size",
)
SPLIT = 256  # keys
MANY = 400  # keys of a row


@fault(
    "tiles",
    "the keys of the last tile are dropped past 512 tokens",
    *FORWARD,
    *ALL_GRADIENTS,
    step="columns",
    of=Banded,
)
def last_tile_of_keys_dropped(self: Banded, call: Call, b: int, rows: Array) -> Array:
    columns, tokens = Banded.columns(self, call, b, rows), call.real.shape[1]
    return columns[columns < (tokens - 1) // BLOCK * BLOCK] if tokens > 512 else columns


@fault(
    "tiles",
    "the rows of a last tile that is not full are not written past 512 tokens",
    "rows_match_reference",
    "counts_at_size",
    step="store",
    of=Banded,
)
def last_rows_unwritten_at_size(self: Banded, call: Call, output: Array, rows: Array, block: Array) -> None:
    tokens = output.shape[1]
    output[:, rows] += block * (rows < max(tokens // BLOCK * BLOCK, 512))[:, None]


@fault("window", "a window is at most 256 past 512 tokens", *FORWARD, *ALL_GRADIENTS, step="read", of=Banded)
def window_at_most_256(self: Banded, query: Array, *arrays: Array, window: int, **options: Any) -> Call:
    return Banded.read(self, query, *arrays, window=min(window, 256) if query.shape[2] > 512 else window, **options)


@fault("window", "a window past 400 is cut to whole tiles", *FORWARD, *ALL_GRADIENTS, step="read", of=Banded)
def wide_window_cut_to_tiles(self: Banded, *arrays: Array, window: int, **options: Any) -> Call:
    return Banded.read(self, *arrays, window=window // BLOCK * BLOCK if window > MANY else window, **options)


@fault("globals", "rows of global tokens see 512 keys", *FORWARD, *ALL_GRADIENTS, step="far_columns", of=Banded)
def global_rows_see_512_keys(self: Banded, call: Call, b: int) -> Array:
    return Banded.far_columns(self, call, b)[:512]


@fault(
    "globals",
    "global keys behind the first 512 tokens are local ones",
    *FORWARD,
    *ALL_GRADIENTS,
    step="seen",
    of=Banded,
)
def late_global_keys_are_local(self: Banded, call: Call, b: int, rows: Array, columns: Array) -> Array:
    before = call.flagged.copy()
    call.flagged[b, 512:] = False
    seen = Banded.seen(self, call, b, rows, columns)
    call.flagged[...] = before
    return seen


@fault(
    "padding",
    "past 512 tokens masked values are multiplied by 0 in place of left out",
    "padding_at_size",
    step="sequence",
    of=Banded,
)
def masked_values_times_0(self: Banded, call: Call, b: int) -> Array:
    output = Banded.sequence(self, call, b)
    if call.real.shape[1] > 512:
        output = output + 0 * call.local[2][b][:, ~call.real[b]].sum(axis=1, keepdims=True)
    return output


@fault(
    "padding",
    "a second sequence is padded as the first past 512 tokens",
    "sequence_alone_at_size",
    "counts_at_size",
    "rows_match_reference",
    "padding_at_size",
    step="sequence",
    of=Banded,
)
def padding_of_the_first_sequence(self: Banded, call: Call, b: int) -> Array:
    if call.real.shape[1] > 512:
        call.real = np.repeat(call.real[:1], len(call.real), axis=0)
    return Banded.sequence(self, call, b)


@fault(
    "padding",
    "the mask is read for 512 tokens",
    *FORWARD,
    "padding_at_size",
    *ALL_GRADIENTS,
    step="read",
    of=Banded,
    seen="a bit mask of 8 words of 64",
)
def mask_of_512_tokens(self: Banded, *arrays: Array, **options: Any) -> Call:
    if options.get("attention_mask") is not None:
        options["attention_mask"] = options["attention_mask"].copy()
        options["attention_mask"][:, 512:] = True
    return Banded.read(self, *arrays, **options)


@fault(
    "padding",
    "where more than 4 whole tiles are padded one tile too many is skipped",
    "counts_at_size",
    "rows_match_reference",
    *ALL_GRADIENTS,
    step="columns",
    of=Banded,
)
def tile_behind_padding_skipped(self: Banded, call: Call, b: int, rows: Array) -> Array:
    columns, tokens = Banded.columns(self, call, b, rows), call.real.shape[1]
    first = int(np.flatnonzero(call.real[b]).min(initial=tokens))
    return columns[columns >= (first // BLOCK + 1) * BLOCK] if first > 5 * BLOCK and first + BLOCK < tokens else columns


@fault(
    "precision",
    "a sum of more than 400 weights is kept in half precision",
    "rows_match_reference",
    step="normalize",
    of=Banded,
)
def total_in_half(self: Banded, call: Call, weights: Array, keys: Array) -> Array:
    total = weights.sum(axis=-1, keepdims=True)
    total = np.where(keys.sum(axis=-1, keepdims=True) > MANY, total.astype(np.float16), total).astype(call.wide)
    return weights / np.where(total == 0, 1, total)


@fault(
    "softmax",
    "past 512 tokens a key that is not attended gets a score 10,000 lower in place of none",
    "locality_at_size",
    step="softmax",
    of=Banded,
)
def additive_mask_at_size(self: Banded, call: Call, scores: Array, keys: Array) -> Array:
    if call.real.shape[1] > 512:
        scores, keys = np.where(keys, scores, scores - call.wide(1e4)), keys | keys.any(axis=-1, keepdims=True)
    return Banded.softmax(self, call, scores, keys)


@fault(
    "softmax",
    "splits of more than 400 keys are averaged without the sums of their weights",
    *COUNTS,
    step="softmax",
    of=Banded,
    seen="split-k that forgets the log-sum-exp of a split",
)
def splits_averaged(self: Banded, call: Call, scores: Array, keys: Array) -> Array:
    if keys.shape[-1] <= MANY:
        return Banded.softmax(self, call, scores, keys)
    halves = [slice(0, SPLIT), slice(SPLIT, None)]
    parts = [Banded.softmax(self, call, scores[..., half], keys[..., half]) for half in halves]
    full = sum(keys[..., half].any(axis=-1, keepdims=True) for half in halves)
    return np.concatenate(parts, axis=-1) / np.maximum(full, 1).astype(call.wide)


@fault(
    "softmax",
    "splits of more than 400 keys keep each its own maximum",
    "rows_match_reference",
    "gradients_of_rows",
    step="softmax",
    of=Banded,
)
def splits_not_rescaled(self: Banded, call: Call, scores: Array, keys: Array) -> Array:
    if keys.shape[-1] > MANY:
        tops = [
            np.where(keys, scores, -np.inf)[..., part].max(axis=-1, keepdims=True)
            for part in (slice(0, SPLIT), slice(SPLIT, None))
        ]
        early = np.arange(keys.shape[-1]) < SPLIT
        own = np.where(early, *(np.where(np.isfinite(top), top, 0) for top in tops))
        scores = scores - own
    return Banded.softmax(self, call, scores, keys)


@fault(
    "softmax",
    "weights of more than 400 keys are scaled for a dropout that is off",
    *COUNTS,
    step="normalize",
    of=Banded,
    seen="a second kernel for long rows, with the factor of training",
)
def long_rows_scaled_for_dropout(self: Banded, call: Call, weights: Array, keys: Array) -> Array:
    p = Banded.normalize(self, call, weights, keys)
    return p / call.wide(0.9) if keys.shape[-1] > MANY else p


@fault(
    "softmax",
    "of more than 400 keys some are dropped before the sum of the weights is taken",
    *COUNTS,
    step="softmax",
    of=Banded,
    seen="dropout of scores in place of probabilities",
)
def scores_of_long_rows_dropped(self: Banded, call: Call, scores: Array, keys: Array) -> Array:
    if keys.shape[-1] > MANY:
        keys = keys & (np.arange(keys.shape[-1]) % 10 != 9)
    return Banded.softmax(self, call, scores, keys)


@fault(
    "harness",
    "rows past 512 and past the length of the first call are not written",
    *FORWARD,
    step="store",
    of=Banded,
    seen="a workspace sized by the first call",
)
def workspace_of_the_first_call(self: Any, call: Call, output: Array, rows: Array, block: Array) -> None:
    size = max(self.__dict__.setdefault("size", output.shape[1]), 512)
    output[:, rows] += block * (rows < size)[:, None]


@fault(
    "harness",
    "the part of keys behind the 400th is what the last row block of the shape has left",
    *FORWARD,
    step="weigh",
    of=Banded,
    seen="a scratch of split-k, read before it is written",
)
def scratch_of_the_last_block(self: Any, call: Call, probabilities: Array, value: Array) -> Array:
    late = probabilities[..., MANY:] @ value[:, MANY:]
    left = self.__dict__.setdefault("left", {}).get(late.shape, late)
    self.left[late.shape] = late
    return probabilities[..., :MANY] @ value[:, :MANY] + left


@fault("harness", "past 512 tokens the strides of queries are ignored", "layouts_at_size", step="__call__", of=Banded)
def strides_ignored_at_size(self: Banded, query: Array, *arrays: Array, **options: Any) -> Array:
    if query.shape[2] > 512:
        query = query.ravel(order="K").reshape(query.shape)
    return Banded.__call__(self, query, *arrays, **options)


@fault(
    "harness",
    "past 512 tokens the values of a second sequence begin where whole tiles would end",
    "sequence_alone_at_size",
    "rows_match_reference",
    step="local_inputs",
    of=Banded,
    seen="the batch stride of another input",
)
def value_batch_stride_of_whole_tiles(self: Banded, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    tokens, head_dim = value.shape[1:]
    if tokens > 512:
        late = b * (-tokens % BLOCK)  # rows
        value = np.roll(value.reshape(-1, head_dim), -late, axis=0).reshape(value.shape)
    return [query, key, value]

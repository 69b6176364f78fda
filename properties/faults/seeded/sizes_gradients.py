"""Faults of the backward pass at production sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.seeded.sizes_tokens import ALL_GRADIENTS, MANY, SPLIT
from trueband.properties.faults.specimens.banded import Banded
from trueband.properties.faults.specimens.plain import Array, Call

ROWS, KEYS = "gradients_of_rows", "gradients_of_keys"
QUERY_COUNTS, KEY_COUNTS = "query_gradient_counts_at_size", "key_gradient_counts_at_size"


@fault(
    "gradients",
    "the last channels of dQ are not written for head_dims past 64 that are no multiples",
    ROWS,
    KEYS,
    QUERY_COUNTS,
    step="grad_query",
    of=Banded,
)
def query_gradient_padded(self: Banded, call: Call, grad_s: Array, key: Array) -> Array:
    head_dim = key.shape[-1]
    return Banded.grad_query(self, call, grad_s, key) * (np.arange(head_dim) < max(head_dim // 64 * 64, 64))


@fault("gradients", "dV lacks the tiles of rows from 512 on", *ALL_GRADIENTS, step="add_value", of=Banded)
def late_tile_of_value_gradient_lost(
    self: Banded, call: Call, total: Array, rows: Array, columns: Array, part: Array
) -> None:
    if rows[0] < 512:
        total[:, columns] += part


@fault(
    "gradients",
    "dK of a tile past the eighth overwrites what is there",
    ROWS,
    KEYS,
    KEY_COUNTS,
    step="add_key",
    of=Banded,
)
def late_key_gradient_overwrites(
    self: Banded, call: Call, total: Array, rows: Array, columns: Array, part: Array
) -> None:
    total[:, columns] = part + (total[:, columns] if rows[0] < 512 else 0)


@fault("gradients", "dQ is not written from row 512 on", ROWS, KEYS, QUERY_COUNTS, step="add_query", of=Banded)
def late_query_gradient_lost(self: Banded, call: Call, total: Array, rows: Array, part: Array) -> None:
    total[:, rows] += part * (rows < 512)[:, None]


@fault(
    "gradients",
    "dQ of more than 400 keys is that of the last split",
    ROWS,
    KEYS,
    QUERY_COUNTS,
    step="grad_query",
    of=Banded,
    seen="split-k that stores where it should add",
)
def query_gradient_of_last_split(self: Banded, call: Call, grad_s: Array, key: Array) -> Array:
    first = SPLIT if key.shape[1] > MANY else 0
    return Banded.grad_query(self, call, grad_s[..., first:], key[:, first:])


@fault("gradients", "offsets of dK wrap at 2^16 elements", ROWS, KEYS, KEY_COUNTS, step="collect", of=Banded)
def key_gradient_offsets_wrap(
    self: Banded, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    for sums in (local, far):
        head_dim = sums[1].shape[-1]
        rows = sums[1].reshape(-1, head_dim)
        most = -(-(2**16) // head_dim)
        rows[: len(rows[most:])] += rows[most : 2 * most]
        rows[most:] = 0
    return Banded.collect(self, call, local, far, dtype)


@fault(
    "gradients",
    "the log-sum-exp of more than 400 keys is saved in half precision",
    ROWS,
    KEYS,
    *ALL_GRADIENTS[2:],
    step="rows_backward",
    of=Banded,
    seen="statistics in the dtype of the output",
)
def statistics_of_long_rows_in_half(
    self: Banded, call: Call, inputs: list[Array], keys: Array, upstream: Array
) -> tuple[Array, Array, Array]:
    if keys.shape[-1] <= MANY:
        return Banded.rows_backward(self, call, inputs, keys, upstream)
    query, key, value = inputs
    scores = np.where(keys, self.scores(call, query, key), -np.inf)
    top = scores.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    statistics = top + np.log(np.maximum(np.exp(scores - top).sum(axis=-1, keepdims=True), 1))
    p = np.exp(scores - statistics.astype(np.float16).astype(call.wide)).astype(call.wide)
    grad_s = self.grad_scores(call, p, upstream @ value.transpose(0, 2, 1), keys)
    return self.grad_query(call, grad_s, key), self.grad_key(call, grad_s, query), self.grad_value(call, p, upstream)


@fault(
    "gradients",
    "the row sums of dO times O over more than 400 keys are kept in half precision",
    ROWS,
    step="grad_scores",
    of=Banded,
)
def row_sums_of_long_rows_in_half(self: Banded, call: Call, p: Array, grad_p: Array, keys: Array) -> Array:
    sums = (p * grad_p).sum(axis=-1, keepdims=True)
    if keys.shape[-1] > MANY:
        sums = sums.astype(np.float16).astype(call.wide)
    return p * (grad_p - sums)


@fault(
    "gradients",
    "dV of heads from 8 on goes to the first of their group of 4",
    ROWS,
    KEYS,
    QUERY_COUNTS,
    step="collect",
    of=Banded,
    seen="grouped queries where there are none",
)
def value_gradient_of_groups(
    self: Banded, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    for sums in (local, far):
        of_value = sums[2]
        for head in range(8, of_value.shape[1]):
            if head % 4:
                of_value[:, head // 4 * 4] += of_value[:, head]
                of_value[:, head] = 0
    return Banded.collect(self, call, local, far, dtype)


@fault(
    "gradients",
    "dQ of the fifth sequence and those behind it is not written",
    ROWS,
    QUERY_COUNTS,
    step="add_query",
    of=Banded,
)
def late_sequence_without_query_gradient(self: Banded, call: Call, total: Array, rows: Array, part: Array) -> None:
    total[:, rows] += part * (call.index < 4)

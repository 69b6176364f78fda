"""Kernels that are right at small sizes only: each is `Banded` with one step replaced; and what must reject it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trueband.properties.case import Case
from trueband.properties.faults.banded import BLOCK, Banded
from trueband.properties.faults.registry import target_of
from trueband.properties.faults.specimen import Array, Call, Specimen
from trueband.properties.target import Target

PADDED = {"masked": ((5, 6, *range(560, 600)),), "global_": ((0, 300),)}
LONG = Case(tokens=610, window=40, head_dim=16, heads=2, family="normal", seed=5, **PADDED)
MANY_HEADS = Case(tokens=150, window=20, head_dim=8, heads=12, family="normal", seed=5)
BATCH = Case(tokens=600, window=20, head_dim=8, batch=2, masked=((), (7, 599)), family="normal", seed=5)


@dataclass(frozen=True)
class Wrong:
    """A kernel that is wrong in large inputs only.

    Attributes:
        story: one line, what is wrong.
        killed_by: checks that must reject it.
        kernel: its class.
        case: a small case of production size that shows it.
        right: a case beside it where it is right.
    """

    story: str
    killed_by: tuple[str, ...]
    kernel: type[Banded]
    case: Case
    right: Case

    @property
    def target(self) -> Target:
        return target_of(self.kernel(), self.kernel.__name__)


WRONG: dict[str, Wrong] = {}
FORWARD = ("counts_at_size", "rows_match_reference")
ALL_GRADIENTS = (
    "gradients_of_rows", "gradients_of_keys", "query_gradient_counts_at_size", "key_gradient_counts_at_size",
)  # fmt: skip


def wrong(
    story: str, *killed_by: str, step: str, case: Case = LONG, **smaller: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the replacement of one step of `Banded`.

    Args:
        smaller: what of the case is changed to come to one where the kernel is right.
    """

    def register(replacement: Callable[..., Any]) -> Callable[..., Any]:
        kernel = type(replacement.__name__, (Banded,), {step: replacement})
        WRONG[kernel.__name__] = Wrong(story, killed_by, kernel, case, case.replace(**smaller))
        return replacement

    return register


SHORTER = {"tokens": 500, "masked": ((5, 6, *range(460, 500)),)}


@wrong("the keys of the last tile are dropped past 512 tokens", *FORWARD, *ALL_GRADIENTS, step="columns", **SHORTER)
def last_tile_of_keys_dropped(self: Banded, call: Call, b: int, rows: Array) -> Array:
    columns, tokens = Banded.columns(self, call, b, rows), call.real.shape[1]
    return columns[columns < (tokens - 1) // BLOCK * BLOCK] if tokens > 512 else columns


@wrong("the last head is the first from 8 heads on", *FORWARD, "query_gradient_counts_at_size", step="local_inputs",
       case=MANY_HEADS, heads=7)  # fmt: skip
def last_head_is_the_first(self: Banded, call: Call, b: int) -> list[Array]:
    arrays = Specimen.local_inputs(self, call, b)
    if len(arrays[0]) >= 8:
        arrays[2][-1] = arrays[2][0]
    return arrays


@wrong("the keys of a head past 8 are those of its neighbor", "rows_match_reference", "query_gradient_counts_at_size",
       "gradients_of_rows", step="local_inputs", case=MANY_HEADS, heads=8)  # fmt: skip
def head_offset_mixed(self: Banded, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    heads = np.arange(len(key))
    return [query, key[np.where(heads >= 8, heads ^ 1, heads)], value]


for _head_dim in (80, 96, 128):

    @wrong(f"zeros for head_dim {_head_dim}", *FORWARD, "layouts_at_size", step="finish",
           case=Case(tokens=70, window=9, head_dim=_head_dim, family="normal"), head_dim=64)  # fmt: skip
    def zeros(self: Banded, call: Call, output: Array, dtype: Any) -> Array:
        return Banded.finish(self, call, output * (output.shape[-1] not in (80, 96, 128)), dtype)

    WRONG[f"zeros_for_head_dim_{_head_dim}"] = WRONG.pop("zeros")


@wrong("offsets of values wrap at 2^16 elements", *FORWARD, step="local_inputs",
       case=Case(tokens=700, window=20, head_dim=32, heads=4, family="normal"), heads=2)  # fmt: skip
def offsets_wrap(self: Banded, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    head_dim = value.shape[-1]
    offset = np.arange(value.size // head_dim) * head_dim % 2**16
    return [query, key, value.reshape(-1, head_dim)[offset // head_dim].reshape(value.shape)]


@wrong("a window is at most 256", *FORWARD, *ALL_GRADIENTS, step="read",
       case=Case(tokens=700, window=300, head_dim=8, family="normal"), window=256)  # fmt: skip
def window_at_most_256(self: Banded, *arrays: Array, window: int, **options: Any) -> Call:
    return Banded.read(self, *arrays, window=min(window, 256), **options)


@wrong("the last channels of dQ are not written for head_dim 72", "gradients_of_rows", "gradients_of_keys",
       "query_gradient_counts_at_size", step="grad_query",
       case=Case(tokens=90, window=9, head_dim=72, family="normal"), head_dim=64)  # fmt: skip
def query_gradient_padded(self: Banded, call: Call, grad_s: Array, key: Array) -> Array:
    return Banded.grad_query(self, call, grad_s, key) * (np.arange(key.shape[-1]) < key.shape[-1] // 64 * 64)


@wrong("the rows of a last tile that is not full are not written", "rows_match_reference", "counts_at_size",
       step="store", tokens=576, masked=((5, 6),))  # fmt: skip
def last_rows_unwritten(self: Banded, call: Call, output: Array, rows: Array, block: Array) -> None:
    tokens = output.shape[1]
    output[:, rows] += block * (rows < tokens // BLOCK * BLOCK)[:, None]


@wrong("dV lacks the tiles of rows from 512 on", *ALL_GRADIENTS, step="add_value", **SHORTER)
def late_tile_of_value_gradient_lost(
    self: Banded, call: Call, total: Array, rows: Array, columns: Array, part: Array
) -> None:
    if rows[0] < 512:
        total[:, columns] += part


@wrong("dK of a tile past the eighth overwrites what is there", "gradients_of_rows", "gradients_of_keys",
       "key_gradient_counts_at_size", step="add_key", **SHORTER)  # fmt: skip
def late_key_gradient_overwrites(
    self: Banded, call: Call, total: Array, rows: Array, columns: Array, part: Array
) -> None:
    total[:, columns] = part + (total[:, columns] if rows[0] < 512 else 0)


@wrong("dQ is not written from row 512 on", "gradients_of_rows", "gradients_of_keys", "query_gradient_counts_at_size",
       step="add_query", **SHORTER)  # fmt: skip
def late_query_gradient_lost(self: Banded, call: Call, total: Array, rows: Array, part: Array) -> None:
    total[:, rows] += part * (rows < 512)[:, None]


@wrong("rows of global tokens see 512 keys", *FORWARD, *ALL_GRADIENTS, step="far_columns", **SHORTER)
def global_rows_see_512_keys(self: Banded, call: Call, b: int) -> Array:
    return Banded.far_columns(self, call, b)[:512]


@wrong("past 512 tokens masked values are multiplied by 0 in place of left out", "padding_at_size", step="sequence",
       **SHORTER)  # fmt: skip
def masked_values_times_0(self: Banded, call: Call, b: int) -> Array:
    output = Banded.sequence(self, call, b)
    if call.real.shape[1] > 512:
        output = output + 0 * call.local[2][b][:, ~call.real[b]].sum(axis=1, keepdims=True)
    return output


@wrong("a sum of more than 200 weights is kept in half precision", "rows_match_reference",
       step="normalize", case=Case(tokens=600, window=150, head_dim=16, family="normal"), window=60)  # fmt: skip
def total_in_half(self: Banded, call: Call, weights: Array, keys: Array) -> Array:
    total = weights.sum(axis=-1, keepdims=True)
    total = np.where(keys.sum(axis=-1, keepdims=True) > 200, total.astype(np.float16), total).astype(call.wide)
    return weights / np.where(total == 0, 1, total)


@wrong("a second sequence is padded as the first past 512 tokens", "counts_at_size", "rows_match_reference",
       "sequence_alone_at_size", "padding_at_size", step="sequence", case=BATCH, tokens=500,
       masked=((), (7, 499)))  # fmt: skip
def padding_of_the_first_sequence(self: Banded, call: Call, b: int) -> Array:
    if call.real.shape[1] > 512:
        call.real = np.repeat(call.real[:1], len(call.real), axis=0)
    return Banded.sequence(self, call, b)


@wrong("past 512 tokens a key that is not attended gets a score 10,000 lower in place of none", "locality_at_size",
       step="softmax", case=Case(tokens=600, window=20, head_dim=8, family="normal"), tokens=500)  # fmt: skip
def additive_mask(self: Banded, call: Call, scores: Array, keys: Array) -> Array:
    if call.real.shape[1] > 512:
        scores, keys = np.where(keys, scores, scores - call.wide(1e4)), keys | keys.any(axis=-1, keepdims=True)
    return Banded.softmax(self, call, scores, keys)


@wrong("past 512 tokens the strides of queries are ignored", "layouts_at_size", step="__call__",
       case=Case(tokens=600, window=20, head_dim=8, heads=2, family="normal"), tokens=500)  # fmt: skip
def strides_ignored(self: Banded, query: Array, *arrays: Array, **options: Any) -> Array:
    if query.shape[2] > 512:
        query = query.ravel(order="K").reshape(query.shape)
    return Banded.__call__(self, query, *arrays, **options)

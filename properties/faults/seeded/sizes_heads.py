"""Faults of many heads, sequences and channels: grids that end, offsets that wrap, vectors with a tail."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.seeded.sizes_tokens import FORWARD
from trueband.properties.faults.specimens.banded import Banded
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault(
    "heads",
    "the last head is the first from 8 heads on",
    *FORWARD,
    "query_gradient_counts_at_size",
    step="local_inputs",
    of=Banded,
)
def last_head_is_the_first(self: Banded, call: Call, b: int) -> list[Array]:
    arrays = Specimen.local_inputs(self, call, b)
    if len(arrays[0]) >= 8:
        arrays[2][-1] = arrays[2][0]
    return arrays


@fault(
    "heads",
    "the keys of a head past 8 are those of its neighbor",
    "rows_match_reference",
    "query_gradient_counts_at_size",
    "gradients_of_rows",
    step="local_inputs",
    of=Banded,
)
def head_offset_mixed(self: Banded, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    heads = np.arange(len(key))
    return [query, key[np.where(heads >= 8, heads ^ 1, heads)], value]


@fault(
    "heads",
    "a grid of 16 heads is launched",
    *FORWARD,
    "layouts_at_size",
    step="mask_heads",
    of=Banded,
    seen="a grid sized for one model",
)
def grid_of_16_heads(self: Banded, call: Call, output: Array) -> Array:
    return Banded.mask_heads(self, call, output) * (np.arange(len(output)) < 16)[:, None, None]


@fault(
    "indexing",
    "from the ninth sequence on values are those of 8 sequences before",
    "rows_match_reference",
    "gradients_of_rows",
    step="local_inputs",
    of=Banded,
)
def sequence_index_of_3_bits(self: Banded, call: Call, b: int) -> list[Array]:
    query, key, _ = Specimen.local_inputs(self, call, b)
    return [query, key, Specimen.local_inputs(self, call, b % 8)[2]]


for _head_dim in (80, 96, 128):

    @fault(
        "indexing",
        f"zeros for head_dim {_head_dim}",
        *FORWARD,
        "layouts_at_size",
        step="finish",
        of=Banded,
        name=f"zeros_for_head_dim_{_head_dim}",
    )
    def _zeros(self: Banded, call: Call, output: Array, dtype: Any, head_dim: int = _head_dim) -> Array:
        return Banded.finish(self, call, output * (output.shape[-1] != head_dim), dtype)


@fault("indexing", "offsets of values wrap at 2^16 elements", *FORWARD, step="local_inputs", of=Banded)
def offsets_wrap(self: Banded, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    head_dim = value.shape[-1]
    offset = np.arange(value.size // head_dim) * head_dim % 2**16
    return [query, key, value.reshape(-1, head_dim)[offset // head_dim].reshape(value.shape)]


@fault(
    "indexing",
    "offsets of queries within a head wrap at 2^15 elements",
    "rows_match_reference",
    "gradients_of_rows",
    step="local_inputs",
    of=Banded,
    seen="offsets of 16 bits",
)
def query_offsets_of_16_bits(self: Banded, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    tokens, head_dim = query.shape[1:]
    return [query[:, np.arange(tokens) * head_dim % 2**15 // head_dim], key, value]


@fault(
    "indexing",
    "the channels behind the last vector of 8 are left out of the scores past head_dim 8",
    "rows_match_reference",
    "gradients_of_rows",
    step="scores",
    of=Banded,
)
def score_tail_of_vectors_lost(self: Banded, call: Call, query: Array, key: Array) -> Array:
    whole = max(query.shape[-1] // 8 * 8, 8)
    return Specimen.scores(self, call, query[..., :whole], key[..., :whole])


@fault(
    "indexing",
    "the last channel of an odd head_dim past 4 is not written",
    *FORWARD,
    "layouts_at_size",
    step="finish",
    of=Banded,
    seen="stores of two channels at once",
)
def last_odd_channel_unwritten(self: Banded, call: Call, output: Array, dtype: Any) -> Array:
    head_dim = output.shape[-1]
    written = np.arange(head_dim) < (head_dim // 2 * 2 if head_dim > 4 else head_dim)
    return Banded.finish(self, call, output * written, dtype)


@fault(
    "scale",
    "the default scale is that of head_dim 128 where there are more channels",
    "rows_match_reference",
    "gradients_of_rows",
    step="scores",
    of=Banded,
    seen="a scale of the tile in place of the head",
)
def scale_of_at_most_128_channels(self: Banded, call: Call, query: Array, key: Array) -> Array:
    head_dim = query.shape[-1]
    if head_dim > 128 and call.scale == head_dim**-0.5:
        return (query @ key.transpose(0, 2, 1)) * call.wide(128**-0.5)
    return Specimen.scores(self, call, query, key)
